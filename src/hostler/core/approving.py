"""The decision about a call for which nobody spoke in time."""

from dataclasses import dataclass

from hostler.core import agent_events as ae
from hostler.core import events as ev
from hostler.core.approvals_events import ApprovalGiven
from hostler.core.events import Event
from hostler.core.plan import Session
from hostler.core.state import State

LATE = "nobody answered in time"


@dataclass(frozen=True, slots=True)
class DenyLate:
    """Deny a call whose deadline has passed, and go on."""

    call_id: str


def late(state: State, command: DenyLate, session: Session) -> tuple[Event, ...]:
    """Return the denial, and the turn that goes on with it; nothing when somebody has spoken or stopped it."""
    asked = any(one.call_id == command.call_id for one in state.approvals.asked)
    if not asked or state.approvals.said or state.stop is not None:
        return ()
    given = (ApprovalGiven(command.call_id, False, "the deadline", LATE), ae.QuestionsClosed(command.call_id))
    if state.phase != "WAITING_FOR_INPUT":
        return given
    return (*given, ev.TurnStarted(state.turn + 1, session.incarnation, session.settle))
