"""The client's transport to a server that runs inside: messages as lines over the streams of an attached process."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import anyio
from fastmcp.client.transports import ClientTransport
from fastmcp.client.transports.base import TransportOptions
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter

from hostler.core.errors import EnvironmentError_, Fenced
from hostler.core.machines import Attached, Command, Exited, Operation
from hostler.core.mcp_client import McpFailed, Site
from hostler.core.mcp_servers import McpServer
from mcp import ClientSession

LONGEST_LIFE = 30 * 24 * 3600.0
LONGEST_LINE = 16 << 20
"""Bytes of one message; a server that writes more is not understood any more."""
PAST_THE_END = 1 << 60
LAST_WORDS = 500
"""Characters of standard error that are told of a server that ended."""


class Pipe:
    """A server's process; what it is told goes through the newest line to it, for that has the newest fence."""

    def __init__(self, server: McpServer, site: Site) -> None:
        self._site = site
        self._command = Command(
            (server.command, *server.args), cwd=server.cwd, env=server.env, timeout=LONGEST_LIFE, merge=False
        )
        self._line: Attached | None = None
        self._teller: Attached | None = None
        self._told = 0
        self._moves = 0
        self.why = "the server has ended"

    async def open(self) -> None:
        """Start the process. Raises McpFailed, MachineLost, Fenced."""
        site = self._site
        try:
            line = await site.machine.attach(site.operation, self._command, incarnation=site.incarnation)
        except Fenced:
            raise
        except EnvironmentError_ as problem:
            raise McpFailed(problem.message) from problem
        self._line = self._teller = line

    async def move(self, operation: Operation) -> None:
        """Speak under another fence from now on. Raises MachineLost, Fenced."""
        site = self._site
        teller = await site.machine.attach(
            Operation(site.operation.execution, operation.fence, site.operation.id),
            self._command,
            incarnation=site.incarnation,
            offset=PAST_THE_END,
        )
        teller.close()
        self._teller = teller
        self._moves = operation.fence

    async def tell(self, data: bytes) -> None:
        """Write one message. Raises EnvironmentError_."""
        assert self._teller is not None, "the process was started"
        self._told += 1
        await self._teller.send(f"m{self._told}", data)

    async def lines(self) -> AsyncGenerator[bytes]:
        """Yield what the process writes, line by line, until it ends."""
        assert self._line is not None, "the process was started"
        buffer = bytearray()
        try:
            async for _, data in self._line.output():
                *whole, rest = data.split(b"\n")
                for one in whole:
                    buffer += one
                    yield bytes(buffer)
                    buffer.clear()
                buffer += rest
                if len(buffer) > LONGEST_LINE:
                    self.why = f"the server wrote a message of more than {LONGEST_LINE >> 20} MiB"
                    return
            self.why = await self._last_words()
        except EnvironmentError_ as problem:
            self.why = problem.message

    async def _last_words(self) -> str:
        assert self._line is not None, "the process was started"
        outcome = await self._line.wait()
        said = (await self._line.errors()).decode(errors="replace").strip()[-LAST_WORDS:]
        how = f"exit code {outcome.code}" if isinstance(outcome, Exited) else type(outcome).__name__.lower()
        return f"the server has ended ({how}){': ' if said else ''}{said}"

    async def end(self) -> None:
        """Kill the process; one that is out of reach is left to its environment."""
        if self._teller is not None:
            with contextlib.suppress(EnvironmentError_):
                await self._teller.kill()
        if self._line is not None:
            self._line.close()


class PipeTransport(ClientTransport):
    """Carries a client's messages over a pipe."""

    legacy_only = True

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    @contextlib.asynccontextmanager
    async def connect_session(
        self, *, transport_options: TransportOptions | None = None, **session_kwargs: Any
    ) -> AsyncGenerator[ClientSession]:
        """Yield a session; it ends when the process does."""
        options = transport_options or TransportOptions()
        heard_in, heard = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        said, said_out = anyio.create_memory_object_stream[SessionMessage](0)

        async def hear() -> None:
            async with heard_in:
                async for line in self._pipe.lines():
                    if line.strip():
                        await heard_in.send(_parsed(line))

        async def say() -> None:
            async with said_out:
                async for message in said_out:
                    text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
                    try:
                        await self._pipe.tell(text.encode() + b"\n")
                    except EnvironmentError_ as problem:
                        self._pipe.why = problem.message
                        await heard_in.aclose()
                        return

        work = [asyncio.create_task(hear()), asyncio.create_task(say())]
        try:
            async with heard, said, options.session_class(heard, said, **session_kwargs) as session:
                yield session
        finally:
            for one in work:
                one.cancel()
            await asyncio.wait(work)
            for one in work:
                if not one.cancelled():
                    one.exception()  # What broke at the end has been told by the session already.
            for stream in (heard_in, heard, said, said_out):
                stream.close()


def _parsed(line: bytes) -> SessionMessage | Exception:
    try:
        return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError as fault:
        return fault
