"""One execution, brought from what is to what is wanted: the level-triggered loop.

`append what is due, start what is wanted, cancel what is not, wait` is all it does. It keeps the state and folds only
the tail; a state is only ever folded from appended events. When the process dies anywhere in it, the next owner runs
the same loop from the log.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import NamedTuple

import structlog
from structlog.contextvars import bind_contextvars

from hostler.agents.builtin.context import Log
from hostler.core import agent_events as ae
from hostler.core import events as ev
from hostler.core import external_plan, plan
from hostler.core.ambient import Ambient
from hostler.core.approvals_plan import DenyAtDeadline
from hostler.core.errors import Conflict, StaleFence
from hostler.core.events import Event, Recorded
from hostler.core.family_plan import awaits_shares
from hostler.core.interests_plan import BY_CLOCK
from hostler.core.lease import Lease
from hostler.core.memory_events import ContextCompacted, ShellFinished
from hostler.core.plan import Effect, Session, due, wanted
from hostler.core.ports import Executions, Fact, OpenBlock, Position
from hostler.core.state import State, evolve, fold
from hostler.engine.agents import OpenCalls
from hostler.engine.effects import Effects, within_outputs
from hostler.engine.performing import Outcome
from hostler.engine.scene import Scene
from hostler.engine.slots import Slots

log = structlog.get_logger(__name__)

NAP = 10.0
"""Seconds; a worker whose execution waits by the clock alone for longer than that goes, and comes back in time."""
SLOW_POLL = 10.0
"""Seconds after which a worker looks again although nobody told it to."""
CANCELLING = 5.0
"""Seconds after which an effect that did not hear that it is cancelled is told again."""
CUTTING = ev.Stopped | ae.AgentEnded
"""Decisions that end what is being said."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What every worker of a process shares."""

    executions: Executions
    effects: Effects
    ambient: Ambient
    slots: Slots
    session: Session
    purge: Callable[[str, State], Awaitable[None]]
    lease: Lease | None = None
    """Without one, effects may begin for as long as the process lives."""


class Told(NamedTuple):
    """Facts that came while their effect goes on (None: from outside), and whom to tell when they are in the log."""

    facts: tuple[Fact, ...]
    effect: Effect | None
    kept: asyncio.Future[None]


class Worker:
    """Runs one execution for one owner, until nothing is wanted or another owner has taken it."""

    def __init__(self, execution: str, position: Position, tools: Tools) -> None:
        self._id = execution
        self._position = position
        self._tools = tools
        self._poke = asyncio.Event()
        self.state = State()
        self.log = Log()
        self._running: dict[Effect, asyncio.Task[Outcome]] = {}
        self._told: list[Told] = []
        self._telling: list[Told] = []
        self._has_slot = False
        self._purged = False
        self._inherited = False
        self._late = False
        """Whether nobody told it anything for so long that it reads the log whatever it has heard."""
        self._want: tuple[State, frozenset[Effect]] = (self.state, frozenset())
        self.naps_until: datetime | None = None
        """Until when nobody needs to work on the execution, where it only waits by the clock."""

    def poke(self) -> None:
        """Look again."""
        self._poke.set()

    def move(self, position: Position) -> None:
        """Take the position that a claim gave."""
        self._position = position

    @property
    def fence(self) -> int:
        """Return the fence that this worker holds."""
        return self._position.fence

    @property
    def waits_for_slot(self) -> bool:
        """Return whether the turn is queued behind others of this process."""
        return self.state.phase == "RUNNING" and not self._has_slot and not awaits_shares(self.state)

    async def record(self, facts: tuple[Fact, ...], effect: Effect | None = None) -> None:
        """Have facts appended while their effect goes on, or of the running turn; raises StaleFence when it is over."""
        told = Told(facts, effect, asyncio.get_running_loop().create_future())
        self._told.append(told)
        self.poke()
        await told.kept

    async def run(
        self, adopt: Callable[[State], Event] | None = None, *, inherited: bool = False, blameless: bool = False
    ) -> None:
        """Go on until nothing is wanted; raises StaleFence or Fenced when somebody else has taken the execution.

        `adopt` gives the first event of an adoption; `inherited` says that the last owner died, and not that a
        worker of this process failed. A `blameless` claim does not count as a try.
        """
        self._inherited = inherited
        self._tools.effects.live.restore(self._id)
        try:
            await self.catch_up()
            if adopt is not None and self.state.phase == "RUNNING":
                await self._append_first(
                    adopt(self.state), untried=blameless or awaits_shares(self.state) or not self._may_run()
                )
            while await self._step():
                await self._wait()
        finally:
            await self._drop(lambda _: True)
            _answer([*self._telling, *self._told], StaleFence())
            self._tools.effects.live.leave(self._id)
            self._tools.slots.give_back(self._id)

    async def _step(self) -> bool:
        """Append facts and decisions, then make running what is wanted; return False when nothing is."""
        self._poke.clear()
        lingered = self.state.phase in ("WAITING_FOR_INPUT", "STOPPED")
        if self._late or self._tools.executions.head(self._id) != self.state.seq:
            await self.catch_up()
        if lingered and self.state.phase == "RUNNING":
            return False  # Whoever started this turn took the fence; it begins with a worker of its own.
        told = self._telling = self._heard()
        facts, ahead, ripe = self._reported(told)
        await self._append(facts, ahead, lambda state: due(state, self._tools.session) or ripe(state))
        _answer(told)
        bind_contextvars(turn=self.state.turn)
        want = self._wanted()
        await self._drop(lambda effect: effect not in want)
        if not want or self._purged or self._naps(want):
            return False
        if not self._may_run() or (self._tools.lease is not None and not self._tools.lease.held):
            return True
        for effect in want:
            if effect not in self._running:
                task = asyncio.create_task(self._perform(effect), name=f"{type(effect).__name__} of {self._id}")
                task.add_done_callback(lambda _: self._poke.set())
                self._running[effect] = task
        return True

    def _wanted(self) -> frozenset[Effect]:
        """Return what should be in flight in the present state."""
        if self._want[0] is not self.state:
            self._want = (self.state, wanted(self.state))
        return self._want[1]

    async def _wait(self) -> None:
        self._late = False
        try:
            async with asyncio.timeout(SLOW_POLL):
                await self._poke.wait()
        except TimeoutError:
            self._late = True

    def _naps(self, want: frozenset[Effect]) -> bool:
        """Note until when nothing is to be done, and return whether that is worth leaving for."""
        times = [effect.not_before for effect in want if isinstance(effect, BY_CLOCK | DenyAtDeadline)]
        if self.state.phase != "WAITING_FOR_INPUT" or len(times) < len(want):
            return False
        if (min(times) - self._tools.ambient.now()).total_seconds() <= NAP:
            return False
        self.naps_until = min(times)
        return True

    def _may_run(self) -> bool:
        """Return whether effects may start: a turn that does anything itself needs a slot, everything else does not."""
        free = self.state.phase != "RUNNING" or awaits_shares(self.state)
        if free:
            self._tools.slots.give_back(self._id)
            self._has_slot = False
        elif not self._has_slot:
            self._has_slot = self._tools.slots.take(self._id, self.state.begun.creator_id, self.poke)
        return self._has_slot or self.state.killing or free

    def _heard(self) -> list[Told]:
        """Return what was reported meanwhile by effects that are still wanted, or of a turn that still runs."""
        still, runs = self._wanted(), self.state.phase == "RUNNING" and self.state.stop is None
        told, self._told = self._told, []
        _answer([one for one in told if not (one.effect in still if one.effect else runs)], StaleFence())
        return [one for one in told if not one.kept.done()]

    def ahead(self) -> State:
        """Return the state with what was told of the running turn and is on its way into the log."""
        facts = [fact for one in (*self._telling, *self._told) for fact in one.facts]
        return self._ahead(tuple(facts)) if self.state.phase == "RUNNING" else self.state

    def _reported(self, told: list[Told]) -> tuple[tuple[Fact, ...], State, Callable[[State], tuple[Event, ...]]]:
        """Return what effects came to, if they are still wanted, and the state after it; else it is not believed."""
        still, ahead = self._wanted(), self.state
        facts = [fact for one in told for fact in one.facts]
        ahead = self._ahead(tuple(facts), ahead)
        decisions: list[Callable[[State], tuple[Event, ...]]] = []
        for effect in [effect for effect, task in self._running.items() if task.done()]:
            task = self._running.pop(effect)
            if task.cancelled():
                raise RuntimeError(f"{type(effect).__name__} cancelled itself")
            outcome = task.result()
            if effect in still:
                kept = within_outputs(ahead, outcome.facts)
                facts.extend(kept)
                ahead = self._ahead(kept, ahead)
                decisions.extend([outcome.decide] if outcome.decide else [])

        def ripe(state: State) -> tuple[Event, ...]:
            return next((events for decide in decisions if (events := decide(state))), ())

        return tuple(facts), ahead, ripe

    async def _append(
        self, facts: tuple[Fact, ...], ahead: State, decide: Callable[[State], tuple[Event, ...]]
    ) -> None:
        """Append facts, and decisions made from the state `ahead` that they lead to, until no decision is due."""
        while True:
            decisions = self._with_estimates(self._with_cut_text(decide(ahead), facts))
            if not facts and not decisions:
                return
            try:
                appended = await self._tools.executions.append(
                    self._id,
                    self._position,
                    self._tools.ambient.now(),
                    facts=facts,
                    decisions=decisions,
                    new_fence=any(isinstance(e, ev.TurnEnded | ev.Stopped) for e in decisions),
                    progress=any(self._moves_on(fact.event) for fact in facts),
                )
            except Conflict:
                await self.catch_up()
                ahead = self._ahead(facts)
                continue
            facts = ()
            self._position = Position(appended.position.fence, self.state.seq)
            if (
                appended.decided
                and self._calls
                and any(isinstance(event, ev.TurnEnded | ev.Stopped) for event in decisions)
            ):
                self._calls.cut_now(self._id)
            await self.catch_up(appended.recorded, appended.state)
            ahead = self.state

    @property
    def _calls(self) -> OpenCalls | None:
        """Return the calls of an agent inside; the effects of other agents are calls themselves."""
        return self._tools.effects.agents.calls if self.state.external.processes else None

    def _with_estimates(self, decisions: tuple[Event, ...]) -> tuple[Event, ...]:
        """Return decisions that cut model calls of an agent inside with what those have used so far."""
        if self._calls is None or not any(isinstance(event, ae.AgentCallCut) for event in decisions):
            return decisions
        used = self._calls.estimates(self._id)
        return tuple(
            replace(event, estimate=used.get(event.call_id, event.estimate))
            if isinstance(event, ae.AgentCallCut)
            else event
            for event in decisions
        )

    def _with_cut_text(self, decisions: tuple[Event, ...], facts: tuple[Fact, ...]) -> tuple[Event, ...]:
        """Return decisions with the text that they cut; nothing is shown behind it, and facts may have some of it."""
        live = self._tools.effects.live
        if any(isinstance(event, CUTTING) for event in decisions):
            live.hush(self._id)
        known = {block for fact in facts for block in _blocks(fact.event)}
        blocks = [one for one in live.open_blocks(self._id) if one.block not in known]
        return with_cut_text(decisions, blocks, self.state)

    def _moves_on(self, event: Event) -> bool:
        """Return whether a fact is progress: a result, or that all commands of a dead owner were found again."""
        match event:
            case ae.AgentSaid(cut=cut):
                return not cut
            case ev.ModelReplied() | ev.ToolFinished() | ae.ActionFinished() | ae.AgentCallFinished():
                return True
            case ContextCompacted() | ShellFinished():
                return True
            case ev.EnvironmentReady(incarnation=found):
                x = self.state.external
                inside = [tool.incarnation for tool in self.state.tools if tool.started and tool.incarnation]
                inside += [x.incarnation] if x.process else []
                inside += [shell.incarnation for shell in self.state.memory.shells if shell.incarnation]
                return self._inherited and bool(inside) and all(incarnation == found for incarnation in inside)
            case _:
                return False

    async def _append_first(self, event: Event, *, untried: bool) -> None:
        """Append one event, whatever came before it; a claim that cannot try anything yet does not count as one."""
        written = False
        while not written:
            try:
                appended = await self._tools.executions.append(
                    self._id, self._position, self._tools.ambient.now(), decisions=(event,), progress=untried
                )
                written = appended.decided
            except Conflict:
                pass
            await self.catch_up()

    def _ahead(self, facts: tuple[Fact, ...], state: State | None = None) -> State:
        """Return the state as it will be when the facts are in the log."""
        now = self._tools.ambient.now()
        state = state or self.state
        for fact in facts:
            state = evolve(state, Recorded(state.seq + 1, now, fact.event))
        return state

    async def catch_up(self, known: tuple[Recorded, ...] = (), after: object = None) -> None:
        """Fold what was appended since; `known` spares a read when it is the very next part of the log.

        `after` is what the store folded when it appended that, and spares doing so again.
        """
        fresh = known
        if not known or known[0].seq != self.state.seq + 1:
            fresh, after = await self._tools.executions.read(self._id, self.state.seq), None
        self.log.extend(fresh)
        self.state = after if isinstance(after, State) else fold(fresh, self.state)
        self._quieten(fresh)
        self._position = Position(self._position.fence, self.state.seq)

    def _quieten(self, fresh: tuple[Recorded, ...]) -> None:
        """Forget the text that is in the log now."""
        live = self._tools.effects.live
        if self.state.external.process and not self.state.external.opened:
            return
        for recorded in fresh:
            live.close(self._id, _blocks(recorded.event))
        if fresh and self.state.call is None and not self.state.external.turn:
            live.rest(self._id)

    async def _drop(self, unwanted: Callable[[Effect], bool]) -> None:
        """Cancel effects that are no longer wanted and wait until they are gone."""
        tasks = [self._running.pop(effect) for effect in list(self._running) if unwanted(effect)]
        left = set(tasks)
        while left:
            for task in left:
                task.cancel()
            _, left = await asyncio.wait(left, timeout=CANCELLING)
        for task in tasks:
            if not task.cancelled() and (problem := task.exception()):
                log.info("an effect failed that was not wanted any more", execution=self._id, problem=str(problem))

    async def _perform(self, effect: Effect) -> Outcome:
        effects, scene = self._tools.effects, Scene(self._id, self._position, self.state, self.log)
        match effect:
            case plan.PrepareEnvironment():
                return Outcome(await effects.prepare(effect, scene))
            case plan.CallModel():
                return Outcome(await effects.call_model(effect, scene, partial(self.record, effect=effect)))
            case plan.RunTool():
                return Outcome(await effects.run_tool(effect, scene))
            case plan.KillGroup():
                return Outcome(await effects.kill_group(effect, scene))
            case external_plan.RunAgent():
                return Outcome(await effects.agents.run(effect, scene, partial(self.record, effect=effect)))
            case external_plan.TellAgent():
                return Outcome(await effects.agents.tell(effect, scene))
            case external_plan.CloseAgent():
                await self._tools.ambient.until(effect.not_before)
                return Outcome(await effects.agents.close(effect, scene))
            case plan.KeepWork():
                return Outcome(await effects.keep(effect, scene))
            case plan.EndTurn():
                await self._tools.ambient.until(effect.not_before)
                return Outcome(decide=plan.ending)
            case plan.EnforceTime():
                await self._tools.ambient.until(effect.not_before)
                return Outcome(decide=lambda state: plan.out_of_time(state, self._tools.ambient.now()))
            case plan.Purge():
                await self._tools.purge(self._id, self.state)
                self._purged = True
                return Outcome()
            case _:  # pyright: ignore[reportUnnecessaryComparison]
                return await effects.performers.perform(effect, scene)


def with_cut_text(decisions: tuple[Event, ...], blocks: Sequence[OpenBlock], state: State) -> tuple[Event, ...]:
    """Return decisions that end what was being said with its text before them, so that it is not lost."""
    if not blocks or not any(isinstance(event, CUTTING) for event in decisions):
        return decisions
    if state.call is None:
        said = [ae.AgentSaid(one.call_id, one.text, one.kind == "thinking", one.block, cut=True) for one in blocks]
        return (*said, *decisions)
    cut = tuple(ev.CutText(one.block, one.text, one.kind == "thinking") for one in blocks)
    return (ev.ModelCallCut(state.call.id, cut), *decisions)


def _blocks(event: Event) -> tuple[str, ...]:
    """Return the blocks of text that an event has whole, or as far as they were said."""
    match event:
        case ae.AgentSaid(block=block):
            return (block,)
        case ev.ModelReplied(blocks=blocks):
            return blocks
        case ev.ModelCallCut(_, said):
            return tuple(cut.block for cut in said)
        case _:
            return ()


def _answer(told: list[Told], problem: Exception | None = None) -> None:
    """Tell those who wait that their facts are in the log, or why not."""
    for one in told:
        if one.kept.done():
            continue
        if problem is None:
            one.kept.set_result(None)
        else:
            one.kept.set_exception(problem)
            one.kept.exception()
    told.clear()
