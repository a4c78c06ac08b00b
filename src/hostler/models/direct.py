"""The short way to a provider: the commonest calls without the library that speaks every protocol.

The library takes several milliseconds of the processor for a call, most of it for what one call has like the other. So
the first call goes its way and what it sent is kept as a template: address, headers, and all of the body that does not
follow from the conversation. The template is used only where our own words for that first conversation were the
library's, field by field. Later calls send the template with their conversation, and read the stream themselves as
long as there is nothing in it but texts, tool calls and their end. Whatever else comes, an error, a broken stream, a
word that is not known, goes to the library from the first byte on, as if it had called itself: it says what that means.
"""

import asyncio
import json
import re
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx2
import pydantic_core

from hostler.core.conversation import Delta, ModelReply, ModelRequest, ToolSpec
from hostler.models.direct_http import Connection, Connections, Origin

ODD_BYTES = tuple(
    mark.encode()
    for mark in (
        *(
            "<|",
            "|>",
            "<｜",
            "｜>",
            "_of_turn>",
            "[|",
            "INST]",
            "PROMPT]",
            "_TOOLS]",
            "_RESULTS]",
            "_CALLS]",
            "e~[",
            "]~",
        ),
        *("\u200b", "\u200c", "\u200d", "\u2060", "\ufeff"),
    )
)
"""What may be a control word of a model in the middle of a text: the library knows how to take its power away."""
ODD_PIECES = ("\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\\u20", "\\ufeff", "\\uFEFF", "<think")
"""What a reply may hold that the library would change."""
END_SECONDS = 0.2
"""How long the end of an answer may take after its last word; longer than that, a new connection is quicker."""
MOST = 64
"""Templates that are kept."""
OF_THE_CALL = frozenset({"accept-encoding", "connection", "content-length", "host", "transfer-encoding"})
UNSENDABLE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
"""Bytes that end a header, or that no header has."""
OF_THE_TRANSFER = frozenset({b"content-length", b"transfer-encoding"})

Shape = tuple[str, bool, bytes]
Body = dict[str, Any]


class Odd(Exception):
    """Something that is left to the library."""


class Reader(Protocol):
    """Reads one streamed reply."""

    over: bool
    """Whether the provider said that this was all."""

    def feed(self, data: bytes) -> list[Delta]:
        """Return the pieces in the data of one event; Odd, or whatever broken data leads to."""
        ...

    def reply(self, model: str) -> ModelReply:
        """Return the whole reply; Odd when it is no good one."""
        ...


class Dialect(Protocol):
    """A provider's protocol, as far as common calls need it."""

    def fields(self, request: ModelRequest) -> Mapping[str, bytes] | None:
        """Return the fields that follow from a conversation, as JSON; None when something is left to the library."""
        ...

    def reader(self) -> Reader:
        """Return what reads the next reply."""
        ...


@dataclass(frozen=True, slots=True)
class Template:
    """What calls of one shape have in common; `body` has the library's own order of the fields, None for ours."""

    origin: Origin
    head: bytes
    body: tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, slots=True)
class Sending:
    """A call that is ready."""

    origin: Origin
    data: bytes


@dataclass(slots=True)
class Heard(httpx2.AsyncBaseTransport):
    """What came of a call, to be heard once more by the library; `told` is how much of each part was shown already."""

    connection: Connection | None = None
    chunks: list[bytes] = field(default_factory=list[bytes])
    error: Exception | None = None
    told: dict[int, int] = field(default_factory=dict[int, int])

    @property
    def elsewhere(self) -> bool:
        """Whether the provider sends us to another address, where only the library goes."""
        return self.connection is not None and 300 <= self.connection.status < 400

    async def next(self) -> bytes:
        """Return the next bytes and keep them; empty at the end, or when the connection broke."""
        assert self.connection
        try:
            chunk = await self.connection.read()
        except httpx2.HTTPError as error:
            self.error = error
            return b""
        self.chunks.append(chunk)
        return chunk

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer the library as the provider answered."""
        if self.connection is None or not self.connection.status:
            raise self.error or httpx2.ReadError("nothing came")
        headers = [one for one in self.connection.headers if one[0].lower() not in OF_THE_TRANSFER]
        return httpx2.Response(self.connection.status, headers=headers, stream=_Again(self))

    def tell(self, deltas: list[Delta], on_delta: Callable[[Delta], None]) -> None:
        """Show pieces, and note how far a reply was told."""
        for delta in deltas:
            self.told[delta.part] = self.told.get(delta.part, 0) + len(delta.text)
            on_delta(delta)

    def going_on(self, on_delta: Callable[[Delta], None]) -> Callable[[Delta], None]:
        """Return what leaves out what was told already."""
        begun, left = set(self.told), dict(self.told)

        def tell(delta: Delta) -> None:
            known = min(left.get(delta.part, 0), len(delta.text))
            left[delta.part] = left.get(delta.part, 0) - known
            text = delta.text[known:]
            if text or delta.part not in begun:
                begun.add(delta.part)
                on_delta(Delta(delta.part, delta.kind, text, tool_name=delta.tool_name))

        return tell


class _Again(httpx2.AsyncByteStream):
    def __init__(self, heard: Heard) -> None:
        self._heard = heard

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        for chunk in self._heard.chunks:
            yield chunk
        if self._heard.error is not None:
            raise self._heard.error
        assert self._heard.connection
        while chunk := await self._heard.connection.read():
            yield chunk


class Direct:
    """The short way for one model."""

    def __init__(self, dialect: Dialect, model: str) -> None:
        self._dialect = dialect
        self._model = model
        self._templates: OrderedDict[Shape, Template] = OrderedDict()
        self._connections = Connections()
        self._tools: OrderedDict[tuple[int, ...], tuple[tuple[ToolSpec, ...], bytes]] = OrderedDict()

    def learn(self, request: ModelRequest, library: httpx2.Request) -> None:
        """Keep what the library sends for a request, if its conversation is in the words that we would use."""
        ours, theirs = self._dialect.fields(request), json.loads(library.content)
        if ours is None or any(theirs.get(name) != json.loads(value) for name, value in ours.items()):
            return
        body = tuple((name, None if name in ours else pydantic_core.to_json(value)) for name, value in theirs.items())
        if any(value and odd(value) for _, value in body) or not _sendable(library):
            return
        self._templates[self.shape(request)] = Template(Origin.of(library.url), _head(library), body)
        while len(self._templates) > MOST:
            self._templates.popitem(last=False)

    def ready(self, request: ModelRequest) -> Sending | None:
        """Return the call for a request; None when it must go the library's way."""
        template = self._templates.get(self.shape(request))
        if template is None or (ours := self._dialect.fields(request)) is None:
            return None
        fields = b",".join([b'"%s":%s' % (name.encode(), value or ours[name]) for name, value in template.body])
        return Sending(template.origin, b"%s%d\r\n\r\n{%s}" % (template.head, len(fields) + 2, fields))

    def shape(self, request: ModelRequest) -> Shape:
        """Return what calls with one template have in common; the library writes the tools' schemas in its own way."""
        name = tuple(map(id, request.tools))
        if (known := self._tools.get(name)) is None:
            tools = [(tool.name, tool.description, tool.parameters) for tool in request.tools]
            known = self._tools[name] = (request.tools, pydantic_core.to_json(tools))  # they are kept, so are their ids
            while len(self._tools) > MOST:
                self._tools.popitem(last=False)
        return request.effort, bool(request.system), known[1]

    async def ask(self, sending: Sending, on_delta: Callable[[Delta], None], heard: Heard) -> ModelReply | None:
        """Make a call; None when the library must say what `heard` means. What `on_delta` raises comes out."""
        try:
            heard.connection = connection = await self._connections.take(sending.origin)
            connection.ask(sending.data)
            await connection.answered()
        except httpx2.HTTPError as error:
            heard.error = error
            return None
        if connection.status != 200 or not _streams(connection):
            return None
        reader = self._dialect.reader()
        await self._listen(reader, heard, on_delta)
        try:
            reply = reader.reply(self._model) if reader.over else None
        except Odd:
            return None
        if reply and not connection.complete:
            await _drained(connection)
        return reply

    async def _listen(self, reader: Reader, heard: Heard, on_delta: Callable[[Delta], None]) -> None:
        """Tell what a stream says, up to its end or to the first thing in it that is odd."""
        data = b""
        while not reader.over and (chunk := await heard.next()):
            *events, data = (data + chunk).split(b"\n\n")
            deltas: list[Delta] = []
            odd = False
            try:
                for event in events:
                    for line in _data(event):
                        deltas += reader.feed(line)
                    if reader.over:
                        break
            except (Odd, ValueError, LookupError, TypeError, AttributeError):
                odd = True
            heard.tell(deltas, on_delta)
            if odd:
                return

    def done(self, sending: Sending, heard: Heard) -> None:
        """Let go of a call's connection."""
        if heard.connection:
            self._connections.give_back(sending.origin, heard.connection)

    def close(self) -> None:
        """Close every connection; repeating it is fine."""
        self._connections.close()


async def _drained(connection: Connection) -> None:
    """Read the end of an answer whose content is known, so that its connection can be used again; no reason to wait."""
    with suppress(httpx2.HTTPError, TimeoutError):
        async with asyncio.timeout(END_SECONDS):
            while await connection.read():
                pass


def _sendable(library: httpx2.Request) -> bool:
    """Return whether headers are what they seem: the library shows a request before it looks for ends of lines."""
    return not any(UNSENDABLE.search(part) for header in library.headers.raw for part in header)


def _head(library: httpx2.Request) -> bytes:
    """Return the beginning of a request like the library's, up to its length."""
    lines = [b"POST %s HTTP/1.1" % library.url.raw_path, b"host: " + library.url.netloc]
    lines += [name + b": " + value for name, value in library.headers.raw if name.lower().decode() not in OF_THE_CALL]
    return b"\r\n".join([*lines, b"accept-encoding: identity", b"connection: keep-alive", b"content-length: "])


def _data(event: bytes) -> list[bytes]:
    """Return the data of an event; Odd for what is written in a way of its own."""
    found: list[bytes] = []
    for line in event.split(b"\n"):
        if line.startswith(b"data: "):
            found.append(line[6:])
        elif line and not line.startswith((b"event: ", b":")):
            raise Odd
    if len(found) > 1 or b"\r" in event:
        raise Odd
    return found


def odd(data: bytes) -> bool:
    """Return whether there may be a control word of a model in a piece of a request."""
    return any(mark in data for mark in ODD_BYTES)


def plain(piece: str) -> str:
    """Return a piece of a reply; Odd when the library would change it."""
    if piece.isascii() and "\\" not in piece and "<" not in piece:
        return piece
    if any(mark in piece for mark in ODD_PIECES):
        raise Odd
    return piece


def needed(given: Mapping[str, Any], known: frozenset[str]) -> None:
    """Raise Odd when there is something in an object beside what is known, and it is not empty."""
    if given.keys() <= known:
        return
    if any(value not in (None, 0, "", [], {}) for name, value in given.items() if name not in known):
        raise Odd


def _streams(connection: Connection) -> bool:
    """Return whether an answer is a stream of events, as it is."""
    fields = {name.lower(): value for name, value in connection.headers}
    plainly = fields.get(b"content-encoding", b"identity") == b"identity"
    return plainly and fields.get(b"content-type", b"").startswith(b"text/event-stream")
