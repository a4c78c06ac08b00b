"""The queue of the real desk and engine against a sequential model, whatever people do at once.

What is done together may happen in any order, and the engine takes inputs in between. So the model follows every order
that agrees with the answers, and what is seen afterwards must be among what can have come of one of them.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Literal

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from hostler.core import events as ev
from hostler.core.commands import Command, DeleteInput, EditInput, MoveInput, SteerInput, Stop
from hostler.core.conversation import (
    Delta,
    ModelReply,
    ModelRequest,
    Text,
    ToolCall,
    Usage,
    UserMessage,
)
from hostler.core.errors import RequestError
from hostler.core.ports import Model, ModelInfo
from hostler.core.state import State
from hostler.projections.blocks import frames
from hostler.testing.stage import Stage, said

Kind = Literal["send", "delete", "move", "steer", "edit", "stop", "reply"]
Op = tuple[Kind, int, int]
Run = Literal["idle", "stopped", "calling", "fresh", "rest", "stopping"]


class HeldModel:
    """A model whose calls wait until they are let go, and that remembers what it was told."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, ...]] = []
        self.waiting: asyncio.Future[bool] | None = None
        self.info = ModelInfo("held:model")

    def get(self, name: str) -> Model:
        return self

    async def prepare(self, name: str) -> Model:
        return self

    async def call(self, request: ModelRequest, on_delta: Callable[[Delta], None]) -> ModelReply:
        users = [message for message in request.messages if isinstance(message, UserMessage)]
        self.requests.append(tuple(part.text for user in users for part in user.parts if isinstance(part, Text)))
        mine = self.waiting = asyncio.get_running_loop().create_future()
        try:
            goes_on = await mine
        finally:
            if self.waiting is mine:
                self.waiting = None
        parts = (ToolCall("t", "todo", '{"todos": []}'),) if goes_on else (Text("Done."),)
        return ModelReply(parts, Usage(1, 0, 0, 1), "tools" if goes_on else "stop")


@dataclass(frozen=True)
class Waits:
    id: str
    steer: bool = False
    old: bool = False
    """It was there when the stop was asked for."""


@dataclass(frozen=True)
class Possible:
    """One state in which the queue can be."""

    run: Run = "idle"
    queue: tuple[Waits, ...] = ()
    taken: tuple[tuple[str, ...], ...] = ()
    gone: frozenset[str] = frozenset()
    calls: int = 0

    def ids(self) -> list[str]:
        return [one.id for one in self.queue]

    def take(self, ids: Sequence[str]) -> "Possible":
        left = tuple(one for one in self.queue if one.id not in ids)
        taken = (*self.taken, tuple(ids)) if ids else self.taken
        return replace(self, run="calling", queue=left, taken=taken, calls=self.calls + 1)

    def by_itself(self) -> "Possible | None":
        """What the engine does next without anybody's word."""
        steered = [one.id for one in self.queue if one.steer]
        match self.run:
            case "fresh":
                return self.take(steered)
            case "rest" if self.queue:
                return self.take(steered or self.ids()[:1])
            case "rest":
                return replace(self, run="idle")
            case "stopping":
                left = tuple(one for one in self.queue if not one.old)
                dropped = self.gone | {one.id for one in self.queue if one.old}
                return replace(self, run="rest" if left else "stopped", queue=left, gone=dropped)
            case _:
                return None


@dataclass(frozen=True)
class Done:
    """Something that was done, and whether it was accepted."""

    kind: Kind
    id: str = ""
    other: str = ""
    accepted: bool = True


def after(before: Possible, done: Done) -> Possible | None:
    """The state after it; None when it cannot have been answered so."""
    ids = before.ids()
    if done.kind in ("delete", "move", "steer", "edit"):
        fits = done.id in ids and (done.kind != "move" or done.other in ("", *ids))
        if fits != done.accepted:
            return None
        return changed(before, done) if fits else before
    match done.kind:
        case "send":
            run: Run = "rest" if before.run in ("idle", "stopped") else before.run
            return replace(before, run=run, queue=(*before.queue, Waits(done.id)))
        case "stop" if before.run in ("stopped", "stopping"):
            return before
        case "stop" if before.run == "idle":
            return replace(before, run="stopped")
        case "stop":
            return replace(before, run="stopping", queue=tuple(replace(one, old=True) for one in before.queue))
        case _:
            if before.run != "calling" or str(before.calls) != done.id:
                return before
            return replace(before, run="fresh" if done.other else "rest")


def changed(before: Possible, done: Done) -> Possible:
    """The state after a change of one message that waits."""
    at = before.ids().index(done.id)
    one, rest = before.queue[at], [waits for waits in before.queue if waits.id != done.id]
    match done.kind:
        case "delete":
            return replace(before, queue=tuple(rest), gone=before.gone | {done.id})
        case "steer":
            return replace(before, queue=tuple(replace(w, steer=w.steer or w.id == one.id) for w in before.queue))
        case "edit":
            new = Waits(done.other, one.steer)
            queue = (*before.queue[:at], new, *before.queue[at + 1 :])
            return replace(before, queue=queue, gone=before.gone | {done.id})
        case _ if done.other == done.id:
            return before
        case _:
            to = next((n for n, waits in enumerate(rest) if waits.id == done.other), len(rest))
            return replace(before, queue=(*rest[:to], one, *rest[to:]))


def outcomes(before: Possible, done: Sequence[Done]) -> Iterator[Possible]:
    """Every state of rest that can have come of things that were done together."""
    for order in set(permutations(done)):
        reached = {before}
        for one in order:
            reached = {end for start in along(reached) if (end := after(start, one)) is not None}
        yield from (one for one in along(reached) if one.by_itself() is None)


def along(starts: set[Possible]) -> set[Possible]:
    """These states, and all that the engine can have made of them."""
    reached = set(starts)
    for one in starts:
        while (following := one.by_itself()) is not None:
            one = following
            reached.add(one)
    return reached


class QueueMachine(RuleBasedStateMachine):
    """Does things together, and compares."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.model = HeldModel()
        self.stage = Stage(self.model)
        self.known: list[str] = []
        self.possible = Possible()
        self.execution = self.runner.run(self.begin())

    async def begin(self) -> str:
        await self.stage.boot()
        execution = await self.stage.start("held:model", "")
        await self.together((("send", 0, 0),), execution)
        return execution

    @rule(
        ops=st.lists(
            st.tuples(
                st.sampled_from(("send", "send", "delete", "move", "steer", "edit", "stop", "reply", "reply")),
                st.integers(0, 5),
                st.integers(0, 3),
            ),
            min_size=1,
            max_size=4,
        )
    )
    def do(self, ops: list[Op]) -> None:
        self.runner.run(self.together(ops, self.execution))

    def teardown(self) -> None:
        self.runner.run(self.stage.kill())
        self.runner.close()

    async def together(self, ops: Sequence[Op], execution: str) -> None:
        known, calls, held = list(self.known), self.possible.calls, self.model.waiting
        doing = [self.carry_out(op, known, execution, calls, held) for op in ops]
        done = await asyncio.gather(*doing)
        async with asyncio.timeout(20):
            while not self.rests(state := await self.stage.state(execution)):
                await asyncio.sleep(0)
        if self.possible == Possible():
            self.possible = Possible("rest", (Waits("m1"),))
            done = []
        seen = await self.seen(state, execution)
        ends = list(outcomes(self.possible, done))
        fitting = [end for end in ends if (end.run, end.queue, end.taken, end.gone) == seen]
        assert fitting, (self.possible, done, seen, ends)
        self.possible = fitting[0]

    async def carry_out(
        self, op: Op, known: list[str], execution: str, calls: int, held: asyncio.Future[bool] | None
    ) -> Done:
        """Do one thing; what it is about was known before."""
        kind, which, other = op
        if kind == "reply":
            if held is not None and not held.done():
                held.set_result(other > 1)
                return Done(kind, str(calls), "on" if other > 1 else "")
            return Done(kind)
        for _ in range(other):
            await asyncio.sleep(0)
        one = known[-1 - which % len(known)] if known else ""
        done = Done(kind, one)
        command: Command = Stop()
        match kind:
            case "send":
                done = Done(kind, self.name())
                command = said(done.id, done.id)
            case "delete":
                command = DeleteInput(one)
            case "steer":
                command = SteerInput(one)
            case "move":
                done = Done(kind, one, known[-1 - other % len(known)] if other else "")
                command = MoveInput(one, done.other)
            case "edit":
                done = Done(kind, one, self.name())
                command = EditInput(one, said(done.other, done.other))
            case _:
                pass
        try:
            await self.stage.command(execution, command)
        except RequestError:
            return replace(done, accepted=False)
        return done

    def name(self) -> str:
        self.known.append(f"m{len(self.known) + 1}")
        return self.known[-1]

    def rests(self, state: State) -> bool:
        """Whether the engine waits for somebody: the model's reply, or a person."""
        if state.phase != "RUNNING":
            return state.phase in ("WAITING_FOR_INPUT", "STOPPED")
        if state.stop is not None or state.call is None or self.model.waiting is None or self.model.waiting.done():
            return False
        return set(self.model.requests[-1]) == {id_ for id_, one in state.inputs.items() if one.state == "taken"}

    async def seen(
        self, state: State, execution: str
    ) -> tuple[Run, tuple[Waits, ...], tuple[tuple[str, ...], ...], frozenset[str]]:
        """What can be seen from outside, after what must always hold."""
        log = await self.stage.log(execution)
        taken = tuple(r.event.input_ids for r in log if isinstance(r.event, ev.InputTaken))
        flat = [one for group in taken for one in group]
        gone = [r.event.input_id for r in log if isinstance(r.event, ev.InputDeleted | ev.InputDropped)]
        assert len(flat + gone) == len({*flat, *gone})
        for request in self.model.requests:
            assert list(request) == flat[: len(request)]
            assert not set(request) & set(gone)
        shown = frames(execution, log)
        assert [f.body["userInputSeen"]["id"] for f in shown if "userInputSeen" in f.body] == flat
        assert [f.body["userInputDeleted"]["id"] for f in shown if "userInputDeleted" in f.body] == gone
        queues = [
            f.body["userInputQueueUpdated"]["queuedUserInputIds"] for f in shown if "userInputQueueUpdated" in f.body
        ]
        assert queues[-1] == [one.id for one in state.queue]
        runs: dict[str, Run] = {"RUNNING": "calling", "WAITING_FOR_INPUT": "idle", "STOPPED": "stopped"}
        queue = tuple(Waits(one.id, one.steer) for one in state.queue)
        return runs[state.phase], queue, taken, frozenset(gone)


TestQueue = QueueMachine.TestCase
TestQueue.settings = settings(
    max_examples=60, stateful_step_count=12, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
