"""Telling how MCP servers fail and come back."""

from hostler.core.mcp_events import McpChanged, McpReported
from hostler.projections.telling import Telling


def tell_servers(telling: Telling, event: McpChanged | McpReported) -> None:
    """Tell of servers that cannot be used, and of those that can be used again; the rest is no news."""
    before = {server.id: server for server in telling.before.mcp.servers}
    for server in telling.state.mcp.servers:
        name, item = server.name, f"mcp-{server.id}-{telling.turn}"
        was = before.get(server.id)
        if server.phase == "failed" and (was is None or was.failure != server.failure):
            telling.note("mcp", f"The MCP server {name} cannot be used.", "ask", server.failure, item=item)
        if server.phase == "ready" and was is not None and was.failure:
            telling.note("mcp", f"The MCP server {name} can be used again.", item=item)
