"""One HTTP/1.1 connection from inside an environment. What arrives here is hostile: every size and wait is bounded."""

import asyncio
import contextlib
from collections.abc import Iterable
from dataclasses import dataclass

import h11

from hostler.models.gateway.refusals import bad_request

CHUNK = 64 << 10
MOST_HEAD = 64 << 10
IDLE_SECONDS = 600.0
"""Between two requests of one connection; agents keep theirs."""
BODY_SECONDS = 60.0
"""For each piece of a body."""
LINGER_SECONDS = 2.0
WRITE_SECONDS = 300.0
"""For a peer that takes no byte of the answer."""

Headers = Iterable[tuple[str, str]]


class HungUp(ConnectionError):
    """The peer takes nothing any more."""


@dataclass(frozen=True, slots=True)
class Head:
    """The beginning of a request; header names are in lower case, of repeated ones the last counts."""

    method: str
    path: str
    query: str
    headers: dict[str, str]

    @property
    def length(self) -> int | None:
        """Return how many bytes of body were told beforehand; None when they come in chunks."""
        if "transfer-encoding" in self.headers:
            return None
        return int(self.headers.get("content-length", "0"))


class Connection:
    """Reads requests and writes answers, one after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MOST_HEAD)

    async def request(self) -> Head | None:
        """Return the next request's head, None when there is none; OSError, TimeoutError or h11.ProtocolError."""
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        if self._http.our_state is not h11.IDLE:
            return None
        event = await self._event(IDLE_SECONDS)
        if not isinstance(event, h11.Request):
            return None
        path, _, query = event.target.decode("latin-1").partition("?")
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
        return Head(event.method.decode("latin-1"), path, query, headers)

    async def body(self, most: int) -> bytes:
        """Return the request's whole body; Refusal when it is longer than `most`."""
        if self._http.they_are_waiting_for_100_continue:
            await self._write(self._http.send(h11.InformationalResponse(status_code=100, headers=[])))
        whole = bytearray()
        while isinstance(event := await self._event(BODY_SECONDS), h11.Data):
            whole += event.data
            if len(whole) > most:
                raise bad_request(f"the request is longer than {most >> 20} MiB", 413)
        return bytes(whole)

    async def gone(self) -> None:
        """Return when the peer has closed; what it sends ahead meanwhile is kept."""
        while self._http.trailing_data == (b"", False):
            data = await self._reader.read(CHUNK)
            self._http.receive_data(data)
            if not data:
                return
        await asyncio.Event().wait()

    @property
    def started(self) -> bool:
        """Say whether an answer has begun."""
        return self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE)

    async def start(self, status: int, headers: Headers) -> None:
        """Begin an answer whose length is not known."""
        await self._send(h11.Response(status_code=status, headers=list(headers)))

    async def send(self, data: bytes) -> None:
        """Send a piece of the answer and wait until there is room for more."""
        if data:
            await self._send(h11.Data(data=data))

    async def end(self) -> None:
        """End the answer."""
        await self._send(h11.EndOfMessage())

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        """Answer at once; a request that was not read to its end is the connection's last one."""
        unread = self._http.their_state is not h11.DONE
        own = [("content-length", str(len(body))), *([("connection", "close")] if unread else [])]
        parts = [h11.Response(status_code=status, headers=[*headers, *own]), h11.Data(data=body), h11.EndOfMessage()]
        await self._write(b"".join(self._http.send(part) or b"" for part in parts))
        if unread:
            await self._linger()

    async def close(self, *, proper: bool) -> None:
        """Close; without a proper end the peer sees that there is none, and what it did not take is lost."""
        if proper:
            with contextlib.suppress(OSError):
                async with asyncio.timeout(LINGER_SECONDS):
                    self._writer.close()
                    return await self._writer.wait_closed()
        self._writer.transport.abort()

    async def _linger(self) -> None:
        """Take what the peer is still sending, for it reads the answer only afterwards."""
        with contextlib.suppress(OSError):
            async with asyncio.timeout(LINGER_SECONDS):
                while await self._reader.read(CHUNK):
                    pass

    async def _event(self, seconds: float) -> h11.Event | type[h11.PAUSED]:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            async with asyncio.timeout(seconds):
                self._http.receive_data(await self._reader.read(CHUNK))
        return event  # pyright: ignore[reportReturnType]

    async def _send(self, event: h11.Event) -> None:
        await self._write(self._http.send(event))

    async def _write(self, data: bytes | None) -> None:
        try:
            self._writer.write(data or b"")
            if not self._writer.transport.get_write_buffer_size():
                return await self._writer.drain()  # which only says whether the peer is still there
            async with asyncio.timeout(WRITE_SECONDS):
                await self._writer.drain()
        except OSError as problem:  # TimeoutError is one.
            raise HungUp("the agent hung up") from problem
