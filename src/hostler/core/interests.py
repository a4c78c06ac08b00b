"""What an execution waits for: a part of the state."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.core import interests_events as m
from hostler.core.changing import changed as replace
from hostler.core.events import Event, Recorded

if TYPE_CHECKING:
    from hostler.core.state import State


@dataclass(frozen=True, slots=True)
class Interests:
    """What is known; see the module."""

    wait: str = ""
    open: tuple[m.Interest, ...] = ()


def follow(part: Interests, state: "State", recorded: Recorded) -> Interests:
    """Return what is known after one more event; `state` is the rest of the state after it."""
    event = recorded.event
    match event:
        case m.InterestsRegistered(wait, interests):
            return replace(part, wait=wait, open=(*part.open, *interests))
        case m.InterestFired(id_, again=None):
            return replace(part, open=tuple(one for one in part.open if one.id != id_))
        case m.InterestsDropped(ids):
            return replace(part, open=tuple(one for one in part.open if one.id not in ids))
        case _:
            return part


HEARD: tuple[type[Event], ...] = (
    m.InterestsRegistered,
    m.InterestFired,
    m.InterestsDropped,
)
"""Kinds of events that change it."""
