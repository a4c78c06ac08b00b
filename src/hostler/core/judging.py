"""What a run is judged by: loop conditions, required outputs, the judge's verdict: a part of the state."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.core import judging_events as m
from hostler.core.changing import changed as replace
from hostler.core.events import Event, Recorded

if TYPE_CHECKING:
    from hostler.core.state import State


@dataclass(frozen=True, slots=True)
class Judging:
    """What is known; see the module."""

    conditions: tuple[m.Condition, ...] = ()
    results: tuple[m.ConditionResult, ...] = ()
    text: str = ""
    """The judge's verdict on the last turn."""


def follow(part: Judging, state: "State", recorded: Recorded) -> Judging:
    """Return what is known after one more event; `state` is the rest of the state after it."""
    event = recorded.event
    match event:
        case m.ConditionsSet(conditions):
            return replace(part, conditions=conditions)
        case m.ConditionsEvaluated(results):
            return replace(part, results=results)
        case m.Judged(_, text):
            return replace(part, text=text)
        case _:
            return part


HEARD: tuple[type[Event], ...] = (
    m.ConditionsSet,
    m.ConditionsEvaluated,
    m.Judged,
)
"""Kinds of events that change it."""
