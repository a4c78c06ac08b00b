"""Whatever the parts do at once: nothing is stuck or endless, no call or input is lost or doubled."""

from hypothesis import given, settings
from hypothesis import strategies as st

from hostler.core import events as ev
from hostler.core import plan
from hostler.core.agent_events import AgentOpened, AgentTurnBegan, InputSeen, QuestionsAsked
from hostler.core.agents import Question
from hostler.core.approvals_plan import DenyAtDeadline
from hostler.core.commands import (
    Command,
    Compact,
    Delete,
    DeleteInput,
    EditInput,
    MoveInput,
    ReportCredential,
    ReportOutputs,
    Send,
    SetTerms,
    SteerInput,
    Stop,
)
from hostler.core.conversation import ToolCall, Usage
from hostler.core.events import Limits
from hostler.core.external_plan import TellAgent
from hostler.core.judging_events import Condition, ConditionResult, ConditionsEvaluated, ConditionsSet
from hostler.core.judging_plan import EvaluateConditions
from hostler.core.modes_events import NoProgress, RoundLookedAt
from hostler.core.modes_plan import LookAtRound
from hostler.core.waking import CancelWaits
from tests.core.parts_world import Story, goal
from tests.core.test_external_properties import Story as ResidentStory

Step = Command | tuple[int, int]
IDS = st.sampled_from(["i1", "i2", "i3", "i4", "i5", "i6"])
MODES = st.sampled_from([(), (), (), ("ralph",), ("spec",), ("planning",), ("goal",), ("execution",)])
TEXTS = st.sampled_from(["go", "Allow", "Deny", "Stop here", "Go on", "--budget 60 win"])


def send(input_id: str, text: str = "go", modes: tuple[str, ...] = ()) -> Send:
    return Send(input_id, {"inputs": [{"text": {"content": text}}]}, input_id, modes=modes)


COMMANDS: st.SearchStrategy[Command] = st.one_of(
    st.builds(send, IDS, TEXTS, MODES),
    st.builds(send, IDS, TEXTS, MODES),
    st.builds(lambda i: Send(i, {"text": {"content": f"!{i}"}}, i, local="shell"), IDS),
    st.builds(lambda i: Send(i, {"text": {"content": "/clear"}}, i, local="clear"), IDS),
    st.builds(lambda i: Send(i, {"senderExecutionId": "p", "payload": "go on"}, i, "agent"), IDS),
    st.builds(SteerInput, IDS),
    st.builds(DeleteInput, IDS),
    st.builds(MoveInput, IDS),
    st.builds(lambda old, new: EditInput(old, send(new)), IDS, IDS),
    st.just(Compact("")),
    st.sampled_from([goal("set"), goal("pause"), goal("resume"), goal("complete"), goal("clear")]),
    st.just(ReportOutputs({"a": 1})),
    st.sampled_from([SetTerms((Condition("d", "false", max_iterations=2),), {}), SetTerms((), {"max_iterations": 6})]),
    st.sampled_from([ReportCredential("x.test"), ReportCredential("git.test")]),
    st.just(CancelWaits()),
    st.sampled_from([Stop(), Stop(), Delete()]),
)
HAPPENINGS = st.tuples(st.integers(0, 9), st.integers(0, 9))
STEPS: st.SearchStrategy[list[Step]] = st.lists(st.one_of(HAPPENINGS, HAPPENINGS, HAPPENINGS, COMMANDS), max_size=60)
LIMITS = st.sampled_from([Limits(), Limits(), Limits(max_iterations=4), Limits(max_seconds=60)])


def play(story: Story, steps: list[Step]) -> None:
    story.settle()
    for step in steps:
        if isinstance(step, tuple):
            story.happen(*step)
        else:
            story.ask(step)


@settings(max_examples=300, deadline=None)
@given(STEPS, LIMITS, st.integers(0, 63))
def test_any_story_of_all_parts_keeps_every_promise_and_comes_to_rest(
    steps: list[Step], limits: Limits, kind: int
) -> None:
    story = Story(limits, kind)
    play(story, steps)
    story.come_to_rest()


def at_an_approval(*queued: Send) -> Story:
    """Return a story in which a call waits for a person's word, and its turn is over; `queued` came before the call."""
    story = Story()
    story.ask(send("i1"))
    story.append(ev.EnvironmentReady("env", "supervisor-1"))
    story.settle()
    for one in queued:
        story.ask(one)
    push = ToolCall("t", "bash", '{"command": "git push"}')
    story.append(ev.ModelReplied("c1", (push,), Usage(1, 0, 0, 1)))
    story.settle()
    story.append(*plan.ending(story.state))
    assert story.state.phase == "WAITING_FOR_INPUT"
    return story


def test_an_answer_that_came_late_waits_for_the_environment_without_being_denied_again_and_again() -> None:
    story = at_an_approval()
    story.ask(send("i2", "Allow"))
    assert story.state.phase == "RUNNING"
    assert not story.state.environment.ready
    assert not [one for one in plan.wanted(story.state) if isinstance(one, DenyAtDeadline)]


def test_the_word_on_a_call_may_ask_for_a_mode() -> None:
    story = at_an_approval()
    story.ask(send("i2", "look first", ("planning",)))
    story.append(ev.EnvironmentReady("env", "supervisor-1"))
    story.settle()
    assert story.state.modes.now == "planning"
    story.come_to_rest()


def test_a_stop_at_rest_pauses_the_goal() -> None:
    story = at_an_approval()
    story.ask(goal("set"))
    story.append(*plan.ending(story.state))
    story.ask(Stop())
    assert story.state.external.goal is not None
    assert story.state.external.goal.status == "paused"


def test_an_input_that_is_edited_while_a_call_waits_for_a_word_is_that_word() -> None:
    story = at_an_approval(send("i2"))
    story.ask(EditInput("i2", send("i3", "Deny")))
    story.come_to_rest()
    assert not story.state.approvals.asked
    assert story.state.inputs["i3"].state == "taken"


class Resident(ResidentStory):
    """An agent inside whose rounds come to nothing."""

    def carry_out(self, effect: plan.Effect, way: int) -> None:
        match effect:
            case EvaluateConditions(step):
                self.append(ConditionsEvaluated(step, (ConditionResult("d", met=False),)))
            case LookAtRound(number):
                self.append(RoundLookedAt(number, signs=("same",)))
            case TellAgent(what="answer"):
                raise AssertionError("the agent has not asked")
            case _:
                super().carry_out(effect, way)


def stuck(word: str) -> Resident:
    """Return a story of an agent inside for which Hostler asked whether to go on, and a person said this."""
    story = Resident(Limits())
    story.append(ConditionsSet((Condition("d", "false"),)))
    story.ask(send("i1"))
    for _ in range(200):
        if story.state.modes.stuck and story.state.phase != "RUNNING":
            break
        for effect in sorted(plan.wanted(story.state), key=repr):
            if effect in plan.wanted(story.state) and not isinstance(effect, plan.EnforceTime):
                story.carry_out(effect, 0)
                story.settle()
    assert story.state.external.waiting
    story.ask(send("i2", word))
    story.leave_alone()
    return story


def test_an_agent_inside_is_given_what_a_person_says_to_hostlers_own_question() -> None:
    story = stuck("Go on")
    assert "i2" in story.resident.history
    assert sum(isinstance(one.event, NoProgress) for one in story.log) == 2


def test_an_agent_inside_is_not_sent_on_after_a_person_said_stop_here() -> None:
    story = stuck("Stop here")
    assert sum(isinstance(one.event, NoProgress) for one in story.log) == 1
    assert story.state.phase == "WAITING_FOR_INPUT"


def test_a_word_of_hostlers_own_does_not_answer_what_an_agent_inside_asks() -> None:
    story = ResidentStory(Limits())
    story.ask(send("i1"))
    ready = ev.EnvironmentReady("env", "supervisor-1")
    for event in (ready, AgentOpened("agent-1", "t"), InputSeen("i1"), AgentTurnBegan("t1")):
        story.append(event)
        story.settle()
    story.append(QuestionsAsked("ask", (Question("q", "Why?"),)))
    story.ask(Send("h1", {"text": {"content": "there is a credential"}}, "h1", "harness"))
    story.append(*plan.ending(story.state))
    assert story.state.phase == "WAITING_FOR_INPUT"
    assert [queued.id for queued in story.state.queue] == ["h1"]
    story.ask(send("i2", "because"))
    story.append(ready)
    story.settle()
    assert story.state.external.asks[0].answer == "i2"
