"""A scripted HTTP endpoint that speaks every provider's own protocol on a free port of this machine, for tests.

    async with Endpoint([Reply("hello")]) as endpoint:
        models = Registry(endpoint.environ())

It is a small server on plain sockets, so that a test can cut a connection at an exact event and see one close.
"""

import asyncio
import json
import ssl
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Self

from hostler.testing.answers import Answer, Broken, Failure, Garbage, Hold, Reply
from hostler.testing.protocols import DIALECTS, Dialect

KEY = "key-for-tests"


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it was on the wire; header names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]


Answers = Sequence[Answer] | Callable[[Received], Answer]
"""Answers in order, the last one again and again, or a function of the request."""


@dataclass(slots=True)
class Endpoint:
    """The server; `requests` are all that came, `disconnects` counts callers that left before the end."""

    answers: Answers
    tls: ssl.SSLContext | None = None
    requests: list[Received] = field(default_factory=list[Received])
    in_flight: int = 0
    disconnects: int = 0
    _served: int = 0
    _server: asyncio.Server | None = None
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _connections: set[asyncio.StreamWriter] = field(default_factory=set[asyncio.StreamWriter])

    @property
    def url(self) -> str:
        """Return the address without a path."""
        assert self._server, "the endpoint is not running"
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def environ(self) -> dict[str, str]:
        """Return the variables that lead every provider here."""
        return {
            "ANTHROPIC_API_KEY": KEY,
            "ANTHROPIC_BASE_URL": self.url,
            "OPENAI_API_KEY": KEY,
            "OPENAI_BASE_URL": f"{self.url}/v1",
        }

    async def until(self, condition: Callable[["Endpoint"], bool]) -> None:
        """Return when the condition holds; it is looked at after every request, end and disconnect."""
        async with self._changed:
            await self._changed.wait_for(lambda: condition(self))

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=self.tls, backlog=512)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server
        self._server.close()
        for writer in tuple(self._connections):
            writer.transport.abort()
        await self.until(lambda _: not self._connections)
        await self._server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                request = await _read(reader)
                await self._serve(request, reader, writer)
        finally:
            writer.close()
            self._connections.discard(writer)
            await self._tell()

    async def _serve(self, request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append(request)
        self.in_flight += 1
        await self._tell()
        left = asyncio.ensure_future(reader.read(1))  # a caller says no more: only the end can come
        answering = asyncio.ensure_future(self._answer(request, writer))
        try:
            await asyncio.wait({left, answering}, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                self.disconnects += 1
            else:
                await answering
        finally:
            self.in_flight -= 1
            for task in (left, answering):
                task.cancel()
            await asyncio.gather(left, answering, return_exceptions=True)

    async def _answer(self, request: Received, writer: asyncio.StreamWriter) -> None:
        dialect = DIALECTS.get(request.path.partition("?")[0])
        if dialect is None:
            body = json.dumps({"error": {"message": f"there is no {request.path}"}}).encode()
            return await _whole(writer, 404, body, "application/json")
        match self._next(request):
            case Failure() as failure:
                body = json.dumps(dialect.failure(failure)).encode()
                await _whole(writer, failure.status, body, "application/json", failure.headers)
            case Garbage(body=body, content_type=kind):
                await _whole(writer, 200, body, kind)
            case answer:
                await _stream(writer, dialect, answer, request.body.get("model", ""), len(self.requests))

    def _next(self, request: Received) -> Answer:
        if callable(self.answers):
            return self.answers(request)
        self._served += 1
        return self.answers[min(self._served, len(self.answers)) - 1]

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


async def _read(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = head[0].split(" ", 2)
    pairs = (line.partition(":") for line in head[1:] if line)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(method, path, headers, json.loads(body) if body else {})


async def _whole(
    writer: asyncio.StreamWriter, status: int, body: bytes, kind: str, headers: Mapping[str, str] | None = None
) -> None:
    writer.write(_head(status, {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}) + body)
    await writer.drain()


async def _stream(
    writer: asyncio.StreamWriter, dialect: Dialect, answer: Reply | Broken | Hold, model: str, served: int
) -> None:
    writer.write(_head(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"}))
    reply = answer if isinstance(answer, Reply) else answer.reply
    for number, event in enumerate(dialect.events(replace(reply, number=served), model)):
        match answer:
            case Hold(after=after) if after == number:
                answer.reached.set()
                await answer.gate.wait()
            case Broken(after=after, how=how) if after == number:
                if how == "error":
                    writer.write(_chunk(dialect.error_event()))
                if how != "cut":
                    writer.write(_chunk(b""))
                    await writer.drain()
                else:
                    writer.write(_chunk(event)[:-7])  # in the middle of a chunk
                    await writer.drain()
                return
            case _:
                pass
        writer.write(_chunk(event))
        await writer.drain()
    writer.write(_chunk(b""))
    await writer.drain()


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = (f"{name}: {value}\r\n" for name, value in {**headers, "Connection": "close"}.items())
    return f"HTTP/1.1 {status} Scripted\r\n{''.join(lines)}\r\n".encode("latin-1")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)
