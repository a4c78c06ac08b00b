"""Telling what became of calls that needed a person's word; the card itself is told as every question."""

from hostler.core.approvals_events import ApprovalGiven
from hostler.projections.telling import Telling


def tell_approval(telling: Telling, event: ApprovalGiven) -> None:
    """Tell whether a call was allowed, by whom and for how long."""
    tool = next((one.name for one in telling.state.tools if one.id == event.call_id), "call")
    if event.allowed:
        always = " for this conversation" if event.again else ""
        telling.note("approval", f"The call of {tool} was allowed{always}.")
        return
    telling.note("approval", f"The call of {tool} was denied by {event.by}.", "ask", event.reason)
