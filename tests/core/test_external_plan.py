"""What is told to an agent in the environment, and when."""

from datetime import UTC, datetime, timedelta

from hostler.core import agent_events as ae
from hostler.core import events as ev
from hostler.core.agents import Child, Goal, GoalChange
from hostler.core.events import Event, Recorded
from hostler.core.external_plan import TellAgent, idle_agent, wanted_of_agent
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
