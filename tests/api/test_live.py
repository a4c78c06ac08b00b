"""The live conversation, as a reader over a socket sees it."""

import asyncio

from hostler.core import events as ev
from hostler.core.conversation import Text, Thinking, Usage
from hostler.core.ports import OpenBlock
from tests.api.conftest import Api
from tests.api.reading import Stream, live

BLOCK = "0190aaaa-0000-7000-8000-000000000001"
OTHER = "0190aaaa-0000-7000-8000-000000000002"


async def calling(api: Api, text: str = "hello") -> str:
    """Return an execution whose model call is open."""
    execution = await api.prepared()
    await api.send(execution, text)
    await take(api, execution, "c1")
    return execution


async def take(api: Api, execution: str, call: str) -> None:
    row = (await api.desk.seen(execution)).row
    await api.desk.append(
        execution, ev.InputTaken(tuple(row.view["hostler"]["queue"])), ev.ModelCallStarted(call, "scripted:demo")
    )


def saying(text: str, block: str = BLOCK, call: str = "c1", sequence: int = 1) -> OpenBlock:
    return OpenBlock(block, call, 0, "text", sequence, text)


async def replied(api: Api, execution: str, text: str, block: str = BLOCK, call: str = "c1") -> None:
    api.desk.hush()
    await api.desk.append(execution, ev.ModelReplied(call, (Text(text),), Usage(), blocks=(block,)))


async def test_text_comes_as_deltas_and_then_whole(api: Api) -> None:
    execution = await calling(api)
    block = api.desk.say(saying("Hel"))
    async with live(api, execution) as stream:
        first = await stream.text()
        assert first.said == ("DELTA", "Hel")
        assert first.body["text"]["sequenceId"] == "1"
        api.desk.say_more(block, "lo")
        second = await stream.text()
        assert second.said == ("DELTA", "lo")
        assert second.body["text"]["sequenceId"] == "2"
        await replied(api, execution, "Hello.")
        assert (await stream.text()).said == ("COMPLETED", "Hello.")


async def test_a_reader_who_joins_late_gets_the_open_text_as_one_delta(api: Api) -> None:
    execution = await calling(api)
    api.desk.say(saying("one two three", sequence=9))
    async with live(api, execution) as stream:
        event = await stream.text()
    assert event.said == ("DELTA", "one two three")
    assert event.body["text"]["sequenceId"] == "9"


async def test_a_reader_who_comes_back_gets_only_what_is_missing(api: Api) -> None:
    execution = await calling(api)
    block = api.desk.say(saying("one "))
    async with live(api, execution) as stream:
        last = (await stream.text()).id
    api.desk.say_more(block, "two")
    async with live(api, execution, last_event_id=last) as stream:
        event = await stream.next()
        assert event is not None
        assert event.said == ("DELTA", "two")
        await replied(api, execution, "one two")
        assert (await stream.text()).said == ("COMPLETED", "one two")


async def test_a_block_that_was_finished_meanwhile_comes_whole_to_who_comes_back(api: Api) -> None:
    execution = await calling(api)
    api.desk.say(saying("one "))
    async with live(api, execution) as stream:
        last = (await stream.text()).id
    await replied(api, execution, "one two")
    async with live(api, execution, last_event_id=last) as stream:
        assert (await stream.text()).said == ("COMPLETED", "one two")


async def test_a_block_that_broke_off_is_closed_before_the_next_begins(api: Api) -> None:
    execution = await calling(api)
    api.desk.say(saying("first try"))
    async with live(api, execution) as stream:
        assert (await stream.text()).said == ("DELTA", "first try")
        api.desk.hush()
        api.desk.say(saying("second try", OTHER))
        closed, fresh = await stream.text(), await stream.text()
    assert closed.said == ("COMPLETED", "first try")
    assert closed.body["id"] == BLOCK
    assert fresh.said == ("DELTA", "second try")
    assert fresh.body["id"] == OTHER


async def test_what_broke_off_unknown_to_this_server_is_skipped(api: Api) -> None:
    execution = await calling(api)
    api.desk.say(saying("second try", OTHER))
    async with live(api, execution, last_event_id=f"4:{BLOCK}:9") as stream:
        event = await stream.text()
    assert event.said == ("DELTA", "second try")
    assert event.body["id"] == OTHER
    assert BLOCK not in event.id


async def test_a_block_that_broke_off_while_its_reader_was_away_is_closed_when_he_comes_back(api: Api) -> None:
    execution = await calling(api)
    api.desk.say(saying("first try"))
    async with live(api, execution) as stream, live(api, execution) as other:
        last = (await stream.text()).id
        await stream.response.aclose()
        assert (await other.text()).said == ("DELTA", "first try")
        api.desk.hush()
        api.desk.say(saying("second try", OTHER))
        assert (await other.text()).said == ("COMPLETED", "first try")
    async with live(api, execution, last_event_id=last) as stream:
        closed, fresh = await stream.text(), await stream.text()
    assert (closed.body["id"], closed.said) == (BLOCK, ("COMPLETED", "first try"))
    assert (fresh.body["id"], fresh.said) == (OTHER, ("DELTA", "second try"))


async def test_thinking_and_text_that_are_open_together_are_both_resumed(api: Api) -> None:
    execution = await calling(api)
    api.desk.say(OpenBlock(OTHER, "c1", 0, "thinking", 3, "hmm"))
    block = api.desk.say(OpenBlock(BLOCK, "c1", 1, "text", 2, "So"))
    async with live(api, execution) as stream:
        thought, text = await stream.text(), await stream.text()
        assert thought.body["text"]["type"] == "TYPE_THOUGHTS"
    api.desk.say_more(block, " then")
    async with live(api, execution, last_event_id=text.id) as stream:
        assert (await stream.text()).said == ("DELTA", " then")
        api.desk.hush()
        parts = (Thinking("hmm"), Text("So then"))
        await api.desk.append(execution, ev.ModelReplied("c1", parts, Usage(), blocks=(OTHER, BLOCK)))
        assert [(await stream.text()).said for _ in range(2)] == [("COMPLETED", "hmm"), ("COMPLETED", "So then")]


async def test_text_of_a_call_waits_for_the_frames_before_it(api: Api) -> None:
    execution = await calling(api)
    async with live(api, execution, "?follow=1") as stream:
        await replied(api, execution, "first")
        await api.desk.append(execution, ev.TurnEnded(1))
        await api.send(execution, "again")
        await take(api, execution, "c2")
        api.desk.say(saying("second", OTHER, "c2"))
        texts = [(await stream.text()).said for _ in range(2)]
    assert texts == [("COMPLETED", "first"), ("DELTA", "second")]


async def test_the_stream_ends_when_the_run_goes_idle(api: Api) -> None:
    execution = await calling(api)
    async with live(api, execution) as stream:
        await replied(api, execution, "done")
        await api.desk.append(execution, ev.TurnEnded(1))
        last = (await stream.rest())[-1]
    assert (last.kind, last.body) == ("end", {"reason": "waiting_for_input"})


async def test_the_stream_ends_when_the_run_stops(api: Api) -> None:
    execution = await calling(api)
    await api.desk.append(execution, ev.StopRequested(1), ev.Stopped(1))
    async with live(api, execution) as stream:
        assert (await stream.rest())[-1].body == {"reason": "stopped"}


async def test_an_execution_without_input_keeps_its_stream_open(api: Api) -> None:
    execution = await api.prepared()
    async with live(api, execution) as stream:
        await api.send(execution, "hello")
        event = await stream.next()
    assert event is not None
    assert (event.kind, event.tag) == ("block", 2)


async def test_follow_keeps_the_stream_open_over_turns(api: Api) -> None:
    execution = await calling(api)
    await replied(api, execution, "first")
    await api.desk.append(execution, ev.TurnEnded(1))
    async with live(api, execution, "?follow=1") as stream:
        assert (await stream.text()).said == ("COMPLETED", "first")
        await api.send(execution, "again")
        await take(api, execution, "c2")
        await replied(api, execution, "second", OTHER, "c2")
        assert (await stream.text()).said == ("COMPLETED", "second")


async def two_turns(api: Api) -> str:
    execution = await calling(api, "question one")
    await replied(api, execution, "answer one")
    await api.desk.append(execution, ev.TurnEnded(1))
    await api.send(execution, "question two")
    await take(api, execution, "c2")
    await replied(api, execution, "answer two", OTHER, "c2")
    await api.desk.append(execution, ev.TurnEnded(2))
    return execution


async def inputs_and_texts(stream: Stream) -> list[str]:
    events = await stream.rest()
    said = [e.body["inputs"][0]["text"]["content"] for e in events if e.tag == 2]
    return said + [e.said[1] for e in events if e.tag == 1 and "text" in e.body]


async def test_a_new_reader_gets_the_last_turn_with_its_input(api: Api) -> None:
    execution = await two_turns(api)
    async with live(api, execution) as stream:
        assert await inputs_and_texts(stream) == ["question two", "answer two"]


async def test_after_zero_shows_everything_and_after_a_number_what_follows(api: Api) -> None:
    execution = await two_turns(api)
    async with live(api, execution, "?after=0") as stream:
        events = await stream.rest()
    assert [e.id for e in events[:-1]] == [str(n) for n in range(1, len(events))]
    async with live(api, execution, f"?after={len(events) - 2}") as stream:
        assert [e.id for e in await stream.rest()] == [events[-2].id, ""]


async def test_after_takes_a_whole_cursor_for_readers_who_cannot_send_headers(api: Api) -> None:
    execution = await calling(api)
    api.desk.say(saying("one two"))
    async with live(api, execution, f"?after=4:{BLOCK}:4") as stream:
        assert (await stream.text()).said == ("DELTA", "two")
    bad = await api.http.get(
        f"{api.url}/api/executions/{execution}/live?after=4:x", headers={"authorization": "Bearer owner-token"}
    )
    assert (bad.status_code, bad.json()["code"]) == (400, "invalid_argument")


async def test_plain_json_for_readers_without_protobuf(api: Api) -> None:
    execution = await two_turns(api)
    async with live(api, execution, "?format=json") as stream:
        first = await stream.next()
    assert first is not None
    assert first.tag == 2
    assert first.body["inputs"] == [{"text": {"content": "question two"}}]


async def test_a_quiet_stream_is_kept_alive_by_comments(api: Api) -> None:
    execution = await calling(api)
    async with live(api, execution) as stream:
        event = await stream.next()
        assert event is not None
        waiting = asyncio.create_task(stream.comment())
        while not waiting.done():
            api.clock.advance(5)
            await asyncio.sleep(0)
        await waiting


async def test_a_conversation_token_opens_this_conversation_only(api: Api) -> None:
    execution, other = await two_turns(api), await api.prepared()
    token = (await api.call("CreateAgentExecutionConversationToken", {"agentExecutionId": execution}))["token"]
    async with live(api, execution, authorization=f"Bearer {token}") as stream:
        assert (await stream.rest())[-1].kind == "end"
    by_query = await api.http.get(f"{api.url}/api/executions/{execution}/live?token={token}")
    assert by_query.status_code == 200
    elsewhere = await api.http.get(f"{api.url}/api/executions/{other}/live?token={token}")
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (404, "not_found")
    for_rpc = await api.refused("StopAgentExecution", {"agentExecutionId": execution}, token=token)
    assert for_rpc["code"] == "unauthenticated"


async def test_a_stream_without_a_good_token_is_refused(api: Api) -> None:
    execution = await api.prepared()
    for query in ("", "?token=nonsense"):
        refused = await api.http.get(f"{api.url}/api/executions/{execution}/live{query}")
        assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
    unknown = await api.http.get(
        f"{api.url}/api/executions/{OTHER}/live", headers={"authorization": "Bearer owner-token"}
    )
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
    bad = await api.http.get(
        f"{api.url}/api/executions/{execution}/live",
        headers={"authorization": "Bearer owner-token", "last-event-id": "x"},
    )
    assert (bad.status_code, bad.json()["code"]) == (400, "invalid_argument")


async def test_a_stream_says_when_its_token_expires_and_a_new_one_goes_on(api: Api) -> None:
    execution = await calling(api)
    token = (await api.call("CreateAgentExecutionConversationToken", {"agentExecutionId": execution}))["token"]
    async with live(api, execution, authorization=f"Bearer {token}") as stream:
        first = await stream.next()
        assert first is not None
        reading = asyncio.create_task(stream.rest())
        while not reading.done():
            api.clock.advance(6 * 3600)
            await asyncio.sleep(0)
        seen = await reading
    assert seen[-1].body == {"reason": "token_expired"}
    expired = await api.http.get(
        f"{api.url}/api/executions/{execution}/live", headers={"authorization": f"Bearer {token}"}
    )
    assert expired.status_code == 401
    block = api.desk.say(saying("go"))
    async with live(api, execution, last_event_id=seen[-2].id) as stream:
        event = await stream.next()
    assert event is not None
    assert event.body["id"] == block.block


async def test_deleting_ends_the_stream(api: Api) -> None:
    execution = await calling(api)
    async with live(api, execution, "?follow=1") as stream:
        await api.call("DeleteAgentExecution", {"agentExecutionId": execution})
        assert (await stream.rest())[-1].body == {"reason": "deleted"}


async def test_a_stopping_server_lets_go_of_its_readers(api: Api) -> None:
    execution = await calling(api)
    async with live(api, execution) as stream:
        reading = asyncio.create_task(stream.rest())
        api.stopping = True
        while not reading.done():
            api.clock.advance(1)
            await asyncio.sleep(0)
        assert "end" not in [event.kind for event in await reading]
