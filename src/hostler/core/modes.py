"""The mode an agent works in, and how far one that goes on by itself has come: a part of the state."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.core import modes_events as m
from hostler.core.changing import changed as replace
from hostler.core.events import Event, Recorded

if TYPE_CHECKING:
    from hostler.core.state import State


@dataclass(frozen=True, slots=True)
class Modes:
    """What is known; see the module."""

    mode: m.Mode = "execution"
    """The lasting mode."""
    once: m.Mode | None = None
    """The mode of this turn only."""


def follow(part: Modes, state: "State", recorded: Recorded) -> Modes:
    """Return what is known after one more event; `state` is the rest of the state after it."""
    event = recorded.event
    match event:
        case m.ModeEntered(mode, _, lasting):
            return replace(part, mode=mode, once=None) if lasting else replace(part, once=mode)
        case _:
            return part


HEARD: tuple[type[Event], ...] = (m.ModeEntered,)
"""Kinds of events that change it."""
