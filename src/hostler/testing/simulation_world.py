"""What a simulated run meets, all of it decided by one seed: a model, a machine, a store, each with bad days."""

import asyncio
import contextlib
import json
import random  # noqa: TID251 the one that a seed decides
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from hostler.core.conversation import Delta, ModelPart, ModelReply, ModelRequest, Text, Thinking, ToolCall, Usage
from hostler.core.errors import (
    Conflict,
    EnvironmentFailed,
    Fenced,
    LogError,
    MachineLost,
    ModelRefused,
    ModelUnavailable,
    StaleFence,
    Unavailable,
)
from hostler.core.events import EgressRefused, Event, Stopped, TurnEnded
from hostler.core.kept import WorkKept
from hostler.core.machines import Command, Operation
from hostler.core.ports import Appended, Executions, Fact, Model, ModelInfo, Position, Row
from hostler.engine.effects import Prepared
from hostler.testing.link import Link
from hostler.testing.world import MemoryMachine, World

MOST_REPLIES = 40
"""Replies with tool calls of one run; after them the model only talks."""
LATE = "too-late.example"
"""What somebody writes, or runs, who was paused in a turn and goes on when it is over."""


@dataclass
class Chance:
    """The seed's one source of chance, and whether faults still happen."""

    seed: int
    calm: bool = False
    told: list[str] = field(default_factory=list[str])
    """What happened, for people."""

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.trouble = self.random.choice((0.0, 0.02, 0.05, 0.12))

    def fault(self, share: float = 1.0) -> bool:
        """Return whether something goes wrong here; never once it is calm."""
        return not self.calm and self.random.random() < self.trouble * share

    async def pause(self, most: float) -> None:
        """Let up to `most` seconds pass."""
        await asyncio.sleep(self.random.random() * most if not self.calm else 0.01)

    def tell(self, text: str) -> None:
        """Note what happened and when."""
        self.told.append(f"{asyncio.get_running_loop().time():10.3f}  {text}")


@dataclass
class Talker:
    """A model that says anything: text, calls of every kind, nonsense, failures, and nothing for a long time."""

    chance: Chance
    info: ModelInfo = field(default_factory=lambda: ModelInfo("any:thing", scripted=True))
    replies: int = 0
    lines: int = 0

    async def call(self, request: ModelRequest, on_delta: Callable[[Delta], None]) -> ModelReply:
        """Make one call."""
        chance, roll = self.chance, self.chance.random
        await chance.pause(4)
        if chance.fault(2):
            raise ModelUnavailable("overloaded", retry_after=roll.choice((None, 0.0, 7.0, 1e9)))
        if chance.fault(0.3):
            raise ModelRefused("not allowed", context_overflow=roll.random() < 0.5)
        if chance.fault(0.3):
            raise RuntimeError("the provider's library is broken")
        text = f"I say {roll.randrange(1000)}. " * roll.randrange(4)
        for n, piece in enumerate(text.split(". ")):
            on_delta(Delta(0, "text", piece))
            await chance.pause(1)
            if n and chance.fault():
                raise ModelUnavailable("the stream broke")
        if chance.fault(0.5):
            chance.tell("the model hangs")
            await asyncio.sleep(900)
            raise ModelUnavailable("timed out")
        calls = self._calls([tool.name for tool in request.tools])
        parts: list[ModelPart] = [Text(text)] if text or not calls else []
        if roll.random() < 0.2:
            parts.insert(0, Thinking("hm"))
        usage = Usage(roll.randrange(2000), roll.randrange(500), roll.randrange(100), roll.randrange(300))
        chance.tell(f"the model replies: {text[:12]!r} {[call.name for call in calls]}")
        return ModelReply((*parts, *calls), usage, "tools" if calls else "stop")

    def _calls(self, offered: Sequence[str]) -> tuple[ToolCall, ...]:
        roll = self.chance.random
        self.replies += 1
        if self.chance.calm or self.replies > MOST_REPLIES or roll.random() < 0.25:
            return ()
        return tuple(self._one(n, offered) for n in range(roll.choice((1, 1, 1, 2, 3, 20))))

    def _one(self, number: int, offered: Sequence[str]) -> ToolCall:
        roll = self.chance.random
        self.lines += 1
        known: dict[str, object] = {
            "bash": {"command": f"line {self.lines}"},
            "write": {"path": f"f{roll.randrange(3)}", "content": f"{self.lines}"},
            "edit": {"path": f"f{roll.randrange(3)}", "old": "1", "new": f"{self.lines}"},
            "read": {"path": f"f{roll.randrange(3)}"},
            "todo": {"todos": [{"title": f"{self.lines}", "state": "pending"}]},
            "ask": {"questions": [{"question": "Which?"}]},
            "wait": {"duration": f"{roll.randrange(1, 300)}s"},
            "add_agent_execution_result": {"key": f"k{roll.randrange(3)}", "value": self.lines},
            "spawn_agent": {"name": f"s{self.lines}", "task": "dig"},
            "no_such_tool": {},
        }
        usual = ("bash",) * 6 + ("write", "edit", "read", "todo")
        name = roll.choice((*usual, *known)) if roll.random() < 0.95 else roll.choice(list(offered) or ["bash"])
        arguments = json.dumps(known.get(name, {}))
        if roll.random() < 0.04:
            arguments = arguments[:-1] + '"'
        return ToolCall(f"t{number}", name, arguments)


@dataclass
class OneModel:
    """A registry that has one model, whatever it is asked for."""

    talker: Talker

    def get(self, name: str) -> Model:
        """Return it."""
        return self.talker

    async def prepare(self, name: str) -> Model:
        """Return it."""
        return self.talker


@dataclass
class Shell:
    """What command lines come to; every line is given once, so that one which runs twice is noticed."""

    chance: Chance
    runs: Counter[str] = field(default_factory=Counter[str])

    async def __call__(self, line: str) -> tuple[int, str]:
        """Run a line."""
        self.runs[line] += 1
        self.chance.tell(f"the sandbox runs {line!r}")
        if self.chance.fault():
            await asyncio.sleep(1800)
        await self.chance.pause(20)
        return self.chance.random.choice((0, 0, 0, 1, 137)), f"{line}\n" * self.chance.random.choice((0, 1, 4000))


@dataclass(slots=True)
class Remembering(MemoryMachine):
    """A machine that knows under which fence something was last begun in it."""

    ran: dict[str, int] = field(default_factory=dict[str, int])

    def _admit(self, operation: Operation, incarnation: str) -> None:
        MemoryMachine._admit(self, operation, incarnation)
        self.ran[operation.execution] = operation.fence


@dataclass(slots=True)
class TroubledWorld(World):
    """A world whose environment is slow, fails, and whose last doings before the end may not succeed."""

    remembering: Remembering = field(default_factory=Remembering)
    chance: Chance = field(default_factory=lambda: Chance(0))

    def __post_init__(self) -> None:
        self.machine = self.remembering

    async def prepare(self, environment: str, execution: str, fence: int) -> Prepared:
        """Find the environment, or not."""
        await self.chance.pause(5)
        if self.chance.fault(0.3):
            raise EnvironmentFailed("there is no room for it")
        return await World.prepare(self, environment, execution, fence)

    async def kill_group(self, environment: str, execution: str, fence: int) -> None:
        """End everything that runs, at some time; a command of the stopped turn that was under way comes behind it."""
        await self.chance.pause(1)
        if self.chance.fault(3):
            raise EnvironmentFailed("the supervisor does not answer")
        await World.kill_group(self, environment, execution, fence)
        late = Operation(execution, self.remembering.ran.get(execution, 0), f"late-{fence}")
        with contextlib.suppress(Fenced, MachineLost):
            await self.machine.exec(late, Command((LATE,)), incarnation=self.machine.incarnation)

    async def keep(self, environment: str, execution: str, turn: int) -> WorkKept:
        """Keep the work, or not."""
        await self.chance.pause(5)
        if self.chance.fault(2):
            raise EnvironmentFailed("the supervisor does not answer")
        return await World.keep(self, environment, execution, turn)


class TroubledLink(Link):
    """A store that is away, that loses acknowledgements, and whose races are lost.

    `past` says that another life has begun: the store lets this one claim nothing and own nothing any more.
    """

    def __init__(self, store: Executions, chance: Chance) -> None:
        super().__init__(store)
        self._chance = chance
        self.past = False

    async def _meet(self) -> None:
        await asyncio.sleep(self._chance.random.choice((0.0, 0.0, 0.001, 0.05)))
        if self._chance.fault(0.5):
            raise Unavailable("the store does not answer")

    async def append(
        self,
        execution: str,
        position: Position,
        at: datetime,
        *,
        facts: Sequence[Fact] = (),
        decisions: Sequence[Event] = (),
        own: str | None = None,
        new_fence: bool = False,
        progress: bool = False,
    ) -> Appended:
        """Append; the answer may be lost, and so may a race."""
        await self._meet()
        if own is not None and self.past:
            raise StaleFence
        if decisions and not facts and self._chance.fault(0.5):
            raise Conflict
        more = {"own": own, "new_fence": new_fence, "progress": progress}
        done = await super().append(execution, position, at, facts=facts, decisions=decisions, **more)  # pyright: ignore[reportArgumentType]
        if done.decided and any(isinstance(event, Stopped | TurnEnded) for event in decisions):
            await self._late(execution, position, at)
        if self._chance.fault(0.5):
            self._chance.tell("an acknowledgement is lost")
            raise Unavailable("the answer was lost")
        return done

    async def _late(self, execution: str, position: Position, at: datetime) -> None:
        """Write as somebody does who was paused in a turn with a fact in his hand, now that it is over."""
        fact = Fact(f"late/{position.fence}/{position.seq}", EgressRefused(LATE, "said when the turn was over"))
        with contextlib.suppress(LogError):
            await super().append(execution, position, at, facts=(fact,))

    async def claim(self, execution: str, seen_fence: int, owner: str) -> Position | None:
        """Claim, but not in the past."""
        await self._meet()
        if self.past:
            raise StaleFence
        return await super().claim(execution, seen_fence, owner)

    async def row(self, execution: str) -> Row | None:
        """Return the row, if the store answers."""
        await self._meet()
        return await super().row(execution)

    async def busy(self, runner: str) -> tuple[Row, ...]:
        """Return busy rows, if the store answers."""
        await self._meet()
        return await super().busy(runner)
