"""Tool calls that wait for a person's word: a part of the state."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.core import approvals_events as m
from hostler.core.changing import changed as replace
from hostler.core.events import Event, Recorded

if TYPE_CHECKING:
    from hostler.core.state import State


@dataclass(frozen=True, slots=True)
class Approvals:
    """What is known; see the module."""

    asked: tuple[m.ApprovalAsked, ...] = ()
    given: tuple[m.ApprovalGiven, ...] = ()
    """Words given for calls that have no result yet."""


def follow(part: Approvals, state: "State", recorded: Recorded) -> Approvals:
    """Return what is known after one more event; `state` is the rest of the state after it."""
    event = recorded.event
    match event:
        case m.ApprovalAsked():
            return replace(part, asked=(*part.asked, event))
        case m.ApprovalGiven(call_id):
            asked = tuple(one for one in part.asked if one.call_id != call_id)
            return replace(part, asked=asked, given=(*part.given, event))
        case _:
            return part


HEARD: tuple[type[Event], ...] = (
    m.ApprovalAsked,
    m.ApprovalGiven,
)
"""Kinds of events that change it."""
