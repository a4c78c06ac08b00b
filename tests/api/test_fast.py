"""Answers that are given once more: each way in which one could be stale, on a real store."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from httpx2 import Response

from hostler.api.auth import hashed
from hostler.api.fast import LOOK_AGAIN, MOST
from hostler.api.server import build
from hostler.contract.gitpod.v1 import agent_execution_requests_pb as req
from hostler.core import events as ev
from hostler.core.ports import ApiToken
from hostler.core.state import State, evolve
from hostler.projections.row import project
from hostler.store import Store, open_store
from hostler.store.folding import Fold
from hostler.testing.desk import FakeDesk
from tests.api.conftest import BOT, Api, Listening

GET = "gitpod.v1.AgentService/GetAgentExecution"


@dataclass
class Counted(FakeDesk):
    """A desk that counts who asks for an execution in the ordinary way."""

    def __init__(self, executions: Any, ambient: Any) -> None:
        super().__init__(executions, ambient)
        self.asked = 0
        self.hold_answer: asyncio.Event | None = None
        self.holding = asyncio.Event()

    async def seen(self, execution: str) -> Any:
        self.asked += 1
        found = await super().seen(execution)
        if self.hold_answer:
            self.holding.set()
            await self.hold_answer.wait()
        return found


@dataclass
class Fast:
    """A server that remembers, over a store of its own."""

    api: Api
    store: Store
    desk: Counted

    async def get(self, execution: str, token: str = "owner-token", **more: Any) -> Response:
        return await self.api.post(GET, {"agentExecutionId": execution}, token=token, **more)

    async def remembered(self, execution: str, token: str = "owner-token", **more: Any) -> bytes:
        """Ask twice, see that the second answer was the first, and return it."""
        first = await self.get(execution, token, **more)
        asked = self.desk.asked
        second = await self.get(execution, token, **more)
        assert (first.status_code, self.desk.asked) == (200, asked)
        assert second.content == first.content
        return second.content


@pytest.fixture
async def fast(api: Api, tmp_path: Path) -> AsyncIterator[Fast]:
    fold = Fold(State(), evolve, project)
    async with open_store(f"sqlite:///{tmp_path}/hostler.db", blobs=tmp_path / "blobs", fold=fold) as store:
        desk = Counted(store.executions, api.clock)
        parts = replace(api.parts, desk=desk, executions=store.executions, changes=store.changes)
        server = Listening(build(parts))
        url = f"http://127.0.0.1:{await server.start()}"
        yield Fast(replace(api, parts=parts, desk=desk, url=url), store, desk)
        await server.stop()


async def test_an_answer_is_given_once_more_with_an_id_and_a_log_line_of_its_own(fast: Fast) -> None:
    execution = await fast.api.started({"name": "first"})
    await fast.remembered(execution)
    with structlog.testing.capture_logs() as logs:
        again = await fast.get(execution, more={"x-request-id": "mine-2"})
        other = await fast.get(execution, more={"x-request-id": "not so good"})
    assert again.headers["x-request-id"] == "mine-2"
    assert other.headers["x-request-id"] != "not so good"
    ordinary = await fast.api.post("ListAgentExecutions")
    for name in ("content-type", "x-content-type-options", "content-security-policy"):
        assert again.headers[name] == ordinary.headers[name]
    assert int(again.headers["content-length"]) == again.num_bytes_downloaded
    said = [log for log in logs if log["event"] == "request"]
    assert [log["request_id"] for log in said] == ["mine-2", other.headers["x-request-id"]]
    assert {(log["status"], log["path"], log["principal"]) for log in said} == {
        (200, f"/api/{GET}", fast.api.parts.tokens.kept[0].principal.id)  # type: ignore[attr-defined]
    }


async def test_each_encoding_and_host_has_its_own_answer(fast: Fast) -> None:
    execution = await fast.api.started()
    await fast.remembered(execution)
    other = await fast.remembered(execution, more={"host": "hostler.example"})
    assert b"http://hostler.example/executions/" in other
    headers = fast.api.headers({"content-type": "application/proto"})
    body = req.GetAgentExecutionRequest(agent_execution_id=execution).to_binary()
    answers = [await fast.api.http.post(f"{fast.api.url}/api/{GET}", headers=headers, content=body) for _ in range(3)]
    found = [req.GetAgentExecutionResponse.from_binary(one.content).agent_execution for one in answers]
    assert [one and one.id for one in found] == [execution] * 3


async def test_a_changed_annotation_is_seen_at_once(fast: Fast) -> None:
    execution = await fast.api.started()
    for number in range(20):
        await fast.remembered(execution)
        change = {"agentExecutionId": execution, "metadata": {"annotations": {"n": str(number)}}}
        await fast.api.call("UpdateAgentExecution", change)
        found = (await fast.get(execution)).json()["agentExecution"]["metadata"]["annotations"]
        assert found == {"n": str(number)}


async def test_a_deleted_execution_is_gone_at_once(fast: Fast) -> None:
    execution = await fast.api.started()
    await fast.remembered(execution)
    await fast.api.call("DeleteAgentExecution", {"agentExecutionId": execution})
    assert (await fast.get(execution)).status_code == 404


async def test_a_purged_execution_is_gone_at_once(fast: Fast) -> None:
    execution = await fast.api.started()
    await fast.remembered(execution)
    await fast.store.executions.purge(execution)
    assert (await fast.get(execution)).status_code == 404


async def test_who_reads_a_change_in_the_database_finds_no_older_answer(fast: Fast) -> None:
    """The moment between a commit and its acknowledgement belongs to the change already."""
    execution = await fast.api.started()
    await fast.remembered(execution)
    for number in range(50):
        row = await fast.store.executions.row(execution)
        assert row
        appending = asyncio.ensure_future(
            fast.store.executions.append(
                execution, row.position, fast.api.clock.now(), decisions=[ev.AnnotationsSet({"n": str(number)})]
            )
        )
        while True:
            now = await fast.store.executions.row(execution)
            assert now
            if now.last_seq > row.last_seq:
                break
            await asyncio.sleep(0)  # a read may be over at once, and leave nobody else his turn
        found = (await fast.get(execution)).json()["agentExecution"]["metadata"]["annotations"]
        assert found == {"n": str(number)}
        await appending


async def test_what_changes_while_it_is_answered_is_not_remembered(fast: Fast) -> None:
    execution = await fast.api.started()
    fast.desk.hold_answer = asyncio.Event()
    slow = asyncio.ensure_future(fast.get(execution))
    await fast.desk.holding.wait()
    row = await fast.store.executions.row(execution)
    assert row
    changed = [ev.AnnotationsSet({"a": "b"})]
    await fast.store.executions.append(execution, row.position, fast.api.clock.now(), decisions=changed)
    fast.desk.hold_answer.set()
    fast.desk.hold_answer = None
    assert "annotations" not in (await slow).json()["agentExecution"]["metadata"]
    assert (await fast.get(execution)).json()["agentExecution"]["metadata"]["annotations"] == {"a": "b"}


async def test_a_revoked_token_is_refused_at_once(fast: Fast) -> None:
    execution = await fast.api.started()
    await fast.remembered(execution, "bot-token")
    await fast.remembered(execution)
    answer = await fast.api.http.delete(f"{fast.api.url}/api/hostler/v1/tokens/t2", headers=fast.api.headers())
    assert answer.status_code == 200
    assert (await fast.get(execution, "bot-token")).status_code == 401
    assert (await fast.get(execution)).status_code == 200


async def test_a_token_that_expires_is_refused(fast: Fast) -> None:
    soon = fast.api.clock.now() + timedelta(seconds=5)
    await fast.api.tokens.add(ApiToken("t9", hashed("short-lived"), BOT, "soon", "all", fast.api.clock.now(), soon))
    execution = await fast.api.started()
    await fast.remembered(execution, "short-lived")
    fast.api.clock.advance(5)
    assert (await fast.get(execution, "short-lived")).status_code == 401


async def test_a_credential_is_looked_at_again_after_a_while(fast: Fast) -> None:
    execution = await fast.api.started()
    await fast.remembered(execution)
    asked = fast.desk.asked
    fast.api.clock.advance(LOOK_AGAIN)
    await fast.get(execution)
    assert fast.desk.asked == asked + 1


async def test_a_commit_that_does_not_say_what_it_changes_takes_out_all(fast: Fast) -> None:
    execution = await fast.api.started()
    await fast.remembered(execution)
    asked = fast.desk.asked
    await fast.store.tokens.revoke("none")
    await fast.get(execution)
    assert fast.desk.asked == asked + 1


async def test_an_owner_that_is_gone_is_said_at_once(fast: Fast) -> None:
    execution = await fast.api.started()
    await fast.desk.append(execution, ev.EnvironmentReady("e", "i"))
    await fast.api.send(execution, "go")
    before = await fast.remembered(execution)
    assert b"PHASE_RUNNING" in before
    assert b"recovering" not in before
    fast.desk.live = "recovering"
    assert b'"currentActivity":"recovering"' in (await fast.get(execution)).content.replace(b": ", b":")
    fast.desk.live = "live"
    assert b"recovering" not in (await fast.get(execution)).content


async def test_without_a_word_of_changes_nothing_is_remembered(fast: Fast) -> None:
    parts = replace(fast.api.parts, changes=None)
    server = Listening(build(parts))
    other = replace(fast, api=replace(fast.api, parts=parts, url=f"http://127.0.0.1:{await server.start()}"))
    execution = await fast.api.started()
    for _ in range(3):
        asked = fast.desk.asked
        await other.get(execution)
        assert fast.desk.asked == asked + 1
    await server.stop()


async def test_a_strange_request_goes_the_ordinary_way(fast: Fast) -> None:
    execution = await fast.api.started()
    await fast.remembered(execution)
    assert (await fast.get(execution, "no-such-token")).status_code == 401
    assert (await fast.get(execution, "")).status_code == 401
    assert (await fast.api.post(GET, b" " * 300 + b"{}")).status_code == 400
    assert (await fast.api.post(GET, b"{}")).status_code == 400
    assert (await fast.api.http.get(f"{fast.api.url}/api/{GET}", headers=fast.api.headers())).status_code in (405, 415)
    found = await fast.api.post(f"{GET}?pageSize=1", {"agentExecutionId": execution})
    assert found.status_code == 200


async def test_memory_for_answers_has_an_end(fast: Fast) -> None:
    execution = await fast.api.started()
    for number in range(MOST + 10):
        await fast.get(execution, more={"user-agent": f"client {number}"})
    asked = fast.desk.asked
    await fast.get(execution, more={"user-agent": "client 0"})
    assert fast.desk.asked == asked + 1
    await fast.remembered(execution, more={"user-agent": f"client {MOST + 9}"})
