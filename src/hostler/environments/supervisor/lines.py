"""Connections as the supervisor sees them: one request each, then frames back until the answer is complete."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import cast

from . import frames

Send = Callable[..., Awaitable[None]]
Handle = Callable[[frames.Header, bytes, Send], Awaitable[None]]


class Line(asyncio.Protocol):
    """One connection. Its end means that nobody listens any more; what was begun goes on without it."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._waiting = bytearray()
        self._handling: asyncio.Task[None] | None = None
        self._room: asyncio.Future[None] | None = None
        """What senders wait for while the other end does not read; None while it does."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take the request; there is only one."""
        self._waiting += data
        if self._handling:
            self._transport.close()
            return
        try:
            frame = frames.take(self._waiting)
        except frames.BadFrame:
            self._transport.close()
            return
        if frame:
            self._handling = asyncio.ensure_future(self._answer(*frame))

    async def _answer(self, header: frames.Header, body: bytes) -> None:
        try:
            with contextlib.suppress(OSError):
                await self._handle(header, body, self._send)
        finally:
            self._transport.close()

    async def _send(self, answer: frames.Header, data: bytes = b"") -> None:
        if self._transport.is_closing():
            raise ConnectionResetError
        self._transport.write(frames.pack(answer, data))
        while self._room:
            await asyncio.shield(self._room)

    def pause_writing(self) -> None:
        """Let senders wait."""
        self._room = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """Let senders go on."""
        room, self._room = self._room, None
        if room:
            room.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Answer nobody any more."""
        self.resume_writing()
        if self._handling:
            self._handling.cancel()
