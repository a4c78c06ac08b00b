"""How an execution's MCP servers stand, in the contract's words and as notes of the timeline."""

from typing import Any

from hostler.core.mcp_events import McpChanged, McpStatus
from hostler.core.state import State
from hostler.projections.telling import Telling

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


def tell_servers(telling: Telling, event: McpChanged) -> None:
    """Tell of servers that cannot be used, and of those that can be used again; the rest is no news."""
    before = {server.id: server for server in telling.before.mcp.servers}
    for server in event.servers:
        name, item = server.name, f"mcp-{server.id}-{telling.turn}"
        was = before.get(server.id)
        if server.phase == "failed" and (was is None or was.failure != server.failure):
            telling.note("mcp", f"The MCP server {name} cannot be used.", "ask", server.failure, item=item)
        if server.phase == "ready" and was is not None and was.failure:
            telling.note("mcp", f"The MCP server {name} can be used again.", item=item)
