"""MCP servers in memory, for stories: they outlive the server that uses them, die when told to, and change tools."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hostler.core.machines import Operation
from hostler.core.mcp_client import McpFailed, McpResult, McpSession, McpTimedOut, McpTool, Site
from hostler.core.mcp_servers import McpServer

LOOK = McpTool("look", "Look at something.", {"type": "object"}, read_only=True)
CHANGE = McpTool("change", "Change something.", {"type": "object"})


@dataclass(slots=True)
class Shelf:
    """One server: what it offers, and what was asked of it."""

    tools: Sequence[McpTool] = (LOOK, CHANGE)
    calls: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list[tuple[str, Mapping[str, Any]]])
    silent: bool = False
    """Calls get no answer."""
    deaf: bool = False
    """Pings get no answer."""
    failure: str = ""
    """Why it cannot be started."""
    sessions: list["ShedSession"] = field(default_factory=list["ShedSession"])
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by every call."""

    def die(self) -> None:
        """End every connection."""
        for session in self.sessions:
            session.end("it fell over")


@dataclass(slots=True)
class Toolshed:
    """All servers by their keys; `own` are the configured ones."""

    shelves: dict[str, Shelf] = field(default_factory=dict[str, Shelf])
    servers: tuple[McpServer, ...] = ()
    sites: list[Site] = field(default_factory=list[Site])

    def add(self, key: str, **about: Any) -> Shelf:
        """Add a configured server."""
        self.servers = (*self.servers, McpServer(key, command="serve", **about))
        return self.shelf(key)

    def shelf(self, key: str) -> Shelf:
        """Return a server, which is there as soon as somebody speaks of it."""
        return self.shelves.setdefault(key, Shelf())

    def own(self, names: Sequence[str]) -> tuple[McpServer, ...]:
        """Return the configured servers; a stage's agent has them all."""
        return self.servers

    async def connect(self, server: McpServer, site: Site) -> McpSession:
        """Start a server."""
        shelf = self.shelf(server.id)
        if shelf.failure:
            raise McpFailed(shelf.failure)
        self.sites.append(site)
        session = ShedSession(shelf, site.operation)
        shelf.sessions.append(session)
        return session


class ShedSession:
    """A connection to a shelf."""

    def __init__(self, shelf: Shelf, operation: Operation) -> None:
        self.shelf = shelf
        self.operation = operation
        self.tools = shelf.tools
        self.gone = asyncio.Event()
        self.why = ""
        self.stale = asyncio.Event()

    def end(self, why: str) -> None:
        """End it."""
        if not self.gone.is_set():
            self.why = why
            self.gone.set()

    async def call(self, tool: str, arguments: Mapping[str, Any], seconds: float) -> McpResult:
        """Answer with what was asked."""
        if self.gone.is_set():
            raise McpFailed(self.why)
        self.shelf.calls.append((tool, dict(arguments)))
        self.shelf.asked.set()
        if self.shelf.silent:
            try:
                async with asyncio.timeout(seconds):
                    await self.gone.wait()
            except TimeoutError:
                raise McpTimedOut(f"{tool}: no answer in {seconds:g} s") from None
            raise McpFailed(self.why)
        return McpResult(False, f"{tool} {dict(arguments)}")

    async def relist(self) -> None:
        """Look at the shelf again."""
        self.stale.clear()
        self.tools = self.shelf.tools

    async def ping(self, seconds: float) -> None:
        """Answer."""
        if self.gone.is_set() or self.shelf.deaf:
            raise McpFailed(self.why or "no answer to a ping")

    async def move(self, operation: Operation) -> None:
        """Take another fence."""
        self.operation = operation

    async def close(self) -> None:
        """End it."""
        self.end("the connection was closed")
