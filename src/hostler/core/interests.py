"""What an execution waits for: a part of the state."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.core import events as ev
from hostler.core import interests_events as m
from hostler.core.changing import changed as replace
from hostler.core.events import Event, Recorded

if TYPE_CHECKING:
    from hostler.core.state import State


@dataclass(frozen=True, slots=True)
class Interests:
    """What is waited for, and what was; a turn is `resting` between a wait and the next thing that the agent hears."""

    wait: str = ""
    open: tuple[m.Interest, ...] = ()
    fired: tuple[str, ...] = ()
    """Interests that have fired for good."""
    resting: bool = False

    def one(self, interest: str) -> m.Interest | None:
        """Return an interest that is open."""
        return next((one for one in self.open if one.id == interest), None)


def follow(part: Interests, state: "State", recorded: Recorded) -> Interests:
    """Return what is known after one more event; `state` is the rest of the state after it."""
    event = recorded.event
    match event:
        case m.InterestsRegistered(wait, interests):
            return replace(part, wait=wait, open=(*part.open, *interests), resting=True)
        case m.InterestFired(id_, again=None):
            left = tuple(one for one in part.open if one.id != id_)
            return replace(part, open=left, fired=(*part.fired, id_))
        case m.InterestFired(id_, again=again):
            moved = (replace(one, fires_at=again) if one.id == id_ else one for one in part.open)
            return replace(part, open=tuple(moved))
        case m.InterestsDropped(ids):
            return replace(part, open=tuple(one for one in part.open if one.id not in ids))
        case ev.ModelCallStarted() | ev.TurnStarted() | ev.Stopped() if part.resting:
            return replace(part, resting=False)
        case _:
            return part


HEARD: tuple[type[Event], ...] = (
    m.InterestsRegistered,
    m.InterestFired,
    m.InterestsDropped,
    ev.ModelCallStarted,
    ev.TurnStarted,
    ev.Stopped,
)
"""Kinds of events that change it."""
