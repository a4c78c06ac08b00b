"""An execution as clients see it: the projection of its log, its URLs, and the truth about its owner."""

from typing import Any

from hostler.api.call import current
from hostler.api.codec import own
from hostler.contract.gitpod.v1.agent_execution_pb import AgentExecution
from hostler.core.desk import Seen

ACTIVITIES = {"recovering": "recovering", "waiting_for_slot": "waiting for a slot", "gone": "its runner is away"}
UNDER_WAY = ("PENDING", "RUNNING")


def urls(execution: str) -> dict[str, Any]:
    """Return where the page, the stream and the documents of an execution are, as clients reach this server."""
    origin = current().origin
    below = f"{origin}/api/executions/{execution}"
    return {
        "conversationUrl": f"{origin}/executions/{execution}",
        "conversationUrls": {name: f"{below}/{name}" for name in ("history", "live", "blobs")},
        "transcriptUrl": f"{below}/transcript",
        "supportBundleUrl": f"{below}/bundle",
    }


def execution_of(seen: Seen) -> AgentExecution:
    """Return the execution; fields of the view that the contract does not know are left out."""
    row = seen.row
    status: dict[str, Any] = {**row.view.get("status", {}), **urls(row.id)}
    if row.phase in UNDER_WAY and (activity := ACTIVITIES.get(seen.liveness)):
        status["currentActivity"] = activity
    return own(AgentExecution, {**row.view, "id": row.id, "status": status})
