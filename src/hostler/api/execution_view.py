"""An execution as clients see it: the projection of its log, its URLs, and the truth about its owner."""

from typing import Any

from hostler.api.call import current
from hostler.api.codec import from_json
from hostler.contract.gitpod.v1.agent_execution_pb import AgentExecution
from hostler.core.desk import Seen

ACTIVITIES = {"recovering": "recovering", "waiting_for_slot": "waiting for a slot", "gone": "its runner is away"}
UNDER_WAY = ("PENDING", "RUNNING")


def live_url(execution: str) -> str:
    """Return where the conversation of an execution streams."""
    return f"{current().origin}/api/executions/{execution}/live"


def execution_of(seen: Seen) -> AgentExecution:
    """Return the execution; fields of the view that the contract does not know are left out."""
    row = seen.row
    status: dict[str, Any] = {**row.view.get("status", {}), "conversationUrls": {"live": live_url(row.id)}}
    if row.phase in UNDER_WAY and (activity := ACTIVITIES.get(seen.liveness)):
        status["currentActivity"] = activity
    return from_json(AgentExecution, {**row.view, "id": row.id, "status": status})
