"""The eight hazards of real clients: each broke a plausible server once; each is driven by the client it came from."""

import asyncio
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from hostler.api import jsonlines
from hostler.testing.clock import HandClock
from tests.sdk.clients import Client
from tests.sdk.conftest import Gate
from tests.server import HostlerProcess

GateMaker = Callable[..., Gate]
GROUP = "example.org/group"


def test_hazard_1_the_next_page_is_asked_for_in_the_query(old: Client, server: HostlerProcess) -> None:
    """The client repeats the first page's body and puts the token beside it; reading only the body never ends."""
    name = str(uuid4())
    made = [server.start_agent("", annotations={GROUP: name}) for _ in range(3)]
    seen = old.run(
        f"""
        requests = []
        client._client.event_hooks["request"] = [lambda r: requests.append((dict(r.url.params), json.loads(r.read())))]
        filtered = {{"annotations": {{{GROUP!r}: arguments[0]}}}}
        listed = agents.list_executions(filter=filtered, pagination={{"page_size": 1}})
        tell(found=[one.id for one in listed], requests=requests)
        """,
        name,
    )
    assert seen["found"] == made[::-1]
    (first, body), *others = seen["requests"]
    assert first == {}
    assert len(others) == 2
    for query, again in others:
        assert set(query) == {"token"}
        assert again == body


def test_hazard_2_a_change_before_the_stream_is_opened_is_not_missed(new: Client, gate: GateMaker) -> None:
    """The client gets the execution, then opens the stream: here the turn ends between the two."""
    held = gate()
    seen = new.run(
        """
        from pathlib import Path
        session = start(task="hold", annotations=json.loads(arguments[0]))
        session.wait_running()
        session.send_message("and this")  # so that the next look finds a change, and reports it
        phases = []
        def finish_behind_its_back(execution):
            phases.append(agent_pb2.AgentExecution.Phase.Name(execution.status.phase))
            Path(arguments[1]).touch()
            while get(session.id())["status"]["phase"] != "PHASE_WAITING_FOR_INPUT":
                pass
        result = session.watch_result(finish_behind_its_back)
        phases.append(agent_pb2.AgentExecution.Phase.Name(result.status.phase))
        tell(phases=[phases[0], phases[-1]])
        """,
        json.dumps(held.annotations),
        held.until,
    )
    assert seen["phases"] == ["PHASE_RUNNING", "PHASE_WAITING_FOR_INPUT"]


def test_hazard_2_every_watched_resource_is_told_of_at_once(new: Client) -> None:
    seen = new.run(
        """
        runs = sorted(start().id() for _ in range(2))
        watched = {"resourceType": "RESOURCE_TYPE_AGENT_EXECUTION", "resourceIds": runs}
        stream = events(organization=True, resourceTypeFilters=[watched])
        tell(runs=runs, told=sorted([next(stream), next(stream)], key=lambda event: event["resourceId"]))
        """
    )
    kind = {"resourceType": "RESOURCE_TYPE_AGENT_EXECUTION", "operation": "RESOURCE_OPERATION_UPDATE_STATUS"}
    assert seen["told"] == [{**kind, "resourceId": run} for run in seen["runs"]]


def test_hazard_3_a_turn_that_is_over_at_once_is_seen_running_first(new: Client) -> None:
    """`wait_running` fails for good if it ever sees the end before it saw RUNNING."""
    seen = new.run(
        """
        first = start()
        idle = get(first.id())["status"]["phase"]
        phases = []
        for _ in range(3):
            first.send_message("hello")
            phases.append(get(first.id())["status"]["phase"])
            first.wait_running()
            first.watch_result()
        fresh = start(task="hello")
        fresh.wait_running()
        fresh.watch_result()
        sent = [body["createdAt"] for _, kind, body in conversation(fresh) if kind == 2]
        tell(idle=idle, phases=phases, sent=sent, end=get(fresh.id())["status"])
        """
    )
    assert seen["idle"] == "PHASE_PENDING"
    assert seen["phases"][0] in ("PHASE_PENDING", "PHASE_RUNNING")
    assert seen["phases"][1:] == ["PHASE_RUNNING", "PHASE_RUNNING"]
    assert seen["end"]["phase"] == "PHASE_WAITING_FOR_INPUT"
    (sent,), ended = seen["sent"], seen["end"]["waitingInfo"]["waitingSince"]
    assert datetime.fromisoformat(ended) - datetime.fromisoformat(sent) >= timedelta(seconds=1)


def test_hazard_4_what_will_be_retried_is_no_failure(new: Client, gate: GateMaker) -> None:
    """The client raises as soon as it sees a failure_message, even on a run that goes on."""
    flaky = [{"kind": "unavailable", "times": 2, "retry_after": 0.5}]
    script = gate(steps=[{"text": "There you are."}])
    spoken = {"rules": [{"match": "flaky", "steps": [{"text": "There you are.", "faults": flaky}]}]}
    spoken["rules"].append({"steps": [{"text": "", "faults": [{"kind": "refused"}]}]})
    script.reached.with_name("script.json").write_text(json.dumps(spoken))
    seen = new.run(
        """
        note = json.loads(arguments[0])
        session = start(task="flaky", annotations=note)
        warnings = set()
        session.watch_result(lambda execution: warnings.add(execution.status.warning_message))
        result = get(session.id())
        lost = start(task="a refusal", annotations=note)
        given_up = refusal(lost.watch_result)
        tell(result=result, warnings=sorted(warnings), given_up=given_up, lost=get(lost.id()))
        """,
        json.dumps(script.annotations),
    )
    assert seen["result"]["status"]["phase"] == "PHASE_WAITING_FOR_INPUT"
    assert not {"failureMessage", "failureReason", "warningMessage"} & set(seen["result"]["status"])
    assert any(seen["warnings"])
    assert seen["given_up"]["class"] == "UnavailableError"
    assert seen["lost"]["status"]["failureReason"] == "AGENT_EXECUTION_FAILURE_REASON_LLM_INTEGRATION"
    assert seen["lost"]["status"]["failureMessage"] in seen["given_up"]["message"]


def test_hazard_5_events_are_lines_of_json_for_old_clients(old: Client) -> None:
    """The client hands lines on in pieces of 64 bytes, and falls over an empty one."""
    seen = old.run(
        """
        run = start(task="hello")
        events, kinds = client.events.watch(organization=True, extra_body={"resourceTypeFilters": [
            {"resourceType": "RESOURCE_TYPE_AGENT_EXECUTION", "resourceIds": [run]}]}), []
        for event in events:
            kinds.append(event.to_dict())
            if get(run).status.phase == "PHASE_WAITING_FOR_INPUT":
                break
        tell(run=run, kinds=kinds, type=events.http_response.headers["content-type"])
        """
    )
    assert seen["type"] == "application/jsonl"
    assert {one["resourceId"] for one in seen["kinds"]} == {seen["run"]}
    assert {one["resourceType"] for one in seen["kinds"]} == {"RESOURCE_TYPE_AGENT_EXECUTION"}
    assert seen["kinds"][0]["operation"] == "RESOURCE_OPERATION_UPDATE_STATUS"


def test_hazard_5_a_line_reaches_the_client_although_nothing_follows_it(old: Client) -> None:
    """The client would sit on the end of a line that does not fill its 64 bytes, and give up waiting for more."""
    seen = old.run(
        """
        run = start(task="hello")
        while get(run).status.phase != "PHASE_WAITING_FOR_INPUT":
            pass
        watched = {"resourceType": "RESOURCE_TYPE_AGENT_EXECUTION", "resourceIds": [run]}
        events = client.events.watch(organization=True, extra_body={"resourceTypeFilters": [watched]}, timeout=8)
        tell(run=run, first=next(events))
        """
    )
    assert seen["first"]["resourceId"] == seen["run"]


async def test_hazard_5_a_quiet_stream_is_kept_alive_without_an_empty_line(old: Client) -> None:
    """What a stream with a long silence sends, at a clock that is moved by hand, read by the client's own decoder."""
    clock, event = HandClock(), b'{"operation":"RESOURCE_OPERATION_UPDATE"}'
    sent: list[bytes] = []
    silent, speak = asyncio.Event(), asyncio.Event()

    async def quiet(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": enveloped(0, event), "more_body": True})
        silent.set()
        await speak.wait()
        await send(
            {"type": "http.response.body", "body": enveloped(0, event) + enveloped(2, b"{}"), "more_body": False}
        )

    async def request() -> dict[str, Any]:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def take(message: Any) -> None:
        sent.append(message.get("body", b""))

    answering = asyncio.create_task(jsonlines.answer(quiet, {"headers": []}, request, take, 1 << 20, clock))
    await silent.wait()
    for length in (2, 3):
        while len(sent) < length + 1:
            clock.advance(1)
            await asyncio.sleep(0)
    speak.set()
    await answering
    data = b"".join(sent)
    assert any(part and not part.strip() for part in sent)
    seen = old.run(
        """
        from gitpod._decoders.jsonl import JSONLDecoder
        from gitpod.types import EventWatchResponse as Event
        data = bytes.fromhex(arguments[0])
        pieces = (data[n : n + 64] for n in range(0, len(data), 64))
        tell(read=list(JSONLDecoder(raw_iterator=pieces, line_type=Event, http_response=None)))
        """,
        data.hex(),
    )
    assert seen["read"] == [json.loads(event)] * 2


def enveloped(flags: int, message: bytes) -> bytes:
    """Return a message as streams carry it."""
    return bytes([flags]) + len(message).to_bytes(4, "big") + message


def test_hazard_5_an_error_before_the_first_line_is_an_ordinary_one(old: Client) -> None:
    seen = old.run(
        """
        watched = {"resourceType": "RESOURCE_TYPE_AGENT_EXECUTION", "resourceIds": ["no-uuid"]}
        tell(seen=refusal(client.events.watch, organization=True, extra_body={"resourceTypeFilters": [watched]}))
        """
    )
    assert (seen["seen"]["class"], seen["seen"]["code"]) == ("BadRequestError", "invalid_argument")


RETRY = """
    import httpx
    class Losing(httpx.HTTPTransport):
        "Loses the first answer, as a broken connection does; the server has had the request."
        lost = 0
        def handle_request(self, request):
            answer = super().handle_request(request)
            if not Losing.lost:
                Losing.lost += 1
                answer.read()
                raise httpx.ReadTimeout("the answer was lost", request=request)
            return answer
    """


def test_hazard_6_a_start_whose_answer_was_lost_is_not_made_twice(old: Client, server: HostlerProcess) -> None:
    """The client sends it again with nothing that names it but its count of retries."""
    name = str(uuid4())
    seen = old.run(
        RETRY
        + f"""
    losing = Gitpod(http_client=httpx.Client(transport=Losing()))
    note = {{"annotations": {{{GROUP!r}: arguments[0]}}}}
    started = losing.agents.start_execution(name=arguments[0], extra_body=note)
    tell(started=started.agent_execution_id, lost=Losing.lost)
    """,
        name,
    )
    assert seen["lost"] == 1
    listed = server.call("ListAgentExecutions", {"filter": {"annotations": {GROUP: name}}})["agentExecutions"]
    assert [one["id"] for one in listed] == [seen["started"]]


def test_hazard_6_a_final_refusal_is_not_tried_again(old: Client) -> None:
    seen = old.run(
        """
        requests = []
        client._client.event_hooks["request"] = [lambda request: requests.append(request.url.path.rsplit("/")[-1])]
        run = start()
        say(run, "one", id="the-same"), say(run, "one", id="the-same")
        requests.clear()
        clash = refusal(say, run, "another", id="the-same")
        later = refusal(client.post, "/gitpod.v1.AgentService/CreateMCPAccessToken", cast_to=object, body={})
        unknown = refusal(client.post, "/gitpod.v1.AgentService/CreateAgent", cast_to=object, body={})
        tell(clash=clash, later=later, unknown=unknown, requests=requests)
        """
    )
    assert (seen["clash"]["class"], seen["clash"]["code"]) == ("ConflictError", "already_exists")
    assert (seen["later"]["status"], seen["unknown"]["status"]) == (501, 501)
    assert seen["requests"] == ["SendToAgentExecution", "CreateMCPAccessToken", "CreateAgent"]


def test_hazard_7_what_the_connect_server_gets_wrong_is_right(old: Client) -> None:
    """An unknown field is ignored; a bad value and two members of one choice are the caller's mistakes."""
    seen = old.run(
        """
        known = start(extra_body={"aFieldOfTheFuture": {"a": 1}})
        enum = refusal(agents.start_execution, mode="AGENT_MODE_NOPE")
        two = refusal(agents.send_to_execution, agent_execution_id=known, user_input={"text": {"content": "a"}},
                      extra_body={"agentMessage": {"payload": "b"}})
        kind = refusal(agents.start_execution, name=7)
        method = refusal(client.post, "/gitpod.v1.AgentService/Nope", cast_to=object, body={})
        service = refusal(client.post, "/gitpod.v1.NopeService/Nope", cast_to=object, body={})
        tell(known=known, mistakes=[enum, two, kind], unknown=[method, service])
        """
    )
    assert seen["known"]
    assert [(one["status"], one["code"]) for one in seen["mistakes"]] == [(400, "invalid_argument")] * 3
    assert [(one["status"], one["code"]) for one in seen["unknown"]] == [(501, "unimplemented")] * 2


def test_hazard_8_streams_are_not_compressed(new: Client, server: HostlerProcess) -> None:
    """The older client refuses a compressed message of a stream, the newer one offers to read them."""
    seen = new.run(
        """
        runs = sorted(start(name="n" * 100).id() for _ in range(3))
        watched = {"resourceType": "RESOURCE_TYPE_AGENT_EXECUTION", "resourceIds": runs}
        stream = events(organization=True, resourceTypeFilters=[watched])
        tell(runs=runs, told=sorted(next(stream)["resourceId"] for _ in runs))
        """
    )
    assert seen["told"] == seen["runs"]
