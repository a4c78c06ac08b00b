"""Telling of conditions and of the judge's verdict."""

from hostler.core import judging_events as m
from hostler.core.events import Event
from hostler.projections.telling import Telling


def tell_judging(telling: Telling, event: Event) -> None:
    """Tell of what a run is judged by."""
    match event:
        case m.ConditionsSet(conditions):
            said = "\n".join(one.description or one.expression for one in conditions)
            telling.note("condition", "The loop conditions were changed.", "", said)
        case m.LimitsSet(limits):
            named = ", ".join(f"{name} = {value:g}" for name, value in limits.items())
            telling.note("condition", f"Limits were changed: {named}")
        case m.ConditionsEvaluated(_, results, missing):
            unmet = [f"{one.id}: {one.reason}" for one in results if not one.met]
            wrong = [*unmet, *missing]
            if wrong:
                telling.note("condition", f"Not done yet: {len(wrong)} to be met.", "ask", "\n".join(wrong))
            elif results:
                telling.note("condition", "All conditions are met.", "good")
        case m.Judged(_, text):
            telling.note("judgement", "The judge has given a verdict.", "", text)
        case m.JudgementFailed(_, message):
            telling.note("judgement", "The judge could not be asked.", "ask", message)
        case _:
            pass
