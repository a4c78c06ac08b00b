"""What is wanted because an execution waits for something.

Timers wait by the clock alone, so that an execution that waits for nothing else needs nobody who works on it until
then. What is in the world is watched until it is so, whatever it was before.
"""

from dataclasses import dataclass
from datetime import datetime

from hostler.core.events import Event, Json
from hostler.core.interests_events import Interest, InterestFired, InterestsDropped
from hostler.core.state import State


@dataclass(frozen=True, slots=True)
class FireTimer:
    """Wake the agent at `not_before`."""

    interest: str
    not_before: datetime


@dataclass(frozen=True, slots=True)
class GiveUpWaiting:
    """Wake the agent at `not_before`, as nothing came of what it waits for."""

    interest: str
    not_before: datetime


@dataclass(frozen=True, slots=True)
class WatchChild:
    """Wake the agent when a sub-agent has nothing left to do."""

    interest: str
    execution: str


@dataclass(frozen=True, slots=True)
class WatchEnvironment:
    """Wake the agent when an environment is in a phase."""

    interest: str
    environment: str
    phase: str


@dataclass(frozen=True, slots=True)
class RebuildDevcontainer:
    """Run the lifecycle commands of devcontainer.json again, then wake the agent."""

    interest: str
    environment: str


Effect = FireTimer | GiveUpWaiting | WatchChild | WatchEnvironment | RebuildDevcontainer
"""What it may want."""
BY_CLOCK = FireTimer | GiveUpWaiting
"""Effects that need nobody before their time."""


def wanted(state: State) -> frozenset[Effect]:
    """Return the effects that should be in flight because of this: none of a stopped or leaving execution."""
    if state.phase in ("", "STOPPED") or state.stop is not None or state.deleted:
        return frozenset()
    return frozenset(effect for one in state.interests.open for effect in _wanted(one))


def _wanted(one: Interest) -> tuple[Effect, ...]:
    bound = (GiveUpWaiting(one.id, one.until),) if one.until else ()
    match one.kind:
        case "timer" if one.fires_at:
            return (FireTimer(one.id, one.fires_at),)
        case "sub_agent":
            return (WatchChild(one.id, one.subject), *bound)
        case "environment":
            return (WatchEnvironment(one.id, one.subject, one.phase), *bound)
        case "devcontainer_rebuild":
            return (RebuildDevcontainer(one.id, one.subject), *bound)
        case _:
            return ()


def holds(state: State) -> bool:
    """Return whether a running turn is not at rest because of this: a turn ends with its wait."""
    return False


def resting(state: State) -> bool:
    """Return whether the turn ends as the agent wants to wait, so that nothing goes on by itself before it is woken."""
    return state.interests.resting


def dropped(state: State, why: str) -> tuple[Event, ...]:
    """Return that nothing is waited for any more."""
    ids = tuple(one.id for one in state.interests.open)
    return (InterestsDropped(ids, why),) if ids else ()


def answered(state: State, block: Json) -> tuple[Event, ...]:
    """Return which waits for a sub-agent are over with a message of another agent."""
    sender = block.get("senderExecutionId", "")
    waits = (one for one in state.interests.open if one.kind == "sub_agent")
    return tuple(InterestFired(one.id) for one in waits if sender and one.subject == sender)
