"""HTTP for the short way to a provider: one POST at a time on a connection, its answer read as it comes.

A client that can do everything takes more of the processor for a call than all the rest of a step. This one speaks
HTTP/1.1 to one origin, without proxies, redirects and encodings: whoever needs those asks the library. What goes wrong
is told in the library's own errors, so that it means what it means there.
"""

import asyncio
import ipaddress
import itertools
import socket
import ssl
from asyncio.staggered import staggered_race
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import httptools
import httpx2

from hostler.models.pools import CONNECT_SECONDS, SILENCE_SECONDS, certificates

IDLE_SECONDS = 5.0
"""How long a connection without a call is kept; providers close theirs after a while, often unseen."""
NEXT_ADDRESS_SECONDS = 0.25
"""When the next address of a host is tried beside those that have not answered."""
MOST_HEAD = 256 << 10
"""Bytes before an answer's body."""
MOST_UNREAD = 1 << 20
"""Bytes of an answer that wait to be read before the provider is made to wait."""
BROKEN = "the connection was closed before the answer was whole"

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where connections lead."""

    secure: bool
    host: str
    port: int

    @classmethod
    def of(cls, url: httpx2.URL) -> "Origin":
        """Return the origin of a URL."""
        secure = url.scheme == "https"
        return cls(secure, url.raw_host.decode("ascii"), url.port or (443 if secure else 80))


class Connection(asyncio.Protocol):
    """A connection, and the answer that it is at."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.complete = False
        """Whether the answer was read to its end."""
        self.closed = False
        self.idle: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._chunks: deque[bytes] = deque()
        self._unread = self._before = 0
        self._waiter: asyncio.Future[None] | None = None
        self._error: Exception | None = None
        self._headed = self._until_closed = self._kept = self._paused = False

    def ask(self, data: bytes) -> None:
        """Send a request, whose answer is the next one."""
        assert self._transport
        self.status, self.headers, self.complete, self._headed, self._before = 0, [], False, False, 0
        self._parser = httptools.HttpResponseParser(self)
        self._transport.write(data)

    async def answered(self) -> None:
        """Wait for status and headers. Raises an error of httpx2."""
        while not self._headed:
            await self._more()

    async def read(self) -> bytes:
        """Return what came of the body, empty at its end. Raises an error of httpx2."""
        while not self._chunks:
            if self.complete:
                return b""
            await self._more()
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._unread = 0
        if self._paused and self._transport:
            self._paused = False
            self._transport.resume_reading()
        return data

    async def _more(self) -> None:
        if self._error is not None:
            raise self._error
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        unsent = self._unsent()
        timer = loop.call_later(SILENCE_SECONDS, self._silent, unsent)
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _unsent(self) -> int:
        return self._transport.get_write_buffer_size() if self._transport and not self.closed else 0

    def _silent(self, unsent: int) -> None:
        """End what waits, unless a long request is still on its way."""
        if (left := self._unsent()) and left < unsent and self._waiter:
            loop = asyncio.get_running_loop()
            timer = loop.call_later(SILENCE_SECONDS, self._silent, left)
            self._waiter.add_done_callback(lambda _: timer.cancel())
            return
        self._fail(httpx2.ReadTimeout("the provider sent nothing for too long"))

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, error: Exception) -> None:
        self._error = self._error or error
        self.close()
        self._wake()

    def close(self) -> None:
        """Close the connection at once; repeating it is fine."""
        if self.idle:
            self.idle.cancel()
        self.closed = True
        if self._transport:
            self._transport.abort()

    @property
    def reusable(self) -> bool:
        """Whether another request can be sent."""
        return self.complete and self._kept and not self._chunks and not self.closed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one by what it does

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        if self._parser is None or self.complete:
            self._fail(httpx2.RemoteProtocolError("the provider says more than was asked"))
            return
        if not self._headed:
            self._before += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as problem:
            self._fail(httpx2.RemoteProtocolError(str(problem) or "the provider does not speak HTTP"))
            return
        if not self._headed and self._before > MOST_HEAD:
            self._fail(httpx2.RemoteProtocolError("the provider's headers do not end"))
        if self._unread > MOST_UNREAD and not self._paused and self._transport:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end, which may be the answer's too."""
        if exc is None and self._headed and self._until_closed:
            self.complete = True
        if not self.complete and self._error is None:
            self._error = httpx2.ReadError(str(exc)) if exc else httpx2.RemoteProtocolError(BROKEN)
        self.closed = True
        self._wake()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Take the status; what only goes before an answer is left out."""
        assert self._parser
        status = self._parser.get_status_code()
        if status < 200:
            self.headers = []
            return
        self.status, self._headed = status, True
        names = {name.lower() for name, _ in self.headers}
        self._until_closed = status not in (204, 304) and not names & {b"content-length", b"transfer-encoding"}

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._chunks.append(body)
        self._unread += len(body)

    def on_message_complete(self) -> None:
        """Note the answer's end."""
        assert self._parser
        self.complete = self._headed
        self._kept = not self._until_closed and self._parser.should_keep_alive()


class Connections:
    """Connections to providers: as many as there are calls, and for a few seconds those that were of use."""

    def __init__(self) -> None:
        self._free: dict[Origin, list[Connection]] = {}
        self._used: set[Connection] = set()

    async def take(self, origin: Origin) -> Connection:
        """Return a connection for one call. Raises an error of httpx2."""
        free = self._free.get(origin)
        while free:
            known = free.pop()
            if known.idle:
                known.idle.cancel()
            if not known.closed:
                self._used.add(known)
                return known
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                made = await _connected(origin)
        except TimeoutError as problem:
            raise httpx2.ConnectTimeout("no connection was made in time") from problem
        except (OSError, UnicodeError) as problem:
            raise httpx2.ConnectError(str(problem)) from problem
        self._used.add(made)
        return made

    def give_back(self, origin: Origin, connection: Connection) -> None:
        """Keep a connection for the next call, or close it where its answer was not read to the end."""
        if connection not in self._used:
            return
        self._used.discard(connection)
        if not connection.reusable:
            connection.close()
            return
        connection.idle = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._expire, origin, connection)
        self._free.setdefault(origin, []).append(connection)

    def _expire(self, origin: Origin, connection: Connection) -> None:
        connection.close()
        if connection in (free := self._free.get(origin, [])):
            free.remove(connection)

    def close(self) -> None:
        """Close all; calls that run fail. Repeating it is fine."""
        for connection in itertools.chain(self._used, *self._free.values()):
            connection.close()
        self._free.clear()


async def _connected(origin: Origin) -> Connection:
    """Return a connection to the address that answers first, where a host has several."""
    trusted = await _trusted() if origin.secure else None
    addresses = await _addresses(origin)
    if len(addresses) == 1:
        return await _to(addresses[0], origin, trusted)
    made: list[Connection] = []

    async def attempt(address: str) -> Connection:
        made.append(connection := await _to(address, origin, trusted))
        return connection

    first, _, problems = await staggered_race([partial(attempt, one) for one in addresses], NEXT_ADDRESS_SECONDS)
    for late in made:
        if late is not first:
            late.close()
    if first is None:
        raise next((one for one in problems if isinstance(one, OSError)), OSError("no address answers"))
    return first


async def _to(address: str, origin: Origin, trusted: ssl.SSLContext | None) -> Connection:
    loop = asyncio.get_running_loop()
    named = origin.host if trusted else None
    _, made = await loop.create_connection(Connection, address, origin.port, ssl=trusted, server_hostname=named)
    return made


async def _trusted() -> ssl.SSLContext:
    """Return the trusted certificates; reading them takes a while."""
    context = await asyncio.to_thread(certificates)
    context.set_alpn_protocols(["http/1.1"])
    return context


async def _addresses(origin: Origin) -> Sequence[str]:
    """Return a host's addresses, the two kinds in turns."""
    try:
        return [str(ipaddress.ip_address(origin.host))]
    except ValueError:
        pass
    found = await asyncio.get_running_loop().getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    kinds: dict[int, list[str]] = {}
    for kind, _, _, _, where in found:
        kinds.setdefault(kind, []).append(str(where[0]))
    turns = itertools.chain.from_iterable(itertools.zip_longest(*kinds.values()))
    return [address for address in turns if address]
