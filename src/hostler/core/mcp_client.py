"""The port to MCP servers: what the engine asks of a connection, and what it answers."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hostler.core.errors import HostlerError
from hostler.core.machines import Machine, Operation
from hostler.core.mcp_servers import McpServer

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Dial = Callable[[str, str, int], Awaitable[Streams]]
"""Connects to (environment, host, port) by the environment's own rules; raises McpFailed with the reason."""


class McpFailed(HostlerError):
    """The MCP server cannot be used, or ended during the call."""


class McpTimedOut(HostlerError):
    """The MCP server did not answer in time."""


@dataclass(frozen=True, slots=True)
class McpTool:
    """A tool as its server describes it."""

    name: str
    description: str = ""
    schema: Mapping[str, Any] | None = None
    read_only: bool = False
    """The server says that it changes nothing."""


@dataclass(frozen=True, slots=True)
class McpResult:
    """What a call came to: `text` for the model, `failed` when the tool said so itself."""

    failed: bool
    text: str
    structured: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Site:
    """Where a server runs, or from where it is reached; the operation names its process."""

    environment: str
    machine: Machine
    operation: Operation
    incarnation: str


class McpSession(Protocol):
    """A connection that was opened; it does not come back by itself."""

    tools: Sequence[McpTool]
    """As listed last."""
    gone: asyncio.Event
    """Set when the connection has ended, by itself or by `close`."""
    why: str
    """Why it ended."""
    stale: asyncio.Event
    """Set when the server says that its tools have changed."""

    async def call(self, tool: str, arguments: Mapping[str, Any], seconds: float) -> McpResult:
        """Call a tool; cancelling it tells the server. Raises McpFailed as soon as the server is gone, McpTimedOut."""
        ...

    async def relist(self) -> None:
        """List the tools again. Raises McpFailed, McpTimedOut."""
        ...

    async def ping(self, seconds: float) -> None:
        """Return when the server has answered. Raises McpFailed, McpTimedOut."""
        ...

    async def move(self, operation: Operation) -> None:
        """Go on under the fence of a new turn. Raises MachineLost, Fenced."""
        ...

    async def close(self) -> None:
        """End the connection and a process that was started for it; never raises."""
        ...


class McpConnector(Protocol):
    """Opens connections."""

    async def connect(self, server: McpServer, site: Site) -> McpSession:
        """Start the server inside, or reach it; returns when its tools are known. Raises McpFailed."""
        ...
