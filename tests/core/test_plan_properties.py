"""Whatever people ask and however effects end: the log stays legal, and every wanted effect has its intent in it."""

import contextlib
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from hostler.core import agent_events as ae
from hostler.core import events as ev
from hostler.core import memory_events as m
from hostler.core import memory_plan, plan
from hostler.core.agents import Question
from hostler.core.approvals_events import Permission
from hostler.core.approvals_plan import DenyAtDeadline
from hostler.core.approving import DenyLate
from hostler.core.commands import (
    Command,
    Compact,
    Delete,
    DeleteInput,
    EditInput,
    MoveInput,
    ReportApplied,
    ReportOutputs,
    Restore,
    Send,
    SteerInput,
    Stop,
    decide,
)
from hostler.core.conversation import Text, ToolCall, Usage
from hostler.core.errors import RequestError
from hostler.core.events import Agent, Event, Limits, Recorded, Started
from hostler.core.kept import WorkKept, WorkNotKept, WorkRestored
from hostler.core.memory import shell_id
from hostler.core.plan import Effect, Session, due, wanted
from hostler.core.state import State, evolve, fold
from hostler.projections.row import project

TOOLS = ("bash", "todo", "ask")
SESSION = Session("life-1", 0.0)
START = datetime(2026, 1, 1, tzinfo=UTC)


class Story:
    """An engine without a world: it appends what it is told and holds what must always hold."""

    def __init__(self, limits: Limits, rules: tuple[Permission, ...] = ()) -> None:
        agent = Agent("a", "a", "builtin", "m:m", limits=limits, tools=TOOLS, tools_inside=("bash",), permissions=rules)
        self.log: list[Recorded] = []
        self.state = State()
        self.append(Started({}, agent, "env", True, "me", "s"))

    def append(self, *events: Event) -> None:
        for event in events:
            at = START + timedelta(seconds=len(self.log))
            recorded = Recorded(len(self.log) + 1, at, event)
            self.state = evolve(self.state, recorded)
            self.log.append(recorded)

    def settle(self) -> None:
        while decisions := due(self.state, SESSION):
            self.append(*decisions)
        self.hold()

    def ask(self, command: Command) -> None:
        with contextlib.suppress(RequestError):
            self.append(*decide(self.state, command, SESSION))
        self.settle()

    def finish(self, effect: Effect, way: int) -> None:
        if isinstance(effect, DenyAtDeadline):
            return self.ask(DenyLate(effect.call_id))
        self.append(*facts_of(effect, way, self.state))
        self.settle()

    def hold(self) -> None:
        log = self.log
        started = {r.event.call_id for r in log if isinstance(r.event, ev.ToolStarted)}
        calls = {r.event.call_id for r in log if isinstance(r.event, ev.ModelCallStarted)}
        finished = [r.event.call_id for r in log if isinstance(r.event, ev.ToolFinished)]
        assert len(finished) == len(set(finished))
        for effect in wanted(self.state):
            match effect:
                case plan.CallModel(call_id):
                    assert call_id in calls
                case plan.RunTool(call_id):
                    assert call_id in started
                    assert call_id not in finished
                case _:
                    pass
        replies = [r.event for r in log if isinstance(r.event, ev.ModelReplied)]
        summaries = [r.event for r in log if isinstance(r.event, m.ContextCompacted)]
        assert self.state.usage == sum((made.usage for made in (*replies, *summaries)), Usage())
        assert self.state.iterations == len(replies) + sum(bool(summary.model) for summary in summaries)
        self.hold_typed()
        if self.state.phase in ("WAITING_FOR_INPUT", "STOPPED"):
            asked = [f"{r.call_id}.{n}" for r in replies for n, p in enumerate(_calls(r))]
            waits = [tool.id for tool in self.state.tools]
            assert sorted([*finished, *waits]) == sorted(asked)
            assert bool(waits) == bool(self.state.approvals.asked)
        if self.state.phase == "RUNNING":
            assert wanted(self.state)
        self.hold_questions()
        fates = [i for r in log for i in _consumed(r.event)]
        assert len(fates) == len(set(fates))
        assert fold(log) == self.state

    def hold_typed(self) -> None:
        """A typed command has one result at most, and none is left over when nothing runs; a compaction ends too."""
        log = [recorded.event for recorded in self.log]
        typed = [shell_id(one.input_id) for one in log if isinstance(one, ev.InputQueued) and one.local == "shell"]
        begun = [one.call_id for one in log if isinstance(one, m.ShellStarted)]
        ended = [one.call_id for one in log if isinstance(one, m.ShellFinished)]
        assert len(begun) == len(set(begun))
        assert len(ended) == len(set(ended))
        assert set(begun) | set(ended) <= set(typed)
        if self.state.phase in ("WAITING_FOR_INPUT", "STOPPED"):
            assert sorted(ended) == sorted(typed)
            assert not self.state.memory.compacting

    def hold_questions(self) -> None:
        """What was asked is open until a person's input is taken or the execution stops; until then nothing is said."""
        asked: list[str] = []
        for event in (recorded.event for recorded in self.log):
            match event:
                case ae.QuestionsAsked(ask):
                    asked.append(ask)
                case ae.QuestionsClosed(ask):
                    asked.remove(ask)
                case ev.Stopped() | WorkRestored():
                    asked.clear()
                case ev.ModelCallStarted():
                    assert not asked
                case _:
                    pass
        assert [ask.ask for ask in self.state.external.asks] == asked


def _calls(reply: ev.ModelReplied) -> list[ToolCall]:
    return [part for part in reply.parts if isinstance(part, ToolCall)]


def _consumed(event: Event) -> tuple[str, ...]:
    match event:
        case ev.InputTaken(input_ids):
            return input_ids
        case ev.InputDropped(input_id) | ev.InputDeleted(input_id):
            return (input_id,)
        case _:
            return ()


def facts_of(effect: Effect, way: int, state: State) -> tuple[Event, ...]:
    """Return one of the ways in which an effect can end."""
    match effect:
        case plan.PrepareEnvironment():
            if way == 0:
                return (ev.EnvironmentFailed("no"),)
            return (ev.EnvironmentReady("env", f"supervisor-{way % 3}"),)
        case plan.CallModel(call_id):
            if way == 0:
                return (ev.ModelCallFailed(call_id, "busy", START),)
            if way == 1:
                return (ev.ModelCallFailed(call_id, "gone", None, overflow=len(state.inputs) % 2 == 0),)
            names = ("bash", "ask", "todo", "unknown")
            calls = tuple(ToolCall(f"t{n}", names[(n + len(state.inputs)) % 4], "{}") for n in range(way - 2))
            return (ev.ModelReplied(call_id, (Text("hi"), *calls), Usage(1, 2, 3, 4)),)
        case plan.RunTool(call_id, name, _, incarnation):
            if way == 0 and incarnation:
                return (ev.SupervisorLost(incarnation),)
            if name == "ask" and way > 1:
                return (ev.ToolFinished(call_id, "ok", "shown"), ae.QuestionsAsked(call_id, (Question("q", "Why?"),)))
            return (ev.ToolFinished(call_id, "ok", "done"),)
        case memory_plan.Compact(id_):
            return (m.ContextCompacted(id_, "short", tokens=way, model="m" if way else "", usage=Usage(way, 0, 0, 1)),)
        case memory_plan.RunShell(call_id, _, incarnation):
            return (ev.SupervisorLost(incarnation),) if way == 0 else (m.ShellFinished(call_id, "ok", "done"),)
        case plan.EndTurn():
            return plan.ending(state)
        case plan.EnforceTime():
            return plan.out_of_time(state, START + timedelta(days=1))
        case plan.KillGroup(turn):
            return (ev.GroupGone(turn),)
        case plan.KeepWork(turn):
            return (WorkNotKept(turn, "full"),) if way == 0 else (WorkKept(turn, "c" * 40, way),)
        case plan.Purge():
            return ()


IDS = st.sampled_from(["i1", "i2", "i3", "i4", "i5"])
COMMANDS = st.one_of(
    st.builds(lambda i, d: Send(i, {"text": {"content": i}}, d), IDS, st.sampled_from(["x", "y"])),
    st.builds(lambda i: Send(i, {"text": {"content": f"!{i}"}}, i, local="shell"), IDS),
    st.builds(lambda i: Send(i, {"text": {"content": "/clear"}}, i, local="clear"), IDS),
    st.just(Compact("r1")),
    st.builds(lambda i: Send(i, {"text": {"content": "allow"}}, "allow"), IDS),
    st.builds(DeleteInput, IDS),
    st.builds(MoveInput, IDS, st.one_of(IDS, st.just(""))),
    st.builds(SteerInput, IDS),
    st.builds(lambda old, new: EditInput(old, Send(new, {"text": {"content": new}}, "x")), IDS, IDS),
    st.just(Stop()),
    st.just(Delete()),
    st.just(ReportOutputs({"a": 1})),
    st.just(ReportApplied("c" * 40)),
    st.just(Restore("other", 1, "c" * 40)),
)
STEPS = st.lists(st.one_of(COMMANDS, st.tuples(st.integers(0, 5), st.integers(0, 9))), max_size=60)


RULES = (Permission("bash", "ask"), Permission("todo", "ask"))


@settings(max_examples=600, deadline=None)
@given(
    STEPS, st.sampled_from([Limits(), Limits(max_iterations=3), Limits(max_seconds=30)]), st.sampled_from([(), RULES])
)
def test_any_story_keeps_every_promise(steps, limits, rules):
    story = Story(limits, rules)
    story.settle()
    for step in steps:
        if isinstance(step, tuple):
            way, which = step
            effects = sorted(wanted(story.state), key=repr)
            if effects:
                story.finish(effects[which % len(effects)], way)
        else:
            story.ask(step)


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_what_is_busy_can_go_on_and_what_is_not_has_nothing_due(steps):
    story = Story(Limits())
    for step in steps:
        if isinstance(step, tuple):
            effects = sorted(wanted(story.state), key=repr)
            if effects:
                story.finish(effects[step[1] % len(effects)], step[0])
        else:
            story.ask(step)
        assert project(story.state).busy == bool(wanted(story.state))


@settings(max_examples=200, deadline=None)
@given(STEPS, st.sampled_from([(), RULES]))
def test_a_story_left_alone_comes_to_rest(steps, rules):
    story = Story(Limits(), rules)
    for step in steps:
        if not isinstance(step, tuple):
            story.ask(step)
    for _ in range(200):
        effects = sorted((e for e in wanted(story.state) if not isinstance(e, plan.Purge)), key=repr)
        if not effects:
            break
        story.finish(effects[0], 4 if not isinstance(effects[0], plan.CallModel) else 2)
    assert not {e for e in wanted(story.state) if not isinstance(e, plan.Purge)}
