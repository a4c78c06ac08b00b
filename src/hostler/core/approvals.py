"""Tool calls that wait for a person's word: a part of the state."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from hostler.core import approvals_events as m
from hostler.core import events as ev
from hostler.core.changing import changed as replace
from hostler.core.events import Event, Recorded
from hostler.core.modes import whole_text

if TYPE_CHECKING:
    from hostler.core.state import State

SHARE = "share:"
"""How the source of what came through a share begins; only the server says so."""
VISITOR = "a visitor spoke, who can approve nothing"
"""What stands for a visitor's words, which are no approval whatever they are."""


@dataclass(frozen=True, slots=True)
class Approvals:
    """What is known; see the module."""

    asked: tuple[m.ApprovalAsked, ...] = ()
    """At most one: calls are asked for one after the other."""
    said: tuple[tuple[str, str], ...] = ()
    """Inputs of people since then, with their texts; the first is the answer."""
    given: tuple[m.ApprovalGiven, ...] = ()
    """Words given for calls that have no result yet."""
    standing: frozenset[str] = frozenset()
    """Rules that were allowed for the whole conversation."""


def follow(part: Approvals, state: "State", recorded: Recorded) -> Approvals:
    """Return what is known after one more event; `state` is the rest of the state after it."""
    event = recorded.event
    match event:
        case m.ApprovalAsked():
            return replace(part, asked=(*part.asked, event), said=())
        case m.ApprovalGiven():
            return _given(part, event)
        case ev.InputQueued(input_id, block, origin="user", local="") if part.asked:
            return replace(part, said=(*part.said, (input_id, VISITOR if visited(block) else whole_text(block))))
        case ev.InputDeleted(input_id) | ev.InputDropped(input_id) if part.said:
            return replace(part, said=tuple(one for one in part.said if one[0] != input_id))
        case ev.ToolFinished(call_id) if part.given or part.asked:
            return _without(part, call_id)
        case ev.Stopped() if part.asked or part.given:
            return replace(part, asked=(), said=(), given=())
        case _:
            return part


def _given(part: Approvals, event: m.ApprovalGiven) -> Approvals:
    rules = {rule for one in part.asked if one.call_id == event.call_id for rule in one.rules}
    standing = part.standing | rules if event.allowed and event.again else part.standing
    cleared = _without(part, event.call_id)
    return replace(cleared, said=(), given=(*part.given, event), standing=standing)


def _without(part: Approvals, call_id: str) -> Approvals:
    asked = tuple(one for one in part.asked if one.call_id != call_id)
    return replace(part, asked=asked, given=tuple(one for one in part.given if one.call_id != call_id))


def visited(block: Mapping[str, Any]) -> bool:
    """Return whether an input came through a share."""
    metadata = cast("Mapping[str, Any]", block.get("metadata") or {})
    return str(metadata.get("source", "")).startswith(SHARE)


def name(rule: m.Permission) -> str:
    """Return what a rule is known by within an execution."""
    return f"{rule.tool} {rule.pattern}".strip()


HEARD: tuple[type[Event], ...] = (
    m.ApprovalAsked,
    m.ApprovalGiven,
    ev.InputQueued,
    ev.InputDeleted,
    ev.InputDropped,
    ev.ToolFinished,
    ev.Stopped,
)
"""Kinds of events that change it."""
