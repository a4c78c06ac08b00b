"""Commands in an environment that go on: told as they come, fed, and counted as use."""

import asyncio
import base64
import json
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from hostler.api.server import build
from hostler.core.machines import Machine
from tests.api.conftest import SECRET, Listening
from tests.api.ops_kit import Ops, ops

__all__ = ["ops"]
UNKNOWN = "0190aaaa-0000-7000-8000-00000000ffff"


async def said(ops: Ops, operation: str = "", **body: Any) -> tuple[dict[str, bytes], dict[str, Any], int]:
    """Run a command by our own stream; return what it said, its last line, and the offset of standard output."""
    url = f"{ops.api.url}/api/hostler/v1/environments/{ops.environment}/exec"
    out, known, last = {"out": b"", "err": b""}, 0, dict[str, Any]()
    request = json.dumps({"operationId": operation, **body})
    async with (
        asyncio.timeout(20),
        ops.api.http.stream("POST", url, headers=ops.api.headers(token=ops.token), content=request) as answer,
    ):
        assert answer.status_code == 200, await answer.aread()
        async for line in answer.aiter_lines():
            last = json.loads(line)
            if "stream" in last:
                out[last["stream"]] += base64.b64decode(last["data"])
                known = last["next"] if last["stream"] == "out" else known
    return out, last, known


def inside(ops: Ops) -> Machine:
    machine = ops.api.environments.inside
    assert machine is not None
    return machine


async def test_what_must_be_there_already_starts_no_stopped_environment(ops: Ops) -> None:
    row = ops.api.environments.rows.kept[ops.environment]
    ops.api.environments.rows.kept[ops.environment] = replace(row, phase="stopped")
    for method, body in (
        ("AttachTerminal", {"terminalId": "t"}),
        ("WriteTerminal", {"terminalId": "t"}),
        ("CloseTerminal", {"terminalId": "t"}),
        ("CancelExec", {"operationId": "o"}),
    ):
        assert (await ops.refused(method, **body))["code"] == "failed_precondition", method
    assert await ops.call("ListTerminals") == {}
    path = f"hostler/v1/environments/{ops.environment}/exec"
    for more, body in (("", {"command": "true", "incarnation": "i"}), ("/o/input", {})):
        assert (await ops.api.refused(path + more, body, token=ops.token))["code"] == "failed_precondition"


class Counting:
    """The environments of the test, counting how often one was used."""

    def __init__(self, environments: Any) -> None:
        self._environments = environments
        self.used = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._environments, name)

    async def machine(self, environment: str) -> Machine:
        self.used += 1
        return await self._environments.machine(environment)


async def test_an_environment_counts_as_used_while_a_command_runs_in_it(ops: Ops) -> None:
    counting: Any = Counting(ops.api.environments)
    other = Listening(build(replace(ops.api.parts, environments=counting)))
    at_work = Ops(replace(ops.api, url=f"http://127.0.0.1:{await other.start()}"), ops.environment, ops.token)
    calls: dict[str, Callable[[str], Coroutine[Any, Any, Any]]] = {
        "whole": lambda operation: at_work.sh("sleep 1000", operationId=operation),
        "told": lambda operation: said(at_work, operation, command="sleep 1000"),
    }
    for operation, call in calls.items():
        running = asyncio.create_task(call(operation))
        before = counting.used + 5
        async with asyncio.timeout(15):
            while counting.used < before:
                await asyncio.sleep(0.01)
                ops.api.clock.advance(30)
        assert not running.done()
        await ops.call("CancelExec", operationId=operation)
        await running
    await other.stop()


async def fed(ops: Ops, operation: str, data: bytes, offset: int = 0, last: str = "") -> dict[str, Any]:
    path = f"hostler/v1/environments/{ops.environment}/exec/{operation}/input?offset={offset}&last={last}"
    return await ops.api.call(path, data, token=ops.token)


async def test_a_streamed_command_is_told_as_it_comes_and_taken_up_at_an_offset(ops: Ops) -> None:
    out, last, known = await said(ops, "s", command="echo out; echo err >&2; exit 3")
    assert (out, last["exitCode"], known) == ({"out": b"out\n", "err": b"err\n"}, 3, 4)
    again, last, known = await said(ops, "s", command="echo out; echo err >&2; exit 3", outOffset=2)
    assert (again, last["exitCode"], known) == ({"out": b"t\n", "err": b"err\n"}, 3, 4)
    _, last, _ = await said(ops, "s", command="echo other")
    assert last["error"]["code"] == "already_exists"
    _, last, _ = await said(ops, "s", command="echo out; echo err >&2; exit 3", incarnation=await inside(ops).ping())
    assert last["exitCode"] == 3
    path = f"hostler/v1/environments/{ops.environment}/exec"
    elsewhere = await ops.api.refused(path, {"command": "true", "incarnation": "another"}, token=ops.token)
    assert elsewhere["code"] == "failed_precondition"
    half = len(SECRET) // 2
    pieces = f"printf %s {SECRET[:half]}; sleep 0.1; printf %s {SECRET[half:]}"
    assert (await said(ops, command=pieces))[0]["out"] == b"[redacted]"
    environment = await said(ops, command="echo $COLOUR", env={"COLOUR": "blue"}, workingDirectory="/tmp")
    assert environment[0]["out"] == b"blue\n"


async def test_the_input_of_a_streamed_command_comes_while_it_runs_each_byte_once(ops: Ops) -> None:
    running = asyncio.create_task(said(ops, "in", command="cat; echo end", input=True))
    path = f"hostler/v1/environments/{ops.environment}/exec/in/input"
    await ops.until(lambda: ops.api.post(path, b"one\n", token=ops.token))
    assert await fed(ops, "in", b"one\ntwo\n") == {"taken": 8}
    assert await fed(ops, "in", b"", offset=8, last="1") == {"taken": 8}
    out, last, _ = await running
    assert (out["out"], last["exitCode"]) == (b"one\ntwo\nend\n", 0)
    assert await fed(ops, "in", b"late", offset=8) == {"ended": True}


async def test_a_command_that_does_not_read_takes_only_so_much_input(ops: Ops) -> None:
    running = asyncio.create_task(said(ops, "deaf", command="echo begun > begun; sleep 1000", input=True))
    await ops.until(lambda: ops.api.post(ops.path("ReadFile"), {"path": "begun"}, token=ops.token))
    part = b"x" * (1 << 20)
    assert (await fed(ops, "deaf", part))["taken"] == len(part)
    taken = (await fed(ops, "deaf", part, offset=len(part)))["taken"]
    assert taken < 3 * len(part)
    assert (await fed(ops, "deaf", part, offset=taken))["taken"] == taken
    await ops.call("CancelExec", operationId="deaf")
    assert (await running)[1]["exitCode"] == 130


async def test_a_streamed_command_that_cannot_run_is_refused_by_name(ops: Ops) -> None:
    path = f"hostler/v1/environments/{ops.environment}/exec"
    for body, field in (
        ({"command": ""}, "command"),
        ({"command": 5}, "command"),
        ({"command": "true", "timeoutSeconds": -1}, "timeoutSeconds"),
        ({"command": "true", "timeoutSeconds": 86401}, "timeout_seconds"),
        ({"command": "true", "workingDirectory": "/etc"}, "working_directory"),
        ({"command": "true", "env": {"A B": "c"}}, "env"),
        ({"command": "true", "outOffset": 1 << 60}, "outOffset"),
        ({"command": "true", "operationId": "x" * 201}, "operation_id"),
    ):
        refused = await ops.api.refused(path, body, token=ops.token)
        assert (refused["code"], refused["message"].split(":")[0]) == ("invalid_argument", field)
    other = await ops.api.refused(f"hostler/v1/environments/{UNKNOWN}/exec", {"command": "true"}, token=ops.token)
    assert other["code"] == "not_found"
    assert (await ops.api.refused(path, {"command": "true"}, token="read-token"))["code"] == "permission_denied"
    unknown = await ops.api.refused(f"{path}/none/input", b"x", token=ops.token)
    assert unknown["code"] == "not_found"
