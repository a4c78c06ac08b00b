"""What an execution waits for, in the contract's form and as people read it."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from hostler.core.family import Child
from hostler.core.interests_events import Interest
from hostler.core.state import State
from hostler.core.waking import words

Stamp = Callable[[datetime | None], str | None]
FAR = datetime(9999, 1, 1, tzinfo=UTC)


def interests(state: State, stamp: Stamp) -> list[dict[str, Any]]:
    """Return the interests of an idle execution as the contract has them; a message of the user always is one."""
    message: dict[str, Any] = {"id": f"user-{state.turn}", "userMessage": {}}
    awaited = [{"id": f"agent-{one.call_id}", "subAgent": {"executionId": one.execution}} for one in _working(state)]
    return [message, *(_interest(one, state, stamp) for one in state.interests.open), *awaited]


def _working(state: State) -> list[Child]:
    """Return the sub-agents whose report will wake an idle execution, although it did not say that it waits."""
    known = {one.subject for one in state.interests.open}
    idle = state.phase == "WAITING_FOR_INPUT"
    return [one for one in state.family.working if one.execution and one.execution not in known] if idle else []


def _interest(one: Interest, state: State, stamp: Stamp) -> dict[str, Any]:
    match one.kind:
        case "timer":
            timer = {"duration": one.duration, "cron": one.cron, "firesAt": stamp(one.fires_at)}
            return {"id": one.id, "timer": {key: value for key, value in timer.items() if value}}
        case "sub_agent":
            return {"id": one.id, "subAgent": {"executionId": one.subject}}
        case "environment":
            return {"id": one.id, "environment": {"environmentId": one.subject, "phase": one.phase}}
        case "devcontainer_rebuild":
            rebuild = {"environmentId": one.subject, "sessionId": state.begun.session_id, "phases": list(one.phases)}
            return {"id": one.id, "devcontainerRebuild": rebuild}
        case "user_message":
            return {"id": one.id, "userMessage": {}}


def waits(state: State, stamp: Stamp) -> list[dict[str, Any]]:
    """Return what is waited for in any phase: in words, and until when."""
    return [
        {
            "id": one.id,
            "kind": one.kind,
            "text": words(one),
            "due": stamp(one.fires_at),
            "until": stamp(one.until),
            "repeats": one.repeats,
        }
        for one in state.interests.open
    ] + [
        {
            "id": f"agent-{one.call_id}",
            "kind": "sub_agent",
            "text": f"sub-agent {one.name} ({one.execution})",
            "due": None,
            "until": None,
            "repeats": False,
        }
        for one in _working(state)
    ]


def next_wait(state: State) -> tuple[str, datetime | None]:
    """Return what will wake an execution first, in words, and when at the latest; nothing when it waits for nobody."""
    ordered = sorted(state.interests.open, key=lambda one: one.fires_at or one.until or FAR)
    if not ordered:
        working = [one.name for one in _working(state)]
        return (f"sub-agent {', '.join(working)}", None) if working else ("", None)
    more = f" and {len(ordered) - 1} more" if len(ordered) > 1 else ""
    return f"{words(ordered[0])}{more}", ordered[0].fires_at or ordered[0].until
