"""Whatever an agent in the environment does, and whenever it dies: nothing is stuck, lost, doubled or left open."""

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st

from hostler.core import agent_events as ae
from hostler.core import events as ev
from hostler.core import external_plan, plan
from hostler.core.agents import GoalChange
from hostler.core.commands import ChangeGoal, Command, Compact, Delete, DeleteInput, Send, SteerInput, Stop, decide
from hostler.core.conversation import Usage
from hostler.core.errors import RequestError
from hostler.core.events import Agent, Event, Limits, Recorded, Started
from hostler.core.external_plan import TellAgent
from hostler.core.kept import WorkKept
from hostler.core.plan import Effect, Session, due, wanted
from hostler.core.state import State, evolve, fold
from hostler.projections.row import project
from tests.core.resident_world import Gateway, Resident

SESSION = Session("life-1", 0.0)
START = datetime(2026, 1, 1, tzinfo=UTC)
PATIENCE = 400


class Story:
    """An engine whose world is a resident."""

    def __init__(self, limits: Limits) -> None:
        self.log: list[Recorded] = []
        self.state = State()
        self.resident = Resident()
        self.gateway = Gateway()
        self.supervisors = 1
        self.append(Started({}, Agent("a", "a", "resident", "m:m", limits=limits), "env", True, "me", "s"))

    def append(self, *events: Event) -> None:
        for event in events:
            recorded = Recorded(len(self.log) + 1, START + timedelta(seconds=len(self.log)), event)
            self.state = evolve(self.state, recorded)
            self.log.append(recorded)

    def settle(self) -> None:
        for _ in range(PATIENCE):
            if not (decisions := due(self.state, SESSION)):
                return self.hold()
            self.append(*decisions)
        raise AssertionError(f"decisions without end: {self.log[-3:]}")

    def ask(self, command: Command) -> None:
        match command:
            case Compact():
                command = Compact(f"c{len(self.log)}")
            case ChangeGoal(_, change):
                command = ChangeGoal(f"g{len(self.log)}", change)
            case _:
                pass
        with contextlib.suppress(RequestError):
            self.append(*decide(self.state, command, SESSION))
        self.settle()

    def happen(self, way: int, which: int, trouble: int) -> None:
        """Let something happen: an effect goes on, a call begins or ends, a server or a supervisor dies."""
        effects = sorted(wanted(self.state), key=repr)
        happening: list[Callable[[], None]] = [partial(self.carry_out, effect, way) for effect in effects]
        if any(isinstance(effect, external_plan.RunAgent) for effect in effects):
            happening.append(lambda: self.append(*self.gateway.begin()))
            happening += [self.lose_process, self.lose_supervisor] if trouble == 0 else []
        if self.gateway.open and self.state.phase == "RUNNING" and self.state.stop is None:
            happening.append(lambda: self.append(*self.gateway.end(way, self.state)))
        if self.state.phase == "RUNNING" and trouble == 0:
            happening.append(self.adopt)
        if happening:
            happening[which % len(happening)]()
            self.settle()

    def carry_out(self, effect: Effect, way: int) -> None:
        match effect:
            case plan.PrepareEnvironment():
                self.append(ev.EnvironmentReady("env", f"supervisor-{self.supervisors}"))
            case external_plan.RunAgent(process):
                self.resident.begin(process)
                self.append(*self.resident.act(way, self.state))
            case TellAgent():
                self.resident.tell(effect)
            case external_plan.CloseAgent(process):
                self.resident.end()
                self.append(ae.AgentEnded(process))
            case plan.EndTurn():
                self.append(*plan.ending(self.state))
            case plan.EnforceTime():
                self.append(*plan.out_of_time(self.state, START + timedelta(days=1)))
            case plan.KillGroup(turn):
                self.resident.end()
                self.append(ev.GroupGone(turn))
            case plan.KeepWork(turn):
                self.append(WorkKept(turn, "c" * 40))
            case _:
                pass

    def lose_process(self) -> None:
        self.resident.end()
        self.append(ae.AgentEnded(self.state.external.process, "killed", died=True))

    def lose_supervisor(self) -> None:
        self.supervisors += 1
        self.resident.end()
        self.append(ev.SupervisorLost(self.state.environment.incarnation))

    def adopt(self) -> None:
        self.gateway.open.clear()
        self.append(ev.TurnAdopted("life-2", START))

    def progress(self) -> tuple[int, ...]:
        """Count what only grows while there is something left to do."""
        return len(self.log), len(self.resident.told), len(self.resident.told) - len(self.resident.inbox)

    def leave_alone(self) -> None:
        """Let everything that is under way come to its end; fail when it does not."""
        for _ in range(PATIENCE):
            before = self.progress()
            for effect in sorted(wanted(self.state), key=repr):
                if effect in wanted(self.state) and not isinstance(effect, plan.EnforceTime | plan.Purge):
                    self.carry_out(effect, 0)
                    self.settle()
            if self.gateway.open and self.state.phase == "RUNNING" and self.state.stop is None:
                self.append(*self.gateway.end(1, self.state))
                self.settle()
            if not [effect for effect in wanted(self.state) if not isinstance(effect, plan.Purge)]:
                break
            assert before != self.progress() or self.state.phase != "RUNNING", (
                f"stuck with {wanted(self.state)} and {self.state.external}"
            )
        assert self.state.phase in ("PENDING", "WAITING_FOR_INPUT", "STOPPED")

    def hold(self) -> None:
        log, x = self.log, self.state.external
        started = [r.event.item for r in log if isinstance(r.event, ae.ActionStarted)]
        finished = [r.event.item for r in log if isinstance(r.event, ae.ActionFinished)]
        assert len(finished) == len(set(finished))
        assert sorted(finished) == sorted(set(started) - {action.item for action in x.actions})
        ended = [r.event for r in log if isinstance(r.event, ae.AgentCallFinished | ae.AgentCallCut)]
        assert len(ended) == len({one.call_id for one in ended})
        counted = [one.usage for one in ended if isinstance(one, ae.AgentCallFinished)]
        assert self.state.usage == sum(counted, Usage())
        assert len(self.resident.history) == len(set(self.resident.history)), "an input was delivered twice"
        assert len(self.resident.answered) == len(set(self.resident.answered))
        assert project(self.state).busy == bool(wanted(self.state))
        if self.state.phase == "RUNNING":
            assert wanted(self.state)
        else:
            assert not [*x.actions, *x.calls]
        if self.state.phase == "WAITING_FOR_INPUT" and not x.waiting:
            assert not [*x.given, *x.asks]
            assert not x.turn + x.compact + x.change_id
            assert self.resident.child is None or self.resident.child.state != "running"
        fates = [i for r in log for i in _consumed(r.event)]
        assert len(fates) == len(set(fates))
        assert fold(log) == self.state


def _consumed(event: Event) -> tuple[str, ...]:
    match event:
        case ev.InputTaken(input_ids):
            return input_ids
        case ev.InputDropped(input_id) | ev.InputDeleted(input_id):
            return (input_id,)
        case _:
            return ()


def send(input_id: str) -> Send:
    return Send(input_id, {"text": {"content": input_id}}, input_id)


Happening = tuple[int, int, int]
Script = list[Command | Happening]
IDS = st.sampled_from(["i1", "i2", "i3", "i4", "i5"])
TALK: st.SearchStrategy[Command] = st.one_of(
    st.builds(send, IDS),
    st.builds(SteerInput, IDS),
    st.builds(DeleteInput, IDS),
    st.just(Compact("")),
    st.just(ChangeGoal("", GoalChange("set", "win"))),
)
ENDS: st.SearchStrategy[Command] = st.sampled_from([Stop(), Stop(), Delete()])
HAPPENINGS: st.SearchStrategy[Happening] = st.tuples(st.integers(0, 11), st.integers(0, 11), st.integers(0, 4))
LIMITS = st.sampled_from([Limits(), Limits(max_iterations=3), Limits(max_seconds=60)])


def scripts(*commands: st.SearchStrategy[Command]) -> st.SearchStrategy[Script]:
    return st.lists(st.one_of(HAPPENINGS, HAPPENINGS, HAPPENINGS, *commands), min_size=10, max_size=80)


def play(story: Story, script: Script) -> None:
    story.ask(send("i0"))
    for step in script:
        if isinstance(step, tuple):
            story.happen(*step)
        else:
            story.ask(step)
    story.leave_alone()


@settings(max_examples=200, deadline=None)
@given(scripts(TALK, ENDS), LIMITS)
def test_any_story_of_a_resident_keeps_every_promise_and_comes_to_rest(script: Script, limits: Limits) -> None:
    play(Story(limits), script)


@settings(max_examples=200, deadline=None)
@given(scripts(TALK))
def test_every_input_reaches_the_agent_unless_it_was_deleted_or_the_execution_stopped(script: Script) -> None:
    story = Story(Limits())
    play(story, script)
    taken = {i for r in story.log if isinstance(r.event, ev.InputTaken) for i in r.event.input_ids}
    if story.state.phase == "WAITING_FOR_INPUT":
        waiting = {one.id for one in story.state.external.given} if story.state.external.waiting else set[str]()
        assert taken <= {*story.resident.history, *story.resident.answered, *waiting}
