"""The decisions about what an execution waits for: it is woken, or it waits no more.

An interest leaves `open` with the event that says why, and only what is open can fire, so that each fires once or is
dropped, whoever tries, in whatever order and after whatever crash.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from hostler.core import events as ev
from hostler.core.errors import FailedPrecondition
from hostler.core.events import Event
from hostler.core.interests_events import Interest, InterestFired, InterestKind, InterestsDropped
from hostler.core.plan import Session
from hostler.core.state import State

PAYLOADS: Mapping[str, InterestKind] = {
    "timer": "timer",
    "environment": "environment",
    "devcontainerRebuild": "devcontainer_rebuild",
}
"""Payload of a WakeEvent -> the kind of interest that it answers."""
LATE = 5.0
"""Seconds from which on lateness is worth a word."""
FIELD = "wake_event"


@dataclass(frozen=True, slots=True)
class Wake:
    """Wake the agent at `at`, as an interest has come; `block` is a WakeEvent's JSON.

    `due` is the time of a timer that fires, and `again` its next one; `outside` says that a caller of the API tells.
    """

    interest: str
    at: datetime
    block: ev.Json
    due: datetime | None = None
    again: datetime | None = None
    outside: bool = False


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Wake the agent although nothing came of an interest by its deadline."""

    interest: str
    at: datetime


@dataclass(frozen=True, slots=True)
class CancelWaits:
    """Wait no more for these interests, or for any when there are none; what is not waited for is left out."""

    interests: tuple[str, ...] = ()


def wake(state: State, command: Wake, session: Session) -> tuple[Event, ...]:
    """Return what wakes the agent; nothing when the interest has fired already. Raises FailedPrecondition."""
    one = state.interests.one(command.interest)
    if one is None:
        if command.interest in state.interests.fired or not command.outside:
            return ()
        raise FailedPrecondition("the execution does not wait for this interest", field=f"{FIELD}.interest_id")
    if state.stop is not None:
        return _refused(command, "the execution is being stopped")
    if command.outside:
        _check(one, command)
    elif command.due != one.fires_at:
        return ()  # This occurrence of a timer that repeats has fired.
    again = one.fires_at if command.outside and one.repeats else command.again
    late = max(0.0, (command.at - command.due).total_seconds()) if command.due else 0.0
    fired = InterestFired(one.id, late, command.due, again, command.outside)
    waits = any(queued.id.startswith(f"{one.id}@") for queued in state.queue)
    return (fired, *(() if waits else _heard(state, one, command, late, session)))


def _refused(command: Wake, reason: str) -> tuple[Event, ...]:
    if command.outside:
        raise FailedPrecondition(reason, field=FIELD)
    return ()


def _check(one: Interest, command: Wake) -> None:
    """Raise FailedPrecondition unless what a caller tells is what is waited for."""
    kind = next((PAYLOADS[name] for name in command.block if name in PAYLOADS), "")
    if one.kind != kind:
        raise FailedPrecondition(f"interest {one.id} is of kind {one.kind}", field=FIELD)
    said: ev.Json = command.block.get("environment") or command.block.get("devcontainerRebuild") or {}
    place, phase = said.get("environmentId", ""), said.get("phase", "")
    if place and place != one.subject:
        raise FailedPrecondition(f"interest {one.id} is in another environment", field=f"{FIELD}.environment_id")
    phases = one.phases or ((one.phase,) if one.phase else ())
    if phase and phases and phase not in phases:
        raise FailedPrecondition(f"interest {one.id} waits for {' or '.join(phases)}", field=f"{FIELD}.phase")


def _heard(state: State, one: Interest, command: Wake, late: float, session: Session) -> tuple[Event, ...]:
    """Return the input that tells the agent, and the turn that takes it."""
    input_id = f"{one.id}@{(command.due or command.at).timestamp():.0f}"
    if input_id in state.inputs:  # A caller told of a timer that repeats, twice within a second.
        input_id = f"{input_id}.{state.seq}"
    known = any(name in command.block for name in PAYLOADS)
    text = told(one, command.block, late, outside=command.outside)
    left = [other for other in state.interests.open if other.id != one.id or one.repeats]
    text += f"; still waited for: {', '.join(map(words, left))}" if left else ""
    block = command.block if known else {"inputs": [{"text": {"content": text}}]}
    return queued(state, input_id, block, text if known else "", session)


def give_up(state: State, command: GiveUp, session: Session) -> tuple[Event, ...]:
    """Return what wakes the agent as nothing came."""
    one = state.interests.one(command.interest)
    if one is None or state.stop is not None:
        return ()
    text = f"Nothing came of what you waited for: {words(one)}. It is not waited for any more."
    block = {"inputs": [{"text": {"content": text}}]}
    return (
        InterestsDropped((one.id,), "nothing came in time"),
        *queued(state, f"{one.id}@end", block, "", session),
    )


def cancel(state: State, command: CancelWaits) -> tuple[Event, ...]:
    """Return that the agent waits no more."""
    every = not command.interests
    ids = tuple(one.id for one in state.interests.open if every or one.id in command.interests)
    return (InterestsDropped(ids, "the agent does not wait for it any more"),) if ids else ()


def queued(state: State, input_id: str, block: ev.Json, expansion: str, session: Session) -> tuple[Event, ...]:
    """Return an input of Hostler's own, and the turn that takes it where none runs."""
    origin: ev.Origin = "wake" if expansion else "harness"
    said = ev.InputQueued(input_id, block, input_id, origin, expansion=expansion)
    if state.phase != "WAITING_FOR_INPUT":
        return (said,)
    return (said, ev.TurnStarted(state.turn + 1, session.incarnation, session.settle))


def told(one: Interest, block: ev.Json, late: float, *, outside: bool) -> str:
    """Return what the agent hears of an interest that has come."""
    place: ev.Json = block.get("environment") or block.get("devcontainerRebuild") or {}
    what = words(one)
    if place.get("phase") and place["phase"] != one.phase:
        what = f"{what}: {place['phase']}"
    failures = place.get("failureMessage") or ()
    parts = [what, *map(str, failures)]
    if late >= LATE:
        parts.append(f"{span(late)} late, as nothing could be run then")
    if outside:
        parts.append("a caller of the API told so")
    if one.kind == "sub_agent":
        return f"The {parts[0]} has nothing left to do{'; '.join(['', *parts[1:]])}."
    return "; ".join(parts)


def words(one: Interest) -> str:
    """Return an interest in a few words, as the agent and people read it."""
    note = f" ({one.note})" if one.note else ""
    match one.kind:
        case "timer" if one.cron:
            zone = f" {one.zone}" if one.zone else ""
            return f"timer {one.cron}{zone}{', again and again' if one.repeats else ''}{note}"
        case "timer":
            return f"timer {one.duration}{note}"
        case "sub_agent":
            return f"sub-agent {one.name or one.subject}{note}"
        case "environment":
            return f"environment {one.subject} {one.phase}{note}"
        case "devcontainer_rebuild":
            return f"rebuild of the dev container{note}"
        case "user_message":
            return "a message"


def span(seconds: float) -> str:
    """Return a length of time in one or two units."""
    whole = round(seconds)
    days, hours, minutes = whole // 86_400, whole % 86_400 // 3600, whole % 3600 // 60
    units = (f"{days} d" * bool(days), f"{hours} h" * bool(hours), f"{minutes} min" * bool(minutes))
    return " ".join([unit for unit in units if unit][:2]) or f"{whole} s"
