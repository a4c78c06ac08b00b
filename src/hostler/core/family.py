"""Sub-agents that are executions of their own: a part of the state."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.core import family_events as m
from hostler.core.changing import changed as replace
from hostler.core.events import Event, Recorded

if TYPE_CHECKING:
    from hostler.core.state import State


@dataclass(frozen=True, slots=True)
class Family:
    """What is known; see the module."""

    children: tuple[m.SubAgentSpawned, ...] = ()
    told: int = 0
    """The last turn that the parent knows the end of."""


def follow(part: Family, state: "State", recorded: Recorded) -> Family:
    """Return what is known after one more event; `state` is the rest of the state after it."""
    event = recorded.event
    match event:
        case m.SubAgentSpawned():
            return replace(part, children=(*part.children, event))
        case m.ParentNotified(turn):
            return replace(part, told=turn)
        case _:
            return part


HEARD: tuple[type[Event], ...] = (
    m.SubAgentSpawned,
    m.ParentNotified,
)
"""Kinds of events that change it."""
