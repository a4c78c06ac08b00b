"""Opens connections to MCP servers; the libraries for it are loaded when the first one is."""

from hostler.core.mcp_client import Dial, McpSession, Site
from hostler.core.mcp_servers import McpServer


class Connector:
    """Opens connections; see `McpConnector`."""

    def __init__(self, dial: Dial) -> None:
        self._dial = dial

    async def connect(self, server: McpServer, site: Site) -> McpSession:
        """Start the server inside, or reach it."""
        from hostler.mcp.sessions import connect

        return await connect(server, site, self._dial)
