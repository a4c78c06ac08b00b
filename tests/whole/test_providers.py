"""The whole way with each family of providers, against an endpoint that speaks the provider's own protocol."""

import asyncio
import json
from pathlib import Path

import pytest

from hostler.core.conversation import Usage
from hostler.testing.answers import Answer, Broken, Called, Failure, Garbage, Reply
from hostler.testing.endpoints import Endpoint
from tests.server import HostlerProcess

pytestmark = pytest.mark.sandbox

MODELS = ("anthropic:claude-sonnet-4-6", "openai-responses:gpt-5", "openai-chat:some-local-model")
LOOK = Reply(
    "I look.",
    (
        Called("bash", json.dumps({"command": "echo $((6*7)) > answer; cat answer"}), "call_a"),
        Called("read", json.dumps({"path": "AGENTS.md"}), "call_b"),
    ),
    usage=Usage(input=100, cached_input=50, output=20),
)
DONE = Reply("The answer is 42.", usage=Usage(input=30, cached_input=150, output=7))


async def served(place: Path, model: str, endpoint: Endpoint, **env: str) -> HostlerProcess:
    folder = place / "data"
    folder.mkdir(mode=0o711)
    server = HostlerProcess(folder, env={**endpoint.environ(), "HOSTLER_MODEL": model, **env})
    return await asyncio.to_thread(server.start)


@pytest.mark.parametrize("model", MODELS)
async def test_a_task_is_done_by_tools_and_its_usage_adds_up(place: Path, wordcount: Path, model: str):
    async with Endpoint([LOOK, DONE]) as endpoint:
        server = await served(place, model, endpoint)
        try:
            execution = await asyncio.to_thread(server.start_agent, "What is the answer?", wordcount)
            last = await asyncio.to_thread(server.rest, execution)
            status = last["status"]
            assert status["phase"] == "PHASE_WAITING_FOR_INPUT", status
            counted = {name: int(status.get(name, 0)) for name in ("inputTokensUsed", "cachedInputTokensUsed")}
            assert counted == {"inputTokensUsed": 130, "cachedInputTokensUsed": 200}
            assert status["outputTokensUsed"] == "27"
            assert status["iterations"] == "2"
            results = [body["text"] for kind, body in server.log(execution) if kind == "ToolFinished"]
            assert sorted(results)[0].strip().startswith(("42", "1\t", "     1"))
            assert any(text.strip() == "42" for text in results)
            second = json.dumps(endpoint.requests[1].body)
            assert "call_a" in second
            assert "call_b" in second
            assert "42" in second
        finally:
            await asyncio.to_thread(server.stop)


@pytest.mark.parametrize("model", MODELS)
async def test_a_bad_hour_of_the_provider_is_sat_out(place: Path, wordcount: Path, model: str):
    bad = [Failure(429, headers={"Retry-After": "0"}), Failure(500), Broken(Reply("A stream that is cut"), after=2)]
    async with Endpoint([*bad, DONE]) as endpoint:
        server = await served(place, model, endpoint)
        try:
            execution = await asyncio.to_thread(server.start_agent, "What is the answer?", wordcount)
            last = await asyncio.to_thread(server.rest, execution)
            assert last["status"]["phase"] == "PHASE_WAITING_FOR_INPUT", last["status"]
            assert "warningMessage" not in last["status"]
            assert last["status"]["iterations"] == "1"
            failed = [body for kind, body in server.log(execution) if kind == "ModelCallFailed"]
            assert len(failed) == 3
            assert all(body["retry_at"] for body in failed)
        finally:
            await asyncio.to_thread(server.stop)


NOW = {"Retry-After": "0"}
BAD: dict[str, list[Answer]] = {
    "500 five times": [Failure(500, headers=NOW)] * 5,
    "garbage, nothing, half a stream": [
        Garbage(),
        Garbage(b""),
        Broken(LOOK, after=3),
        Broken(DONE, after=1, how="ends"),
    ],
}


@pytest.mark.parametrize("day", BAD)
async def test_a_bad_day_of_the_provider_ends_with_the_answer(place: Path, wordcount: Path, day: str):
    async with Endpoint([*BAD[day], DONE]) as endpoint:
        server = await served(place, "anthropic:claude-sonnet-4-6", endpoint)
        try:
            execution = await asyncio.to_thread(server.start_agent, "What is the answer?", wordcount)
            last = await asyncio.to_thread(server.rest, execution)
            failed = [body for kind, body in server.log(execution) if kind == "ModelCallFailed"]
            assert [body["call_id"] for body in failed] == ["c1"] * len(failed)
            assert last["status"]["phase"] == "PHASE_WAITING_FOR_INPUT", last["status"]
            assert len(failed) == len(BAD[day])
            assert last["status"]["iterations"] == "1"
        finally:
            await asyncio.to_thread(server.stop)


async def test_a_refused_key_stops_the_run_with_the_reason_and_without_the_key(place: Path, wordcount: Path):
    async with Endpoint([Failure(401, "invalid x-api-key: canary-key-0123456789")]) as endpoint:
        keys = {"ANTHROPIC_API_KEY": "canary-key-0123456789"}
        server = await served(place, "anthropic:claude-sonnet-4-6", endpoint, **keys)
        try:
            execution = await asyncio.to_thread(server.start_agent, "What is the answer?", wordcount)
            last = await asyncio.to_thread(server.rest, execution)
            status = last["status"]
            assert status["phase"] == "PHASE_STOPPED"
            assert status["failureReason"] == "AGENT_EXECUTION_FAILURE_REASON_LLM_INTEGRATION"
            assert status["supportedModel"] == "SUPPORTED_MODEL_SONNET_4_6"
            assert status["failureMessage"]
            assert "canary" not in json.dumps(last)
            assert "canary" not in json.dumps(server.log(execution))
            assert "canary" not in server.said()
        finally:
            await asyncio.to_thread(server.stop)
