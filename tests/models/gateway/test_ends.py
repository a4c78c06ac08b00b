"""That every call has exactly one end in the log, and that the agent sees no end before it."""

import asyncio
import contextlib

import h11
import pytest

from hostler.core.conversation import Usage
from hostler.core.errors import StaleFence, Unavailable
from hostler.testing.answers import Broken, Failure, Garbage, Hold, Reply
from hostler.testing.clock import HandClock
from hostler.testing.ledger import Began, Finished, WasCut
from hostler.testing.protocols import DIALECTS
from tests.models.gateway.stand import Client, Stand, standing

PATHS = {"/v1/responses": "gpt-x", "/v1/chat/completions": "chat-x", "/v1/messages": "claude-x"}
REPLY = Reply("Some words that take a while.", usage=Usage(100, 20, 3, 7))
each_path = pytest.mark.parametrize("path", PATHS)


def asking(path: str) -> dict[str, object]:
    return {"model": PATHS[path], "stream": True, "input": "hello"}


def ended(stand: Stand) -> Finished | WasCut:
    """Return the one end of the one call."""
    began, end = stand.ledger.entries
    assert isinstance(began, Began)
    assert isinstance(end, Finished | WasCut)
    assert end.call == began.call
    return end


@each_path
async def test_the_beginning_is_recorded_before_the_provider_hears_of_it(path: str) -> None:
    async with standing([REPLY]) as stand:
        stand.ledger.before = lambda entry: heard.append(len(stand.endpoint.requests))
        heard: list[int] = []
        await stand.client().ask(path, asking(path))
        assert heard == [0, 1]


async def rest(client: Client) -> bytes:
    data = b""
    while hasattr(event := await client.event(), "data"):
        data += bytes(event.data)
    return data


@each_path
async def test_an_agent_that_hangs_up_ends_the_call_at_the_provider_too(path: str) -> None:
    hold = Hold(REPLY, after=3)
    async with standing([hold]) as stand:
        client = stand.client()
        await client.send(path, asking(path))
        await hold.reached.wait()
        client.close()
        await stand.endpoint.until(lambda endpoint: endpoint.disconnects == 1)
        await stand.ledger.until(lambda entries: len(entries) == 2)
        end = ended(stand)
        assert isinstance(end, WasCut)
        assert end.reason == "the agent hung up"


@each_path
async def test_a_stop_cuts_the_stream_at_once_and_estimates(path: str) -> None:
    hold = Hold(REPLY, after=5)
    async with standing([hold]) as stand:
        client = stand.client()
        await client.send(path, {**asking(path), "messages": "x" * 400})
        await hold.reached.wait()
        assert (await client.event()).status_code == 200
        assert (await client.event()).data
        await stand.gateway.cut_all("another")
        assert len(stand.ledger.entries) == 1
        await stand.gateway.cut_all("run", "stopped by the user")
        end = ended(stand)
        assert isinstance(end, WasCut)
        assert end.reason == "stopped by the user"
        known = Usage(100, 20, 3) if path == "/v1/messages" else end.estimate
        assert end.estimate.whole_input == known.whole_input
        assert end.estimate.whole_input >= 100
        with pytest.raises(h11.RemoteProtocolError):
            await rest(client)
        await stand.endpoint.until(lambda endpoint: endpoint.disconnects == 1)


async def test_a_stop_reaches_a_call_whose_provider_has_not_answered_yet() -> None:
    hold = Hold(REPLY, after=0)
    async with standing([hold]) as stand:
        client = stand.client()
        await client.send("/v1/responses", asking("/v1/responses"))
        await hold.reached.wait()
        await stand.gateway.cut_all("run")
        assert isinstance(ended(stand), WasCut)
        await stand.endpoint.until(lambda endpoint: endpoint.disconnects == 1)


async def test_all_calls_of_an_execution_are_cut_together() -> None:
    holds = [Hold(REPLY, after=1) for _ in range(3)]
    async with standing(holds) as stand:
        for hold in holds:
            await stand.client().send("/v1/responses", asking("/v1/responses"))
            await hold.reached.wait()
        await stand.gateway.cut_all("run")
        assert sum(isinstance(entry, WasCut) for entry in stand.ledger.entries) == 3


@each_path
async def test_the_agent_sees_no_end_that_is_not_recorded(path: str) -> None:
    async with standing([REPLY]) as stand:
        stand.ledger.end_failures = [StaleFence()]
        answer = await stand.client().ask(path, asking(path))
        events = [
            event for event in DIALECTS[path].events(REPLY, PATHS[path]) if b'"choices": [], "usage"' not in event
        ]
        assert answer.cut
        assert answer.body == b"".join(events[:-1])
        assert len(stand.ledger.entries) == 1


async def test_an_end_that_the_database_does_not_take_is_tried_again() -> None:
    async with standing([REPLY]) as stand:
        stand.ledger.end_failures = [Unavailable("later")]
        answer = await stand.client().ask("/v1/responses", asking("/v1/responses"))
        assert not answer.cut
        assert isinstance(ended(stand), Finished)


@each_path
@pytest.mark.parametrize("how", ["cut", "ends", "error"])
async def test_a_stream_that_ends_early_is_cut_and_looks_so(path: str, how: str) -> None:
    async with standing([Broken(REPLY, after=3, how=how)]) as stand:  # type: ignore[arg-type]
        answer = await stand.client().ask(path, asking(path))
        assert answer.status == 200
        assert answer.cut == (how == "cut")
        if how == "error":
            assert answer.body.endswith(DIALECTS[path].error_event())
        end = ended(stand)
        assert isinstance(end, WasCut)
        assert ("failed" in end.reason) == (how == "error")


@each_path
@pytest.mark.parametrize("status", [400, 401, 429, 500, 529])
async def test_a_providers_refusal_passes_and_costs_nothing(path: str, status: int) -> None:
    failure = Failure(status, headers={"Retry-After": "7", "Set-Cookie": "a=b", "Openai-Organization": "ours"})
    async with standing([failure]) as stand:
        answer = await stand.client().ask(path, asking(path))
        assert (answer.status, answer.json) == (status, DIALECTS[path].failure(failure))
        assert answer.headers["retry-after"] == "7"
        assert not {"set-cookie", "openai-organization"} & answer.headers.keys()
        end = ended(stand)
        assert isinstance(end, WasCut)
        assert (end.estimate, end.reason) == (Usage(), f"the provider answered {status}")


async def test_a_provider_that_is_not_there_is_503_in_its_own_words() -> None:
    environ = {"ANTHROPIC_API_KEY": "k" * 20, "ANTHROPIC_BASE_URL": "http://127.0.0.1:9"}
    async with standing([], environ=environ) as stand:
        answer = await stand.client().ask("/v1/messages", asking("/v1/messages"))
        assert (answer.status, answer.json["error"]["type"]) == (503, "overloaded_error")
        assert b"127.0.0.1" not in answer.body
        end = ended(stand)
        assert isinstance(end, WasCut)
        assert end.estimate == Usage()


async def test_a_model_without_a_key_is_refused_before_anything_is_recorded() -> None:
    async with standing([], environ={}) as stand:
        answer = await stand.client().ask("/v1/messages", asking("/v1/messages"))
        assert answer.status == 400
        assert "ANTHROPIC_API_KEY" in answer.json["error"]["message"]
        assert stand.ledger.entries == []


@each_path
async def test_garbage_passes_and_is_estimated(path: str) -> None:
    async with standing([Garbage()]) as stand:
        answer = await stand.client().ask(path, asking(path))
        assert answer.body == Garbage().body
        assert isinstance(ended(stand), WasCut)


async def test_closing_the_gateway_ends_what_is_under_way() -> None:
    hold = Hold(REPLY, after=1)
    async with standing([hold]) as stand:
        client = stand.client()
        await client.send("/v1/responses", asking("/v1/responses"))
        await hold.reached.wait()
        await stand.gateway.close()
        end = ended(stand)
        assert isinstance(end, WasCut)
        assert end.reason == "the server stops"


async def test_an_environment_that_goes_takes_its_calls_with_it() -> None:
    hold = Hold(REPLY, after=1)
    async with standing([hold]) as stand:
        client = stand.client()
        await client.send("/v1/responses", asking("/v1/responses"))
        await hold.reached.wait()
        with contextlib.suppress(asyncio.CancelledError):
            await stand.ways.close("env")
        assert isinstance(ended(stand), WasCut)


async def test_a_call_whose_fence_has_moved_is_closed_though_nobody_cut_it() -> None:
    hold, clock = Hold(REPLY, after=1), HandClock()
    async with standing([hold], ambient=clock) as stand:
        client = stand.client()
        await client.send("/v1/responses", asking("/v1/responses"))
        await hold.reached.wait()
        clock.advance(5)
        stand.allow("openai-responses:gpt-x", fence=2)
        clock.advance(5)
        await stand.endpoint.until(lambda endpoint: endpoint.disconnects == 1)
        assert len(stand.ledger.entries) == 1  # its end is written by whoever moved the fence


async def test_a_stop_in_the_moment_of_the_end_waits_for_it_and_adds_no_second_one() -> None:
    async with standing([REPLY]) as stand:
        stand.ledger.gate = asyncio.Event()
        await stand.client().send("/v1/responses", asking("/v1/responses"))
        await stand.ledger.waited.wait()
        cutting = asyncio.ensure_future(stand.gateway.cut_all("run"))
        await asyncio.sleep(0)
        assert not cutting.done()
        stand.ledger.gate.set()
        await cutting
        assert isinstance(ended(stand), Finished)


async def test_who_ends_a_call_itself_learns_what_it_used_and_cuts_it_afterwards() -> None:
    hold = Hold(REPLY, after=6)
    async with standing([hold]) as stand:
        client = stand.client()
        await client.send("/v1/messages", asking("/v1/messages"))
        seen = b""
        while b"content_block_delta" not in seen:
            event = await client.event()
            seen += bytes(getattr(event, "data", b""))
        assert stand.gateway.estimates("another") == {}
        (estimate,) = stand.gateway.estimates("run").values()
        assert estimate.whole_input == 123
        assert estimate.output > 0
        stand.ledger.grants.clear()
        stand.gateway.cut_now("run")
        await stand.endpoint.until(lambda endpoint: endpoint.disconnects == 1)
        while stand.gateway.estimates("run"):
            await asyncio.sleep(0)
        assert len(stand.ledger.entries) == 1
