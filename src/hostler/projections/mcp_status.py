"""How an execution's MCP servers stand, in the contract's words."""

from typing import Any

from hostler.core.mcp_events import McpStatus
from hostler.core.state import State

PHASE = "MCP_INTEGRATION_PHASE_"


def integrations(state: State) -> list[dict[str, Any]]:
    """Return the contract's mcpIntegrationStatuses."""
    return [_one(server) for server in state.mcp.servers]


def _one(server: McpStatus) -> dict[str, Any]:
    fields = {
        "id": server.id,
        "name": server.name,
        "phase": f"{PHASE}{server.phase.upper()}",
        "failureMessage": server.failure if server.phase == "failed" else "",
        "warningMessage": server.warning or (f"trying again: {server.failure}" if _again(server) else ""),
    }
    return {key: value for key, value in fields.items() if value}


def _again(server: McpStatus) -> bool:
    return server.phase == "initializing" and bool(server.failure)
