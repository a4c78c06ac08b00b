"""Random trees of sub-agents, in random order: together they never use more than the first one was given."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from hostler.core import events as ev
from hostler.core import family_events as m
from hostler.core import plan
from hostler.core.budget import limits_of, used
from hostler.core.commands import GrantShare, HearChild, Send, Stop, decide
from hostler.core.conversation import Text, ToolCall, Usage
from hostler.core.errors import RequestError
from hostler.core.events import Agent, Event, Limits, Recorded, Started
from hostler.core.family import child_id
from hostler.core.family_plan import AskShare, NotifyParent, StopChild
from hostler.core.plan import Session, due, wanted
from hostler.core.state import State, evolve

SESSION = Session("life-1", 0.0)
START = datetime(2026, 1, 1, tzinfo=UTC)
COST = Usage(input=7, output=3)
Choose = Callable[[int], int]


class Tree:
    """Executions without a world: each has a log of its own, and what passes between them is delayed at random."""

    def __init__(self, limits: Limits, choose: Choose) -> None:
        self.states: dict[str, State] = {}
        self.choose = choose
        self.inputs = 0
        agent = Agent("a", "a", "builtin", "m:m", limits=limits, tools=("spawn_agent", "bash"))
        self.begin("root", Started({}, agent, "env", True, "me", "s"))

    def begin(self, execution: str, *events: Event) -> None:
        self.states[execution] = State()
        self.append(execution, *events, ev.EnvironmentReady("env", "supervisor-1"))
        self.send(execution)

    def append(self, execution: str, *events: Event) -> None:
        state = self.states[execution]
        for event in events:
            state = evolve(state, Recorded(state.seq + 1, START + timedelta(seconds=state.seq), event))
        self.states[execution] = state

    def send(self, execution: str) -> None:
        self.inputs += 1
        block = {"inputs": [{"text": {"content": "go"}}]}
        self.command(execution, Send(f"i{self.inputs}", block, f"i{self.inputs}"))

    def command(self, execution: str, asked: Send | Stop | HearChild | GrantShare) -> None:
        try:
            self.append(execution, *decide(self.states[execution], asked, SESSION))
        except RequestError:
            return

    def step(self, execution: str) -> None:
        """Let one execution go on by one decision or one effect."""
        state = self.states[execution]
        if events := due(state, SESSION):
            self.append(execution, *events)
            return
        effects = sorted(wanted(state), key=repr)
        if effects:
            self.perform(execution, effects[self.choose(len(effects))])

    def perform(self, execution: str, effect: plan.Effect) -> None:
        state = self.states[execution]
        above = state.begun.parent
        match effect:
            case plan.PrepareEnvironment():
                self.append(execution, ev.EnvironmentReady("env", "supervisor-1"))
            case plan.CallModel(call_id):
                self.append(execution, ev.ModelReplied(call_id, self.reply(), COST))
            case plan.RunTool(call_id, "spawn_agent"):
                self.spawn(execution, call_id)
            case plan.RunTool(call_id):
                self.append(execution, ev.ToolFinished(call_id, "ok", ""))
            case plan.EndTurn():
                self.append(execution, *plan.ending(state))
            case plan.KillGroup(turn):
                self.append(execution, ev.GroupGone(turn))
            case StopChild(call_id):
                known = state.family.child(call_id)
                assert known is not None
                child = child_id(execution, call_id, known.since)
                if child not in self.states:
                    self.append(execution, m.SubAgentEnded(call_id, "never started", m.Share()))
                    return
                self.command(child, Stop())
                below = self.states[child]
                if below.phase == "STOPPED" and not any(one.stop for one in below.family.children):
                    self.append(execution, m.SubAgentEnded(call_id, "stopped", used(below)))
            case NotifyParent(turn, rest) if above:
                number = state.family.owed[0].grant
                report = m.SubAgentReported(above.call_id, execution, turn, rest, used(state), number)
                self.command(above.execution, HearChild(report, {"payload": ""}, ""))
                self.append(execution, m.ParentNotified(turn, rest))
            case AskShare(grant) if above:
                self.command(above.execution, GrantShare(above.call_id, grant))
                child = self.states[above.execution].family.child(above.call_id)
                assert child is not None
                again = child.live and child.grant >= grant
                self.append(execution, m.ShareGranted(child.share, child.grant) if again else m.ShareDenied("none"))
            case _:
                pass

    def reply(self) -> tuple[Text | ToolCall, ...]:
        match self.choose(4):
            case 0:
                return (Text("done"),)
            case 1:
                return (ToolCall("t", "bash", "{}"),)
            case several:
                wish = '{"task": "x", "budget": {"iterations": %d, "subagents": %d}}'
                return tuple(
                    ToolCall(f"t{n}", "spawn_agent", wish % (self.choose(6), self.choose(4))) for n in range(several)
                )

    def spawn(self, execution: str, call_id: str) -> None:
        state = self.states[execution]
        child = state.family.child(call_id)
        assert child is not None
        depth = (state.begun.parent.depth if state.begun.parent else 0) + 1
        agent = state.begun.agent
        agent = replace(agent, limits=limits_of(agent.limits, child.share, state.limits))
        id_ = child_id(execution, call_id, child.since)
        parent = ev.Parent(execution, call_id, depth)
        self.begin(id_, Started({}, agent, "env", False, "me", "s", parent=parent))
        started = m.SubAgentStarted(call_id, id_, "a", "env")
        self.append(execution, ev.ToolFinished(call_id, "ok", ""), started)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_the_sum_over_a_tree_never_exceeds_the_limits_of_the_first(data: st.DataObject):
    limits = Limits(
        max_iterations=data.draw(st.integers(3, 30)),
        max_output_tokens=data.draw(st.sampled_from([0, 20, 60])),
        max_subagents=data.draw(st.integers(1, 8)),
        max_depth=data.draw(st.integers(1, 3)),
    )
    random = Random(data.draw(st.integers(0, 1 << 32)))
    tree = Tree(limits, random.randrange)
    for _ in range(250):
        everybody = list(tree.states)
        one = everybody[random.randrange(len(everybody))]
        match random.randrange(12):
            case 0:
                tree.send(one)
            case 1 if random.randrange(3) == 0:
                tree.command(one, Stop())
            case _:
                tree.step(one)
        states = tree.states.values()
        assert sum(state.iterations for state in states) <= limits.max_iterations
        assert len(states) - 1 <= limits.max_subagents
        assert all((state.begun.parent.depth if state.begun.parent else 0) <= limits.max_depth for state in states)
        if limits.max_output_tokens:
            over = COST.output * len(states)  # What the last call of each may take beyond its share.
            assert sum(state.usage.output for state in states) <= limits.max_output_tokens + over
