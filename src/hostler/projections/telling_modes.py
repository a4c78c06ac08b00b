"""Telling of modes: entered, come to a milestone, stopped for want of progress."""

from hostler.core import modes_events as m
from hostler.core.events import Event
from hostler.projections.telling import Telling

ENTERED = {
    "execution": "The agent does the work again.",
    "planning": "The agent plans and changes nothing.",
    "spec": "The agent writes a specification first.",
    "ralph": "The agent makes a plan, then works through it in rounds.",
    "goal": "The agent works towards a goal.",
}


def tell_mode(telling: Telling, event: Event) -> None:
    """Tell of what happened to the mode."""
    match event:
        case m.ModeEntered(mode):
            telling.note("mode", ENTERED[mode])
        case m.ModeChanged(_, _, message):
            telling.note("mode", message)
        case m.NoProgress(message=message):
            telling.note("mode", message, "ask")
        case _:
            pass
