"""What Hostler costs around Codex: until its first model request, and per step against the same program by hand."""

import asyncio
import itertools
import json
import os
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.agents.codex.provider import Provider, provider
from tests.server import HostlerProcess, short_folder

from bench.figures import Figure, Series, in_turns, series
from bench.stage import Stage, opened
from hostler.agents.codex.driver import CodexDriver
from hostler.agents.registry import programs
from hostler.core.agent_events import AgentOpened, AgentTurnDone
from hostler.core.agents import Input, Known, Launch
from hostler.core.machines import Attached, Operation
from hostler.core.providers import EnvSpec
from hostler.environments.local import GATEWAY_SOCKET, GATEWAY_URL, WORK, Settings, local_provider
from hostler.environments.ways import Serve, SocketWay
from hostler.testing.answers import Called, Reply
from hostler.testing.endpoints import Received

CODEX = "00000000-0000-0000-0000-000000007800"
MODEL = "openai-responses:gpt-5.5"
ROUNDS, COLDER = 5, 3
MORE = 20
"""Steps that the longer turn has more than the shorter one."""


def steps(request: Received) -> Reply:
    """Answer `steps N` with N commands, one after the other, and a word."""
    said = request.body["input"]
    asked = max(place for place, one in enumerate(said) if one.get("role") == "user")
    wanted = re.search(r"steps (\d+)", json.dumps(said[asked]))
    done = sum(one["type"] == "function_call_output" for one in said[asked:])
    if wanted and done < int(wanted[1]):
        return Reply("", calls=(Called("exec_command", '{"cmd": "true"}', f"c{len(said)}"),))
    return Reply("Done.")


def measure() -> Iterator[Figure]:
    with provider(steps) as model, short_folder() as folder:
        data = folder / "data"
        data.mkdir(mode=0o711)
        server = HostlerProcess(data, {**model.endpoint.environ(), "HOSTLER_MODEL": MODEL}).start()
        try:
            with opened(server) as stage, asyncio.Runner() as runner:
                yield from _measured(stage, model, runner)
        finally:
            server.close()


def _measured(stage: Stage, model: Provider, runner: asyncio.Runner) -> Iterator[Figure]:
    cold = series(_first_request(stage, model) for _ in range(ROUNDS))
    stage.until_true(lambda: not stage.database.execute("SELECT 1 FROM environment").fetchone(), "the removal")
    colder = series(_first_request(stage, model) for _ in range(COLDER) if _dropped(stage))
    execution = _start(stage, "")
    stage.turn(execution, "steps 1")
    environment = stage.environment_of(execution)
    warm = series(_first_request(stage, model, environment) for _ in range(ROUNDS))
    yield Figure(
        "codex", "StartAgent in a new environment, until the first model request", "ms", cold, target="1500 ms"
    )
    yield Figure("codex", "the same after the kernel was asked to forget the program", "ms", colder, target="1500 ms")
    yield Figure("codex", "StartAgent in a running environment, until it", "ms", warm, target="400 ms")
    hand = _by_hand(model, stage.folder / "hand")
    turn = runner.run(anext(hand))
    found = in_turns(
        ROUNDS,
        {
            "one": lambda: stage.turn(execution, "steps 1"),
            "many": lambda: stage.turn(execution, f"steps {1 + MORE}"),
            "hand one": lambda: runner.run(turn("steps 1")),
            "hand many": lambda: runner.run(turn(f"steps {1 + MORE}")),
        },
    )
    with suppress(StopAsyncIteration):
        runner.run(anext(hand))
    against = "the same app-server by hand in the same sandbox"
    ours, theirs = _a_step(found["one"], found["many"]), _a_step(found["hand one"], found["hand many"])
    yield Figure("codex", "one step more in a turn of Codex", "ms", ours, theirs, against, "1.3 x")
    yield Figure("codex", "a turn of Codex with one step", "ms", found["one"], found["hand one"], against)


def _a_step(one: Series, many: Series) -> Series:
    return series((more - less) / MORE for less, more in zip(one.values, many.values, strict=True))


def _start(stage: Stage, environment: str) -> str:
    body: dict[str, Any] = {"agentId": CODEX}
    if environment:
        body["codeContext"] = {"environmentId": environment}
    return stage.wire.ask("StartAgent", body)[0]["agentExecutionId"]


def _first_request(stage: Stage, model: Provider, environment: str = "") -> float:
    before, since = len(model.endpoint.requests), time.perf_counter()
    execution = _start(stage, environment)
    stage.send(execution, "steps 0")
    came = stage.until_true(lambda: len(model.endpoint.requests) > before, "the first request")
    stage.until(execution, "TurnEnded")
    stage.wire.ask("DeleteAgentExecution", {"agentExecutionId": execution})
    return (came - since) * 1000


def _dropped(stage: Stage) -> bool:
    """Ask the kernel to forget the pages of the program, which it does as far as nobody runs it; return True."""
    copies = (stage.server.folder / "environments" / ".programs").glob("*")
    for place in (*programs().values(), *copies):
        for file in (place / "bin").iterdir():
            with file.open("rb") as opened_file:
                os.posix_fadvise(opened_file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return True


def _passing(model: Provider) -> Serve:
    """Return what passes a connection from inside on to the provider, and adds nothing."""
    port = int(model.endpoint.url.rpartition(":")[2])

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def serve(_: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        with suppress(ConnectionError):
            await asyncio.gather(pump(reader, back), pump(there, writer))

    return serve


async def _by_hand(model: Provider, folder: Path) -> AsyncIterator[Callable[[str], Any]]:
    """Yield what runs one turn of an app-server in a sandbox of its own; None of ours reads or keeps what it says."""
    folder.mkdir(mode=0o711)
    way = SocketWay(GATEWAY_SOCKET, _passing(model))
    place = local_provider(folder / "environments", Settings(programs=programs()), way)
    handle = await place.create(EnvSpec("hand"))
    await place.start(handle)
    machine = place.machine(handle)
    incarnation = await machine.register("hand", 1)
    launch = Launch("hand", "agent-1", WORK, "/home/agent/.hand", GATEWAY_URL, "token", MODEL.partition(":")[2])
    command = CodexDriver().program(launch)
    attached = await machine.attach(Operation("hand", 1, "agent-1"), command, incarnation=incarnation)
    try:
        yield await _turns(attached, launch)
    finally:
        attached.close()
        await place.delete(handle)
        await way.close_all()


async def _turns(attached: Attached, launch: Launch) -> Callable[[str], Any]:
    driver, numbers = CodexDriver(), itertools.count()
    for message in driver.greeting(launch):
        await attached.send(message.id, message.data)
    lines, reader = _lines(attached), driver.reader(launch, Known())

    async def until(kind: type[Any]) -> Any:
        async for line in lines:
            for event in reader.feed(line).events:
                if isinstance(event, kind):
                    return event
        raise RuntimeError("Codex ended")

    known = Known((await until(AgentOpened)).thread)

    async def turn(text: str) -> float:
        since = time.perf_counter()
        block = {"inputs": [{"text": {"content": text}}]}
        message = driver.deliver(known, "agent-1", Input(f"in-{next(numbers)}", block))
        await attached.send(message.id, message.data)
        await until(AgentTurnDone)
        return (time.perf_counter() - since) * 1000

    return turn


async def _lines(attached: Attached) -> AsyncIterator[bytes]:
    rest = b""
    async for _, data in attached.output():
        *whole, rest = (rest + data).split(b"\n")
        for line in whole:
            yield line
