"""One MCP server of one execution, kept alive: started, asked whether it lives, listed again, started again."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import structlog

from hostler.core.ambient import Ambient
from hostler.core.errors import EnvironmentError_, Fenced, HostlerError
from hostler.core.machines import Machine, Operation
from hostler.core.mcp_client import McpConnector, McpFailed, McpResult, McpSession, McpTool, Site
from hostler.core.mcp_events import McpStatus
from hostler.core.mcp_servers import McpServer, tool_name
from hostler.core.redaction import Redactor
from hostler.engine.mcp_reading import expanded

log = structlog.get_logger(__name__)

PING_EVERY = 30.0
PING_SECONDS = 10.0
LONGEST_PAUSE = 60.0
FIRST_PAUSE = 0.5
DISABLED = "switched off in its configuration"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an execution's servers run: its environment, under the fence of its turn."""

    environment: str
    machine: Machine
    execution: str
    fence: int
    incarnation: str


class Kept:
    """One server; `tell` is called whenever its status has changed."""

    def __init__(
        self,
        server: McpServer,
        place: Place,
        connector: McpConnector,
        redactor: Redactor,
        ambient: Ambient,
        tell: Callable[[], None],
    ) -> None:
        self.server = server
        self._place = place
        self._connector = connector
        self._redactor = redactor
        self._ambient = ambient
        self._tell = tell
        self._session: McpSession | None = None
        self._task: asyncio.Task[None] | None = None
        self._calls = 0
        self._born = place.fence
        self._number = 1
        self._tries = 0
        self.starting = not server.disabled
        phase = "unavailable" if server.disabled else "initializing"
        warning = DISABLED if server.disabled else ""
        self.status = McpStatus(server.id, server.title, phase, "", warning, (), self._process)

    @property
    def _process(self) -> str:
        return f"mcp-{self.server.id}-{self._born}-{self._number}" if self.server.command else ""

    def out_of(self, place: Place) -> bool:
        """Return whether the environment began another life, in which this server does not run."""
        return place.incarnation != self._place.incarnation

    def start(self) -> None:
        """Begin to keep it alive."""
        if self._task is None and not self.server.disabled:
            self._task = asyncio.create_task(self._keep(), name=f"MCP server {self.server.id}")

    async def again(self, place: Place) -> None:
        """Go on in a new turn: under its fence, with the tools that there are now."""
        self._place = place
        if (session := self._session) is None or session.gone.is_set():
            return
        try:
            await session.move(Operation(place.execution, place.fence, self._process))
            await session.relist()
            self._ready(session)
        except HostlerError as problem:
            log.info("an MCP server is lost", server=self.server.id, problem=problem.message)
            await session.close()

    async def _keep(self) -> None:
        """Start it, stay with it, and start it again, for ever."""
        while True:
            try:
                await self._live()
                why = self._session.why if self._session else ""
            except Fenced:
                return  # Somebody else has the execution now, and servers of its own.
            except HostlerError as problem:
                why = problem.message
            except Exception as problem:  # noqa: BLE001 a server's strange ways end no turn
                log.warning("an MCP server failed in an unknown way", server=self.server.id, problem=repr(problem))
                why = f"{type(problem).__name__}: {problem}"
            self._session = None
            self.starting = False
            self._set("failed", failure=why or "the connection was closed")
            self._tries += 1
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self._tries - 1, 10))
            await self._ambient.until(self._ambient.now() + timedelta(seconds=pause))
            self._number += 1
            self._born = self._place.fence
            self._set("initializing", failure=why)

    async def _live(self) -> None:
        """Start it once, and return when it is gone."""
        place = self._place
        site = Site(
            place.environment,
            place.machine,
            Operation(place.execution, place.fence, self._process),
            place.incarnation,
        )
        session = await self._connector.connect(await expanded(self.server, site, self._redactor), site)
        self._session = session
        try:
            self.starting = False
            self._ready(session)
            while not session.gone.is_set():
                await self._attend(session)
        finally:
            if not session.gone.is_set():
                await session.close()

    async def _attend(self, session: McpSession) -> None:
        """Wait until something is to be done with it, and do it."""
        due = asyncio.create_task(self._ambient.until(self._ambient.now() + timedelta(seconds=PING_EVERY)))
        signs = [asyncio.create_task(session.gone.wait()), asyncio.create_task(session.stale.wait()), due]
        try:
            await asyncio.wait(signs, return_when=asyncio.FIRST_COMPLETED)
            if session.gone.is_set():
                return
            try:
                if session.stale.is_set():
                    await session.relist()
                    self._ready(session)
                elif due.done() and not self._calls:
                    await session.ping(PING_SECONDS)
                    self._tries = 0
            except HostlerError as problem:
                session.why = problem.message
                await session.close()
        finally:
            for sign in signs:
                sign.cancel()

    def _ready(self, session: McpSession) -> None:
        tools = tuple(tool.name for tool in session.tools if not self.server.denies(tool.name))
        self._set("ready", tools=tools)

    def _set(self, phase: Any, *, failure: str = "", tools: tuple[str, ...] = ()) -> None:
        status = McpStatus(self.server.id, self.server.title, phase, failure, "", tools, self._process)
        if phase == "failed":
            status = replace(status, process="")
        if status != self.status:
            self.status = status
            self._tell()

    def tools(self) -> Mapping[str, McpTool]:
        """Return the tools that may be offered, by the name under which they are."""
        if self._session is None or self.status.phase != "ready":
            return {}
        tools = [tool for tool in self._session.tools if not self.server.denies(tool.name)]
        return {tool_name(self.server.id, tool.name): tool for tool in tools}

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> McpResult:
        """Call one of its tools. Raises McpFailed, McpTimedOut."""
        if self._session is None:
            raise McpFailed(self.status.failure or "it is not there")
        self._calls += 1
        try:
            return await self._session.call(tool, arguments, self.server.timeout)
        finally:
            self._calls -= 1

    async def close(self) -> None:
        """End it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        with contextlib.suppress(EnvironmentError_):
            if self._session is not None:
                await self._session.close()
