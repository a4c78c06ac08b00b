"""The main story of the crash matrix, told over a server that dies at one point of it: a commit, or a call outside."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from hostler.core import events as ev
from hostler.core.commands import Delete, SteerInput, Stop
from hostler.core.conversation import Delta, ModelMessage, ModelPart, ModelReply, ModelRequest, Text, ToolCall, Usage
from hostler.core.errors import HostlerError, RequestError
from hostler.core.events import Event, Recorded
from hostler.core.kept import WorkKept
from hostler.core.machines import Command, ExecResult, OnOutput, Operation
from hostler.core.ports import Appended, ExecutionQuery, Executions, Fact, Idempotency, Model, ModelInfo, Position
from hostler.core.state import State
from hostler.engine.effects import Prepared
from hostler.projections.invariants import check
from hostler.testing.link import Died, Link
from hostler.testing.simulation_time import JumpingLoop, LoopClock
from hostler.testing.stage import Stage
from hostler.testing.world import MemoryMachine, World

T = TypeVar("T")
AGAIN = ("TurnAdopted", "EnvironmentReady", "ModelCallCut", "WorkKept")
"""What may be in the log once more after a crash, and costs nobody anything."""
REPLIES: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    ("I look.", (("bash", '{"command": "make test"}'), ("bash", '{"command": "make lint"}'))),
    ("I ask.", (("ask", '{"questions": [{"question": "Which?"}]}'),)),
    ("I wait.", (("bash", '{"command": "sleep"}'),)),
    ("I write.", (("write", '{"path": "a", "content": "1"}'),)),
    ("Done.", ()),
)
LIMIT = 3600.0
"""Seconds of the story's own time in which each step comes true."""


@dataclass
class Bridge:
    """Where the server dies: before or after the point with number `at` (from 1); 0 is nowhere. `twice` doubles."""

    at: int = 0
    after: bool = False
    twice: bool = False
    points: list[str] = field(default_factory=list[str])
    """What was passed, in order."""
    link: Link | None = None
    first: bool = True
    """Whether it is the first life, the only one that dies."""

    async def over(self, what: str, go: Callable[[], Awaitable[T]]) -> T:
        """Pass a point."""
        if not self.first:
            return await go()
        self.points.append(what)
        here = len(self.points) == self.at
        if here and not self.after:
            self._die()
        if self.twice and not what.startswith("commit"):
            await go()
        done = await go()
        if here:
            self._die()
        return done

    def _die(self) -> None:
        assert self.link is not None
        self.link.cut()
        raise Died


class StoryLink(Link):
    """A link whose commits are points of the story."""

    def __init__(self, store: Executions, bridge: Bridge) -> None:
        super().__init__(store, doubled=bridge.twice)
        self._bridge = bridge

    async def append(
        self,
        execution: str,
        position: Position,
        at: datetime,
        *,
        facts: Sequence[Fact] = (),
        decisions: Sequence[Event] = (),
        **more: Any,
    ) -> Appended:
        """Append."""
        self._alive()
        kinds = [type(event).__name__ for event in (*(fact.event for fact in facts), *decisions)]
        tell = super().append
        return await self._bridge.over(
            f"commit {', '.join(kinds)}",
            lambda: tell(execution, position, at, facts=facts, decisions=decisions, **more),
        )

    async def create(
        self, execution: str, runner: str, events: Sequence[Event], at: datetime, once: Idempotency | None = None
    ) -> tuple[str, bool]:
        """Create."""
        self._alive()
        create = super().create
        return await self._bridge.over("commit Started", lambda: create(execution, runner, events, at, once))

    async def purge(self, execution: str) -> None:
        """Purge."""
        self._alive()
        purge = super().purge
        return await self._bridge.over("commit: the execution is removed", lambda: purge(execution))


class StoryMachine(MemoryMachine):
    """A machine whose commands are points of the story."""

    bridge: Bridge

    async def exec(
        self,
        operation: Operation,
        command: Command,
        *,
        incarnation: str,
        on_output: OnOutput | None = None,
        offset: int = 0,
    ) -> ExecResult:
        """Run a command."""
        run = super().exec
        return await self.bridge.over(
            f"call: run {command.argv[-1]!r}", lambda: run(operation, command, incarnation=incarnation)
        )

    async def write(self, operation: Operation, path: str, data: bytes, **more: Any) -> Any:
        """Write a file."""
        write = super().write
        return await self.bridge.over("call: write a file", lambda: write(operation, path, data, **more))


class StoryWorld(World):
    """A world whose doings are points of the story."""

    bridge: Bridge

    async def prepare(self, environment: str, execution: str, fence: int) -> Prepared:
        """Find the environment."""
        prepare = super().prepare
        return await self.bridge.over("call: make the environment", lambda: prepare(environment, execution, fence))

    async def kill_group(self, environment: str, execution: str, fence: int) -> None:
        """End everything that runs."""
        kill = super().kill_group
        await self.bridge.over("call: end its processes", lambda: kill(environment, execution, fence))

    async def keep(self, environment: str, execution: str, turn: int) -> WorkKept:
        """Keep the work."""
        keep = super().keep
        return await self.bridge.over("call: keep the work", lambda: keep(environment, execution, turn))

    async def release(self, environment: str, execution: str, *, owned: bool) -> None:
        """Remove the environment."""
        release = super().release
        await self.bridge.over("call: remove the environment", lambda: release(environment, execution, owned=owned))


@dataclass
class Told:
    """A model that says the next thing of the story, whoever asks; how often it was asked counts."""

    bridge: Bridge
    info: ModelInfo = field(default_factory=lambda: ModelInfo("the:story", scripted=True))
    asked: int = 0

    def get(self, name: str) -> Model:
        """Return itself."""
        return self

    async def prepare(self, name: str) -> Model:
        """Return itself."""
        return self

    async def call(self, request: ModelRequest, on_delta: Callable[[Delta], None]) -> ModelReply:
        """Make one call."""

        async def go() -> ModelReply:
            self.asked += 1
            text, calls = REPLIES[min(sum(isinstance(m, ModelMessage) for m in request.messages), len(REPLIES) - 1)]
            on_delta(Delta(0, "text", text[:3]))
            await asyncio.sleep(0.1)
            on_delta(Delta(0, "text", text[3:]))
            parts: tuple[ModelPart, ...] = (Text(text), *(ToolCall(f"t{n}", *one) for n, one in enumerate(calls)))
            return ModelReply(parts, Usage(10, 1, 1, 5), "tools" if calls else "stop")

        return await self.bridge.over("call: the model", go)


@dataclass
class Found:
    """What a told story came to."""

    points: list[str]
    phase: str = "-"
    """The phase that the next life found; `-` where nothing had been written, or nothing died."""
    lives: int = 0
    runs: Counter[str] = field(default_factory=Counter[str])
    """Command lines, and how often each ran."""
    asked: int = 0
    """Calls of the model."""
    lost: int = 0
    """Inputs that were acknowledged and are not in the log, or were not taken."""
    kinds: Counter[str] = field(default_factory=Counter[str])
    outcomes: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    end: str = ""
    gone: bool = False


@dataclass
class Story:
    """One telling."""

    bridge: Bridge
    stage: Stage
    gate: asyncio.Event
    found: Found
    execution: str = ""

    async def tell(self) -> Found:
        """Tell it to its end in one life after another."""
        await self._boot()
        await self._start()
        await self._send("mend it", "i1")
        await self._until(lambda state: sum(tool.started for tool in state.tools) == 2)
        await self._send("and the docs", "i2")
        await self._surely(lambda: self.stage.command(self.execution, SteerInput("i2")))
        self.gate.set()
        await self._until(lambda state: state.phase == "WAITING_FOR_INPUT" and bool(state.external.asks))
        await self._send("this one", "i3")
        await self._until(lambda state: any(tool.started for tool in state.tools))
        await self._surely(lambda: self.stage.command(self.execution, Stop()))
        await self._until(lambda state: state.phase == "STOPPED" and not state.killing)
        await self._send("go on", "i4")
        await self._until(lambda state: state.phase == "WAITING_FOR_INPUT" and state.iterations == len(REPLIES))
        await self._until(lambda state: not state.unkept)
        await self._look()
        await self._surely(lambda: self.stage.command(self.execution, Delete()))
        await self._gone()
        return self.found

    async def _boot(self) -> None:
        self.bridge.link = StoryLink(self.stage.executions, self.bridge)
        await self.stage.boot(self.bridge.link)
        self.found.lives += 1

    async def _again(self) -> None:
        """Live again after a death, and note what was found."""
        self.bridge.first = False
        self.stage.alive_until = self.stage.clock.now()
        await self.stage.server.engine.close()
        rows = await self.stage.executions.find(ExecutionQuery(), limit=1)
        everything = [await self.stage.executions.row(self.execution)] if self.execution else rows
        row = next((one for one in everything if one), None)
        self.found.phase = row.phase if row else "-"
        await self._boot()

    async def _surely(self, act: Callable[[], Awaitable[object]]) -> None:
        """Do what a client does: again, when there was no answer; what is refused then had come true."""
        try:
            await act()
        except Died:
            await self._again()
            with suppress(RequestError):
                await act()

    async def _start(self) -> None:
        try:
            self.execution = await self.stage.start("the:story")
        except Died:
            await self._again()
            rows = await self.stage.executions.find(ExecutionQuery(), limit=1)
            self.execution = rows[0].id if rows else await self.stage.start("the:story")

    async def _send(self, text: str, input_id: str) -> None:
        await self._surely(lambda: self.stage.send(self.execution, text, input_id))

    async def _until(self, holds: Callable[[State], bool]) -> None:
        end = self.stage.clock.monotonic() + LIMIT
        while not holds(state := await self.stage.state(self.execution)):
            await self._tick(end, f"{state.phase} in turn {state.turn}")

    async def _gone(self) -> None:
        end = self.stage.clock.monotonic() + LIMIT
        while await self.stage.executions.row(self.execution) is not None:
            await self._tick(end, "being deleted")
        self.found.gone = True
        if self.stage.server.link.dead.is_set():
            await self._again()

    async def _tick(self, end: float, where: str) -> None:
        if self.stage.server.link.dead.is_set():
            await self._again()
        assert self.stage.clock.monotonic() < end, f"stuck: {where}"
        await asyncio.sleep(0.1)

    async def _look(self) -> None:
        """Note what the log says before it is deleted."""
        log = await self.stage.log(self.execution)
        row = await self.stage.executions.row(self.execution)
        found, taken = self.found, Counter(_taken(log))
        found.lost = sum(taken[input_id] != 1 for input_id in ("i1", "i2", "i3", "i4"))
        found.kinds = Counter(kind for r in log if (kind := type(r.event).__name__) not in AGAIN)
        found.outcomes = tuple(r.event.outcome for r in log if isinstance(r.event, ev.ToolFinished))
        found.end = row.phase if row else "-"
        found.wrong = tuple(f"{one.rule} at {one.seq}: {one.text}" for one in check(log, row.view if row else None))


def _taken(log: Sequence[Recorded]) -> list[str]:
    return [input_id for r in log if isinstance(r.event, ev.InputTaken) for input_id in r.event.input_ids]


async def _tell(at: int, *, after: bool, twice: bool) -> Found:
    bridge, gate = Bridge(at, after, twice), asyncio.Event()
    found = Found(bridge.points)
    model = Told(bridge)

    async def shell(line: str) -> tuple[int, str]:
        found.runs[line] += 1
        if line == "sleep":
            await asyncio.sleep(10 * LIMIT)
        await gate.wait()
        await asyncio.sleep(1 if line == "make test" else 2)
        return 0, hashlib.sha256(line.encode()).hexdigest()[:8]

    machine = StoryMachine(shell=shell)
    world = StoryWorld(machine=machine)
    machine.bridge = world.bridge = bridge
    story = Story(bridge, Stage(model, world=world, clock=LoopClock()), gate, found)
    try:
        await story.tell()
    except (AssertionError, HostlerError) as problem:
        found.wrong = (*found.wrong, f"{type(problem).__name__}: {problem}")
    found.asked = model.asked
    story.stage.server.link.cut()
    await story.stage.server.engine.close()
    return found


def tell(at: int = 0, *, after: bool = False, twice: bool = False) -> Found:
    """Tell the story with a death before or after point `at`, or with everything done twice."""
    loop = JumpingLoop()
    try:
        found = loop.run_until_complete(_tell(at, after=after, twice=twice))
    finally:
        loop.finish()
    found.wrong = (*found.wrong, *loop.faults)
    return found
