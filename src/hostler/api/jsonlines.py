"""Server streams for clients that speak plain JSON: one object a line, nothing enveloped.

The request is turned into an enveloped one and goes the way of all streams; only its answer is unwrapped here. Every
line is filled up with spaces to a multiple of 64 bytes, because the official 0.x client hands on 64 bytes at a time and
would sit on the end of a line; it keeps alive by spaces before the next line, since a blank line breaks it.
"""

import asyncio
import json
import struct
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from datetime import timedelta
from typing import Any

from connectrpc.code import Code
from connectrpc.errors import ConnectError

from hostler.api.errors import body_of, hints, status_of
from hostler.core.ambient import Ambient

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Receive, Send], Coroutine[Any, Any, None]]

BLOCK = 64
"""Bytes that the 0.x client reads at a time."""
KEEP_ALIVE = timedelta(seconds=15)
QUIET = timedelta(seconds=1)
"""After which the headers are sent although nothing has happened; errors of the request itself come before."""
COMPRESSED = 0b01
"""The envelope flag of a compressed message."""
END = 0b10
"""The envelope flag of the message that ends a stream."""


async def answer(app: App, scope: Any, receive: Receive, send: Send, limit: int, ambient: Ambient) -> None:
    """Serve one plain JSON request of a server-streaming method through its enveloped form."""
    headers = [
        (name, value)
        for name, value in scope["headers"]
        if name not in (b"content-type", b"content-length", b"content-encoding", b"transfer-encoding")
    ]
    encoding = next((value for name, value in scope["headers"] if name == b"content-encoding"), b"identity")
    headers += [(b"content-type", b"application/connect+json"), (b"connect-content-encoding", encoding)]
    inner = {**scope, "headers": headers}
    flags = 0 if encoding == b"identity" else COMPRESSED
    lines = _Lines(send)
    app_task = asyncio.create_task(app(inner, await _enveloped(receive, limit, flags), lines.take))
    pause = QUIET
    try:
        while not app_task.done():
            tick = asyncio.create_task(ambient.until(ambient.now() + pause))
            await asyncio.wait({app_task, tick}, return_when=asyncio.FIRST_COMPLETED)
            if not tick.cancel():
                await (lines.start() if pause is QUIET else lines.keep_alive())
                pause = KEEP_ALIVE
        await app_task
    finally:
        app_task.cancel()
    await lines.finish()


async def _enveloped(receive: Receive, limit: int, flags: int) -> Receive:
    """Return a `receive` that gives the whole body as one envelope, and after it what else comes."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if message["type"] != "http.request" or not message.get("more_body", False) or len(body) > limit:
            break
    body = body or (b"" if flags else b"{}")
    first: list[Message] = [{"type": "http.request", "body": struct.pack(">BI", flags, len(body)) + body}]

    async def inner() -> Message:
        return first.pop() if first else await receive()

    return inner


class _Lines:
    """Takes an enveloped answer apart and writes its messages as lines."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._headers: list[tuple[bytes, bytes]] = []
        self._status = 200
        self._buffer = b""
        self._started = False
        self._error: dict[str, Any] | None = None
        self._open_line = False

    async def take(self, message: Message) -> None:
        """Take what the enveloped form sends."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            own = (b"content-type", b"connect-content-encoding", b"content-length")
            self._headers = [(n, v) for n, v in message["headers"] if n.lower() not in own]
            return
        if self._status != 200:
            self._buffer += message.get("body", b"")
            return
        self._buffer += message.get("body", b"")
        while len(self._buffer) >= 5 and len(self._buffer) >= 5 + (size := int.from_bytes(self._buffer[1:5], "big")):
            flags, data, self._buffer = self._buffer[0], self._buffer[5 : 5 + size], self._buffer[5 + size :]
            if flags & END:
                self._error = json.loads(data).get("error")
            else:
                await self._write(data + b" " * (-(len(data) + 1) % BLOCK) + b"\n")
                self._open_line = False

    async def keep_alive(self) -> None:
        """Show that the stream lives, by spaces that belong to the next line."""
        await self._write(b" " * BLOCK)
        self._open_line = True

    async def finish(self) -> None:
        """End the answer; an error before the first line is an ordinary error answer."""
        if not self._started and (self._error or self._status != 200):
            await self._fail()
            return
        if self._open_line:  # the client parses what is left as a line
            await self._write(b"{}" + b" " * (BLOCK - 3) + b"\n")
        await self.start()
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _write(self, data: bytes) -> None:
        await self.start()
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def start(self) -> None:
        """Send the headers, once."""
        if not self._started:
            self._started = True
            headers = [*self._headers, (b"content-type", b"application/jsonl")]
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})
            await self._send({"type": "http.response.body", "body": b"", "more_body": True})

    async def _fail(self) -> None:
        status, body, headers = self._status, self._buffer, [*self._headers]
        if self._error:
            error = ConnectError(Code(self._error["code"]), self._error.get("message", ""))
            status, body = status_of(error), body_of(error)
            known = {name for name, _ in headers}
            headers += [(n.encode(), v.encode()) for n, v in hints(error).items() if n.encode() not in known]
        headers = [*headers, (b"content-type", b"application/json")]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body, "more_body": False})
