"""What is told to an agent in the environment, and when."""

from datetime import UTC, datetime, timedelta

from hostler.core import agent_events as ae
from hostler.core import events as ev
from hostler.core.agents import Child, Goal, GoalChange, Question
from hostler.core.events import Event, Recorded
from hostler.core.external_plan import TellAgent, idle_agent, wanted_of_agent
from hostler.core.plan import Session, due
from hostler.core.state import State, fold

START = datetime(2026, 1, 1, tzinfo=UTC)
OPEN = (
    ev.Started({}, ev.Agent("a", "codex", "codex", "m:m"), "env", True, "me", "s"),
    ev.EnvironmentReady("env", "life-1"),
    ev.TurnStarted(1, "us"),
    ae.AgentStarting("agent-1", "life-1"),
    ae.AgentOpened("agent-1", "thread"),
)
GIVEN = (ev.InputQueued("in-1", {}, "d"), ev.InputTaken(("in-1",)))
PURSUING = (ae.GoalChanged(Goal("win", "active")), ae.AgentTurnBegan("t1"))


def state(*events: Event) -> State:
    whole = enumerate((*OPEN, *events), start=1)
    return fold(Recorded(seq, START + timedelta(seconds=seq), event) for seq, event in whole)


def told(*events: Event) -> set[TellAgent]:
    return {effect for effect in wanted_of_agent(state(*events)) if isinstance(effect, TellAgent)}


def test_an_input_waits_for_the_end_of_a_turn() -> None:
    assert told(*GIVEN, ae.AgentTurnBegan("t1")) == set()
    ended = (ae.AgentTurnBegan("t1"), ae.AgentTurnDone("t1"))
    assert told(*GIVEN, *ended) == {TellAgent("agent-1", "deliver", "in-1")}


def test_an_input_goes_into_the_turn_of_an_agent_that_pursues_a_goal() -> None:
    assert told(*PURSUING, *GIVEN) == {TellAgent("agent-1", "deliver", "in-1")}


def test_an_input_that_this_turn_does_not_take_is_told_once_more_after_it() -> None:
    refused = (*PURSUING, *GIVEN, ae.SteerMissed("in-1"))
    again = {TellAgent("agent-1", "deliver", "in-1", missed="t1")}
    assert told(*refused) == set()
    assert told(*refused, ae.AgentTurnDone("t1")) == again
    assert told(*refused, ae.AgentTurnDone("t1"), ae.AgentTurnBegan("t2")) == again


def test_a_wish_for_another_goal_does_not_wait_and_is_answered_by_name() -> None:
    wish = (*PURSUING, ae.GoalRequested("r1", GoalChange("pause")))
    assert told(*wish) == {TellAgent("agent-1", "goal", "r1")}
    assert told(*wish, ae.GoalChanged(Goal("win", "active", tokens_used=5))) == {TellAgent("agent-1", "goal", "r1")}
    assert told(*wish, ae.GoalChanged(Goal("win", "paused"), "r1")) == set()


def test_helpers_that_died_with_the_process_do_not_hold_the_turn() -> None:
    child = ae.ChildReported(Child("c", "helper", "running"))
    assert not idle_agent(state(child))
    gone = state(child, ae.AgentEnded("agent-1", "killed", died=True))
    assert idle_agent(gone)
    assert [one.state for one in gone.external.children] == ["failed"]


ASKED = (*GIVEN, ae.AgentTurnBegan("t1"), ae.InputSeen("in-1"), ae.QuestionsAsked("ask-1", (Question("q", "Which?"),)))
SECOND = (ev.InputQueued("in-2", {}, "e"), ev.SteerRequested("in-2"), ev.InputTaken(("in-2",)))
SESSION = Session("us", 0.0)


def test_a_steered_input_that_an_idle_agent_was_given_does_not_join_the_turn_that_it_begins() -> None:
    assert told(*SECOND) == {TellAgent("agent-1", "deliver", "in-2")}
    assert told(*SECOND, ae.AgentTurnBegan("t1")) == set()


def test_a_steered_input_joins_the_turn_of_an_agent_that_pursues_a_goal_and_is_not_delivered_as_well() -> None:
    assert told(*PURSUING, *SECOND) == {TellAgent("agent-1", "steer", "in-2")}


def test_steered_inputs_are_told_one_after_the_other() -> None:
    third = (ev.InputQueued("in-3", {}, "f"), ev.SteerRequested("in-3"), ev.InputTaken(("in-3",)))
    running = (ae.AgentTurnBegan("t1"), *SECOND, *third)
    assert told(*running) == {TellAgent("agent-1", "steer", "in-2")}
    assert told(*running, ae.InputSeen("in-2")) == {TellAgent("agent-1", "steer", "in-3")}


def test_what_an_interrupted_turn_did_not_take_is_told_once_more() -> None:
    assert told(*GIVEN, ae.AgentTurnBegan("t1"), ae.AgentTurnDone("t1", "interrupted")) == {
        TellAgent("agent-1", "deliver", "in-1", missed="t1")
    }


def test_a_compaction_that_was_interrupted_is_over() -> None:
    begun = (ae.CompactRequested("c1"), ae.AgentTurnBegan("t1"))
    assert idle_agent(state(*begun, ae.AgentTurnDone("t1", "interrupted")))
    later = (ae.AgentTurnBegan("t1"), ae.CompactRequested("c1"), ae.AgentTurnDone("t1", "interrupted"))
    assert told(*later) == {TellAgent("agent-1", "compact", "c1")}


def test_an_answer_is_told_before_the_execution_waits_for_the_next_one() -> None:
    another = ae.QuestionsAsked("ask-2", (Question("q", "And which?"),))
    answered = (*ASKED, another, ev.InputQueued("in-2", {}, "e"), ev.InputTaken(("in-2",)))
    assert idle_agent(state(*ASKED, another))
    assert not idle_agent(state(*answered))
    assert idle_agent(state(*answered, ae.QuestionsClosed("ask-1")))


def test_a_wish_for_a_goal_is_told_while_the_agent_waits_for_an_answer() -> None:
    assert not idle_agent(state(*ASKED, ae.GoalRequested("r1", GoalChange("set", "win"))))


def test_an_answer_that_a_turn_did_not_hear_is_given_as_an_input() -> None:
    answered = (*ASKED, ev.InputQueued("in-2", {}, "e"), ev.InputTaken(("in-2",)))
    assert told(*answered, ae.AgentTurnDone("t1")) == {TellAgent("agent-1", "deliver", "in-2")}


def test_a_model_call_ends_with_the_process_that_made_it() -> None:
    call = ae.AgentCallStarted("call-1", "m:m", "/v1/responses")
    lost = state(call, ae.AgentEnded("agent-1", "killed", died=True))
    assert [(type(e), getattr(e, "call_id", "")) for e in due(lost, SESSION)] == [(ae.AgentCallCut, "call-1")]


def stops(*events: Event) -> str:
    """Return the failure that is due."""
    return next((e.message for e in due(state(*events), SESSION) if isinstance(e, ev.Stopped)), "")


def lives(number: int, *doings: Event) -> tuple[Event, ...]:
    """Return processes that do something and die in the middle of an action."""
    found: list[Event] = []
    for n in range(1, number + 1):
        found += [ae.AgentStarting(f"agent-{n}", "life-1")] if n > 1 else []
        found += [ae.AgentOpened(f"agent-{n}", "thread"), ae.AgentTurnBegan(f"t{n}"), *doings]
        found += [ae.ActionStarted(f"a{n}", "bash", "{}"), ae.AgentEnded(f"agent-{n}", "killed", died=True)]
        found += [ae.ActionFinished(f"a{n}", "unknown")]
    return tuple(found)


def test_a_process_that_dies_in_the_same_action_again_and_again_is_given_up() -> None:
    talks = ae.AgentSaid("s", "I run the tests.")
    assert "3 times in a row" not in stops(*GIVEN, *lives(2, talks))
    assert "3 times in a row" in stops(*GIVEN, *lives(3, talks))


def test_a_turn_that_loses_its_process_however_often_it_gets_something_done_comes_to_an_end() -> None:
    works = (ae.ActionStarted("ls", "bash", "{}"), ae.ActionFinished("ls", "ok"))
    assert not stops(*GIVEN, *lives(9, *works))
    assert "10 times" in stops(*GIVEN, *lives(10, *works))
