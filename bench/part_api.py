"""How soon the API answers, and how often, beside a bare ASGI application on the same uvicorn settings."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvloop

from bench.figures import Figure, in_turns, series
from bench.scripts import quick
from bench.stage import Stage, cpu_of, serving
from bench.wire import Wire, whole
from hostler.contract.gitpod.v1 import agent_execution_requests_pb as req

CONNECTIONS = 8
SECONDS = 1.0


def measure() -> Iterator[Figure]:
    with serving({"quick": quick(1)}) as stage:
        execution = stage.start()
        environment = stage.environment_of(execution)
        answer = stage.wire.ask("GetAgentExecution", {"agentExecutionId": execution})[0]
        asked: dict[str, Any] = {"agentExecutionId": execution}
        proto = req.GetAgentExecutionRequest(agent_execution_id=execution).to_binary()
        file = stage.folder / "answer"
        file.write_text(json.dumps(answer, separators=(",", ":")))
        with _echo(str(file)) as (pid, echo):
            yield from _answers(stage, echo, environment)
            yield from _rates(stage, pid, echo, asked, "JSON")
        file.write_bytes(stage.wire.raw(stage.wire.request("GetAgentExecution", proto))[0])
        with _echo(str(file)) as (pid, echo):
            yield from _rates(stage, pid, echo, proto, "proto")


@contextmanager
def _echo(answer: str) -> Iterator[tuple[int, Wire]]:
    words = [sys.executable, "-m", "bench.echo", answer]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        wire = Wire(f"http://127.0.0.1:{process.stdout.readline().strip()}", "none")
        try:
            yield process.pid, wire
        finally:
            wire.close()
            process.terminate()


def _answers(stage: Stage, echo: Wire, environment: str) -> Iterator[Figure]:
    """Measure single calls, one after the other."""
    one = stage.start(environment)
    get = {"agentExecutionId": one}
    started = {"codeContext": {"environmentId": environment}}
    called: list[float] = []

    def start() -> float:
        got, took = stage.wire.ask("StartAgent", started)
        stage.until(got["agentExecutionId"], "EnvironmentReady")
        return took

    def send() -> float:
        turns = stage.count(one, "TurnEnded")
        calls = stage.count(one, "ModelCallStarted")
        since = time.time() * 1e6
        took = stage.send(one, "hello")
        stage.until(one, "TurnEnded", turns + 1)
        at = [at for _, kind, at in stage.events(one) if kind == "ModelCallStarted"]
        called.append((at[calls] - since) / 1000)
        return took

    found = in_turns(
        30,
        {
            "echo": lambda: echo.ask("GetAgentExecution", get)[1],
            "get": lambda: stage.wire.ask("GetAgentExecution", get)[1],
            "start": start,
            "send": send,
        },
    )
    bare = "a bare ASGI application"
    yield Figure("api", "StartAgent in an environment that stands", "ms", found["start"], found["echo"], bare, "10 ms")
    yield Figure("api", "SendToAgentExecution", "ms", found["send"], found["echo"], bare)
    yield Figure("api", "GetAgentExecution", "ms", found["get"], found["echo"], bare)
    yield Figure("api", "Send until the model is called", "ms", series(called[1:]), target="25 ms")


def _rates(stage: Stage, pid: int, echo: Wire, body: dict[str, Any] | bytes, form: str) -> Iterator[Figure]:
    """Measure as many calls as go through, and the processor time that each costs its server."""
    assert stage.server.process
    cost: dict[str, list[float]] = {"ours": [], "echo": []}

    def rate(name: str, server: int, wire: Wire) -> float:
        before = cpu_of(server)
        done = uvloop.run(_ask(wire.port, wire.request("GetAgentExecution", body)))
        cost[name].append((cpu_of(server) - before) / done * 1e6)
        return done / SECONDS

    ours = stage.server.process.pid
    works = {"ours": lambda: rate("ours", ours, stage.wire), "echo": lambda: rate("echo", pid, echo)}
    found = in_turns(5, works)
    bare = "a bare ASGI application, the same bytes"
    what = f"GetAgentExecution over {CONNECTIONS} connections, {form}"
    yield Figure("api", what, "requests/s", found["ours"], found["echo"], bare, "0.35 x", better="higher")
    mine, theirs = series(cost["ours"][1:]), series(cost["echo"][1:])
    yield Figure("api", f"processor time of one GetAgentExecution, {form}", "µs", mine, theirs, bare)


class _Asking(asyncio.Protocol):
    """Asks again as soon as it has its answer."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._data = b""
        self.done = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        transport.write(self._request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._data += data
        if whole(self._data) is not None:
            self._data = b""
            self.done += 1
            self._transport.write(self._request)  # type: ignore[attr-defined]


async def _ask(port: int, request: bytes) -> int:
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(lambda: _Asking(request), "127.0.0.1", port) for _ in range(CONNECTIONS)]
    await asyncio.sleep(SECONDS)
    done = sum(protocol.done for _, protocol in made)
    for transport, _ in made:
        transport.abort()
    return done
