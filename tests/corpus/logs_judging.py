"""The log of an execution that is held to a condition and a required output, and is judged."""

from collections.abc import Iterable

from hostler.core import events as ev
from hostler.core import judging_events as m
from hostler.core.conversation import Text, Usage
from hostler.core.events import Recorded
from hostler.core.judging import REMINDER
from tests.corpus.logs import Writing, named, ready, started

GREEN = m.Condition("green", "outputs.green == true", "all tests are green")
REASON = 'NOT_FOUND: Key not found in map : "green"'
WHY = "You are not done: these conditions are not met yet.\n- all tests are green: not met"
TOLD = "Your work is not done before these outputs are set:\n- verdict: it is not set"


def judged() -> Iterable[Recorded]:
    """A round that is woken, one that is reminded, a verdict, and a judge who could not be asked."""
    w = Writing("judged")
    w.add(started("judged", name="Make it green"), m.ConditionsSet((GREEN,)), m.LimitsSet({"max_cost": 2.5}))
    first = w.queued("first", "Make it green, and say what you think of it.")
    w.add(ready("judged"), ev.TurnStarted(1, "life-1", 1.0), ev.InputTaken((first,)))
    w.replied("c1", Text("Done."))
    w.add(m.ConditionsEvaluated(1, (m.ConditionResult("green", False, REASON),), ("verdict: it is not set",)))
    woken, told = named("judged", "woken"), named("judged", "told")
    unmet = {"id": "green", "expression": GREEN.expression, "reason": REASON, "iteration": 1, "maxIterations": 10}
    block = {"loopRetrigger": {"unmetConditions": [unmet], "outputs": dict[str, str]()}}
    w.add(ev.InputQueued(woken, block, woken, "wake", expansion=WHY), ev.InputTaken((woken,)))
    w.replied("c2", Text("Now it is."))
    w.add(ev.OutputsSet({"green": True}))
    w.add(m.ConditionsEvaluated(2, (m.ConditionResult("green", True),), ("verdict: it is not set",)))
    said = {"inputs": [{"text": {"content": TOLD}}]}
    w.add(ev.InputQueued(told, said, f"{REMINDER}{told}", "harness"), ev.InputTaken((told,)))
    w.replied("c3", Text("Good, I think."))
    w.add(ev.OutputsSet({"verdict": "good"}), m.ConditionsEvaluated(3, (m.ConditionResult("green", True),)))
    w.add(m.Judged(1, "Not shown: no check ran after the last change.", "openai:gpt-5", Usage(900, 0, 0, 40)))
    w.add(ev.TurnEnded(1))
    again = w.queued("again", "Once more.")
    w.add(ev.TurnStarted(2, "life-1", 1.0), ev.InputTaken((again,)))
    w.replied("c4", Text("Still green."))
    w.add(m.ConditionsEvaluated(4, (m.ConditionResult("green", True),)))
    w.add(m.JudgementFailed(2, "the provider refused the key"), ev.TurnEnded(2))
    return w.log
