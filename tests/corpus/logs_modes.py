"""The log of an agent that works by itself: a plan and its rounds, a specification, and rounds that come to nothing."""

from collections.abc import Iterable
from datetime import timedelta

from hostler.core import agent_events as ae
from hostler.core import events as ev
from hostler.core import modes_events as m
from hostler.core.agents import Choice, Goal, GoalChange, Question
from hostler.core.conversation import Text
from hostler.core.events import Recorded
from hostler.core.memory_events import ContextCleared
from hostler.core.modes import GO_ON, STOP_HERE
from tests.corpus.logs import BEGAN, Writing, named, ready, started

PLANS = (
    "- [ ] read words\n- [ ] count them\n",
    "- [x] read words\n- [ ] count them\n",
    "- [x] read words\n- [x] count\n",
)


def modes() -> Iterable[Recorded]:
    """Two rounds of a plan, then a specification, then planning, then a goal whose rounds change nothing."""
    w = Writing("modes", BEGAN + timedelta(hours=10))
    w.add(started("modes", name="Count words", request={"mode": "AGENT_MODE_RALPH"}))
    task = w.queued("task", "Count words.")
    w.add(ready("modes"), ev.TurnStarted(1, "life-1", 1.0), ev.InputTaken((task,)))
    w.add(m.ModeEntered("ralph", "asked for", task="Count words."))
    said(w, "plan", "Work on this task in rounds.")
    ends: tuple[tuple[m.Milestone, str], ...] = (
        ("spec_complete", "The plan has 2 steps."),
        ("iteration_complete", "1 of 2 steps of the plan are done."),
    )
    for number, (plan, (milestone, message)) in enumerate(zip(PLANS, ends, strict=False), 1):
        w.replied(f"c{number}", Text(f"Round {number} is over."))
        w.add(m.RoundLookedAt(number, plan, plan.count("[ ]"), 2, signs=(f"same changes:{number}",)))
        w.add(m.ModeChanged("ralph", milestone, message), ContextCleared("a new round"))
        said(w, f"round-{number}", f"You work on a task in rounds.\n\n{plan}")
    w.replied("c3", Text("All is counted."))
    w.add(m.RoundLookedAt(3, PLANS[2], 0, 2, signs=("same changes:3",)))
    w.add(m.ModeChanged("ralph", "complete", "All 2 steps of the plan are done."))
    w.add(m.ModeEntered("execution", "the plan is done"), ev.TurnEnded(1))
    _specifies(w)
    _pursues(w)
    return w.log


def _specifies(w: Writing) -> None:
    """Add a turn of planning only, and one that ends with a specification."""
    first = w.queued("how", "How would you count letters?")
    w.add(ev.TurnStarted(2, "life-1", 1.0), ready("modes"), ev.InputTaken((first,)))
    w.add(m.ModeEntered("planning", "asked for", lasting=False))
    w.replied("c4", Text("With a Counter."))
    w.add(ev.TurnEnded(2))
    second = w.queued("spec", "/ona:spec Count letters.")
    w.add(ev.TurnStarted(3, "life-1", 1.0), ready("modes"), ev.InputTaken((second,)))
    w.add(m.ModeEntered("spec", "asked for", task="Count letters."))
    w.replied("c5", Text("Read it."))
    w.add(m.RoundLookedAt(6, spec=True))
    w.add(m.ModeChanged("spec", "spec_complete", "The specification is in .hostler/spec.md."))
    w.add(m.ModeEntered("execution", "the specification is written"), ev.TurnEnded(3))


def _pursues(w: Writing) -> None:
    """Add a goal whose rounds come to nothing."""
    goal = Goal("Count sentences", "active", 200_000)
    w.add(ae.GoalRequested(named("modes", "goal"), GoalChange("set", goal.objective, token_budget=goal.token_budget)))
    w.add(ae.GoalChanged(goal, named("modes", "goal")), ev.TurnStarted(4, "life-1", 1.0), ready("modes"))
    for number in range(3):
        said(w, f"goal-{number}", f"Go on towards the goal: {goal.objective}")
        w.replied(f"c{6 + number}", Text("I thought about it."))
        w.add(m.RoundLookedAt(7 + number, signs=("same changes:0",)))
    w.add(ae.GoalChanged(Goal(goal.objective, "blocked", goal.token_budget, 6690, 9.0)))
    message = "3 rounds went by without progress (same changes)."
    choices = (Choice(GO_ON, GO_ON), Choice(STOP_HERE, STOP_HERE))
    ask = f"progress-{len(w.log)}"
    question = Question(f"{ask}.1", f"{message} Shall I go on?", choices, other=True)
    w.add(m.NoProgress("same changes", 3, ("same changes:0",), message), ae.QuestionsAsked(ask, (question,)))
    w.add(ev.TurnEnded(4))


def said(w: Writing, key: str, text: str) -> None:
    """Add an input of Hostler's own that is taken at once."""
    id_ = named("modes", key)
    w.add(ev.InputQueued(id_, {"inputs": [{"text": {"content": text}}]}, id_, "harness"), ev.InputTaken((id_,)))
