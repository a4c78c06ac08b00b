"""What becomes of an execution whose environment is gone for good, together with whoever could have worked in it."""

from datetime import datetime

from hostler.core import events as ev
from hostler.core.events import Event, Recorded
from hostler.core.plan import Session, failing, stopping
from hostler.core.state import State, evolve


def lose(state: State, environment: str, message: str, session: Session) -> tuple[Event, ...]:
    """Return what the loss of its environment comes to; nothing for an execution that went on elsewhere."""
    if state.environment.id != environment or state.environment.failed == message:
        return ()
    ended: tuple[Event, ...] = ()
    if state.phase == "RUNNING" and state.stop is not None:
        ended = tuple(event for event in stopping(state, session) if not isinstance(event, ev.TurnStarted))
    elif state.phase in ("PENDING", "RUNNING"):
        ended = failing(state, "environment", message)
    ran = state.killing or (state.dirty and bool(ended))
    gone = (ev.GroupGone(state.turn),) if ran and (ended or state.phase == "STOPPED") else ()
    return (ev.EnvironmentLost(message), *ended, *gone)


def ended_for_owner(state: State, events: tuple[Event, ...], session: Session, now: datetime) -> tuple[Event, ...]:
    """Return what ends the turn after `events` where its owner, who would end it, is away.

    What runs of it ends when the owner is back: that stays wanted.
    """
    for event in events:
        state = evolve(state, Recorded(state.seq + 1, now, event))
    return stopping(state, session) if state.phase == "RUNNING" and state.stop is not None else ()
