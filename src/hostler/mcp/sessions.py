"""A connection to one MCP server, held by a task of its own from its beginning to its end.

Whoever calls a tool never enters or leaves the client: its library ties both to one task, and a connection that breaks
would otherwise be felt as a cancellation by whoever happened to call.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, TypeVar, cast

import mcp_types as wire
from fastmcp import Client
from fastmcp.client.messages import MessageHandler
from fastmcp.client.transports import ClientTransport

from hostler.core.machines import Operation
from hostler.core.mcp_client import Dial, McpFailed, McpResult, McpTimedOut, McpTool, Site
from hostler.core.mcp_servers import McpServer
from hostler.mcp import results, ways
from hostler.mcp.pipes import Pipe, PipeTransport
from mcp import MCPError

START_SECONDS = 60.0
"""Within which a server must have said which tools it has; the first start of a package may have to download it."""
LIST_SECONDS = 20.0
CLOSE_SECONDS = 3.0
T = TypeVar("T")


class _Heard(MessageHandler):
    """Hears that the tools have changed."""

    def __init__(self, stale: asyncio.Event) -> None:
        self._stale = stale

    async def on_tool_list_changed(self, message: wire.ToolListChangedNotification) -> None:
        """Say so."""
        self._stale.set()


class ClientSession:
    """A connection that was opened; see `McpSession` for the promises."""

    def __init__(self, transport: ClientTransport, pipe: Pipe | None) -> None:
        self.tools: Sequence[McpTool] = ()
        self.gone = asyncio.Event()
        self.why = ""
        self.stale = asyncio.Event()
        self._pipe = pipe
        self._stop = asyncio.Event()
        self._client = Client(
            transport,
            message_handler=_Heard(self.stale),
            client_info=wire.Implementation(name="hostler", version="1"),
            init_timeout=START_SECONDS,
            mode="legacy",
        )
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._owner = asyncio.create_task(self._own())

    async def opened(self) -> None:
        """Return when the tools are known. Raises McpFailed."""
        try:
            async with asyncio.timeout(START_SECONDS):
                await asyncio.shield(self._opened)
        except TimeoutError:
            await self.close()
            raise McpFailed(f"the server did not say within {START_SECONDS:g} s which tools it has") from None
        except asyncio.CancelledError:
            await self.close()
            raise

    async def _own(self) -> None:
        """Enter the client, stay until somebody closes it or it breaks, and leave it."""
        try:
            async with self._client:
                await self._list()
                if not self._opened.done():
                    self._opened.set_result(None)
                await self._stop.wait()
        except asyncio.CancelledError:
            self._end("the connection was closed")
            if (task := asyncio.current_task()) and task.cancelling():
                raise
        except Exception as problem:  # noqa: BLE001 whatever the library's reason, the connection is gone
            self._end(_reason(problem))
        finally:
            self._end("the connection was closed")
            if self._pipe is not None:
                await self._pipe.end()

    def _end(self, why: str) -> None:
        if self.gone.is_set():
            return
        ended = self._pipe.why if self._pipe is not None and not self._stop.is_set() else ""
        self.why = ended or why
        self.gone.set()
        if not self._opened.done():
            self._opened.set_exception(McpFailed(self.why))
            self._opened.exception()

    async def _list(self) -> None:
        async with asyncio.timeout(LIST_SECONDS):
            self.stale.clear()
            self.tools = results.tools(await self._client.list_tools())

    async def _do(self, work: Awaitable[T], seconds: float, what: str) -> T:
        """Do something on the connection in a task of its own, as long as the connection lives."""
        if self.gone.is_set():
            getattr(work, "close", lambda: None)()
            raise McpFailed(self.why)
        doing = asyncio.ensure_future(work)
        ended = asyncio.ensure_future(self.gone.wait())
        try:
            await asyncio.wait({doing, ended}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if not doing.done():
                raise McpFailed(self.why) if self.gone.is_set() else McpTimedOut(f"{what}: no answer in {seconds:g} s")
            if doing.cancelled():
                raise McpFailed(self.why or "the connection broke")
            return doing.result()
        except MCPError as problem:
            raise await self._failed(problem) from problem
        except (RuntimeError, OSError, ValueError, ExceptionGroup) as problem:
            raise await self._failed(problem) from problem
        finally:
            ended.cancel()
            if not doing.done():
                doing.cancel()
            elif not doing.cancelled():
                doing.exception()

    async def _failed(self, problem: Exception) -> McpFailed:
        """Return what to say of a request that failed; a process that is ending has words of its own soon."""
        with contextlib.suppress(TimeoutError):
            if "closed" in str(problem).lower():
                self._stop_if_broken()
                async with asyncio.timeout(1.0):
                    await self.gone.wait()
        return McpFailed(self.why or _reason(problem))

    def _stop_if_broken(self) -> None:
        """Let the owner leave a client whose connection is closed."""
        if self._pipe is not None:
            self._end(self._pipe.why)
        self._stop.set()

    async def call(self, tool: str, arguments: Mapping[str, Any], seconds: float) -> McpResult:
        """Call a tool."""
        work = self._client.call_tool_mcp(tool, dict(arguments), timeout=seconds + 1)
        return results.result(await self._do(work, seconds, tool))

    async def relist(self) -> None:
        """List the tools again."""
        self.stale.clear()
        self.tools = results.tools(await self._do(self._client.list_tools(), LIST_SECONDS, "tools/list"))

    async def ping(self, seconds: float) -> None:
        """Return when the server has answered."""
        await self._do(self._client.ping(), seconds, "ping")

    async def move(self, operation: Operation) -> None:
        """Go on under the fence of a new turn."""
        if self._pipe is not None:
            await self._pipe.move(operation)

    async def close(self) -> None:
        """End the connection and its process."""
        self._stop.set()
        done, _ = await asyncio.wait({self._owner}, timeout=CLOSE_SECONDS)
        if not done:
            self._owner.cancel()
            await asyncio.wait({self._owner}, timeout=CLOSE_SECONDS)
        self._end("the connection was closed")


def _reason(problem: BaseException) -> str:
    """Return the innermost reason of what a library raised; a refused connection says whose rule it was."""
    chain = [problem]
    while (inner := _within(chain[-1])) is not None and len(chain) < 16:
        chain.append(inner)
    told = next((one for one in chain if isinstance(one, McpFailed)), None)
    texts = [str(one) for one in chain if str(one) and not isinstance(one, BaseExceptionGroup)]
    return (told.message if told else next(iter(texts), type(problem).__name__))[:500]


def _within(problem: BaseException) -> BaseException | None:
    if isinstance(problem, BaseExceptionGroup):
        return cast("BaseExceptionGroup[BaseException]", problem).exceptions[0]
    return problem.__cause__ or problem.__context__


async def connect(server: McpServer, site: Site, dial: Dial) -> ClientSession:
    """Start a server inside, or reach it; returns when its tools are known. Raises McpFailed."""
    if server.command:
        pipe = Pipe(server, site)
        await pipe.open()
        session = ClientSession(PipeTransport(pipe), pipe)
    else:
        session = ClientSession(ways.transport(server, site, dial), None)
    await session.opened()
    return session
