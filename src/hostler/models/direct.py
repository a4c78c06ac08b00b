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
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Mapping
from contextlib import AsyncExitStack, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx2
import pydantic_core

from hostler.core.conversation import Delta, ModelReply, ModelRequest

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
OF_THE_CALL = frozenset({"content-length", "host", "transfer-encoding"})
OF_THE_TRANSFER = frozenset({"content-length", "content-encoding", "transfer-encoding"})

Shape = tuple[str, bool, bytes]
Body = dict[str, Any]
sent: ContextVar[list[httpx2.Request] | None] = ContextVar("sent", default=None)
"""Where requests of the library are noted while it is watched."""


@contextmanager
def watched(noted: list[httpx2.Request]) -> Generator[None]:
    """Note the requests that are sent in this block."""
    before = sent.set(noted)
    try:
        yield
    finally:
        sent.reset(before)


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

    def body(self, request: ModelRequest) -> Body | None:
        """Return the fields that follow from a conversation; None when something in it is left to the library."""
        ...

    def reader(self) -> Reader:
        """Return what reads the next reply."""
        ...


@dataclass(frozen=True, slots=True)
class Template:
    """What calls of one shape have in common; `body` has the library's own order of the fields."""

    url: httpx2.URL
    headers: tuple[tuple[str, str], ...]
    body: Body


@dataclass(frozen=True, slots=True)
class Sending:
    """A call that is ready."""

    url: httpx2.URL
    headers: tuple[tuple[str, str], ...]
    content: bytes


@dataclass(slots=True)
class Heard(httpx2.AsyncBaseTransport):
    """What came of a call, to be heard once more by the library; `told` is how much of each part was shown already."""

    response: httpx2.Response | None = None
    chunks: list[bytes] = field(default_factory=list[bytes])
    rest: AsyncIterator[bytes] | None = None
    error: Exception | None = None
    told: dict[int, int] = field(default_factory=dict[int, int])

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer the library as the provider answered."""
        if self.response is None:
            raise self.error or httpx2.ReadError("nothing came")
        headers = [one for one in self.response.headers.multi_items() if one[0].lower() not in OF_THE_TRANSFER]
        return httpx2.Response(self.response.status_code, headers=headers, stream=_Again(self))

    def telling(self, on_delta: Callable[[Delta], None]) -> Callable[[Delta], None]:
        """Return what notes how far a reply was told."""

        def tell(delta: Delta) -> None:
            self.told[delta.part] = self.told.get(delta.part, 0) + len(delta.text)
            on_delta(delta)

        return tell

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
        if self._heard.rest is not None:
            async for chunk in self._heard.rest:
                yield chunk


class Direct:
    """The short way for one model."""

    def __init__(self, dialect: Dialect, model: str) -> None:
        self._dialect = dialect
        self._model = model
        self._templates: OrderedDict[Shape, Template] = OrderedDict()

    def learn(self, request: ModelRequest, library: httpx2.Request) -> None:
        """Keep what the library sent for a request, if its conversation is in the words that we would use."""
        ours, theirs = self._dialect.body(request), json.loads(library.content)
        if ours is None or any(theirs.get(name) != value for name, value in json.loads(json.dumps(ours)).items()):
            return
        headers = tuple(one for one in library.headers.multi_items() if one[0].lower() not in OF_THE_CALL)
        self._templates[_shape(request)] = Template(library.url, headers, theirs)
        while len(self._templates) > MOST:
            self._templates.popitem(last=False)

    def ready(self, request: ModelRequest) -> Sending | None:
        """Return the call for a request; None when it must go the library's way."""
        template = self._templates.get(_shape(request))
        if template is None or (ours := self._dialect.body(request)) is None:
            return None
        content = pydantic_core.to_json({**template.body, **ours})
        return None if any(mark in content for mark in ODD_BYTES) else Sending(template.url, template.headers, content)

    async def ask(
        self,
        client: httpx2.AsyncClient,
        sending: Sending,
        on_delta: Callable[[Delta], None],
        heard: Heard,
        stack: AsyncExitStack,
    ) -> ModelReply | None:
        """Make a call; None when the library must say what `heard` means. What `on_delta` raises comes out."""
        request = client.build_request("POST", sending.url, headers=sending.headers, content=sending.content)
        try:
            heard.response = await client.send(request, stream=True)
        except (httpx2.HTTPError, OSError) as error:
            heard.error = error
            return None
        stack.push_async_callback(heard.response.aclose)
        heard.rest = heard.response.aiter_bytes()
        if heard.response.status_code != 200 or not _streams(heard.response.headers):
            return None
        reader, tell = self._dialect.reader(), heard.telling(on_delta)
        async for deltas in _pieces(reader, heard):
            for delta in deltas:
                tell(delta)
        try:
            reply = reader.reply(self._model) if reader.over else None
        except Odd:
            return None
        if reply:
            await _drained(heard.rest)
        return reply


async def _pieces(reader: Reader, heard: Heard) -> AsyncGenerator[list[Delta]]:
    """Yield what a stream says, up to its end or to the first thing in it that is odd."""
    data = b""
    while not reader.over and (chunk := await _next(heard)):
        data += chunk
        *events, data = data.split(b"\n\n")
        for event in events:
            try:
                deltas = [delta for line in _data(event) for delta in reader.feed(line)]
            except (Odd, ValueError, LookupError, TypeError, AttributeError):
                return
            yield deltas
            if reader.over:
                return


async def _drained(rest: AsyncIterator[bytes]) -> None:
    """Read the end of an answer whose content is known, so that its connection can be used again; no reason to wait."""
    with suppress(httpx2.HTTPError, OSError, TimeoutError):
        async with asyncio.timeout(END_SECONDS):
            async for _ in rest:
                pass


async def _next(heard: Heard) -> bytes:
    """Return the next bytes and keep them; empty at the end, or when the connection broke."""
    assert heard.rest is not None
    try:
        chunk = await anext(heard.rest, b"")
    except (httpx2.HTTPError, OSError) as error:
        heard.error = error
        return b""
    heard.chunks.append(chunk)
    return chunk


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


def plain(piece: str) -> str:
    """Return a piece of a reply; Odd when the library would change it."""
    if any(mark in piece for mark in ODD_PIECES):
        raise Odd
    return piece


def needed(given: Mapping[str, Any], *known: str) -> None:
    """Raise Odd when there is something in an object beside what is known, and it is not empty."""
    if any(value not in (None, 0, "", [], {}) for name, value in given.items() if name not in known):
        raise Odd


def _streams(headers: httpx2.Headers) -> bool:
    return headers.get("content-type", "").startswith("text/event-stream")


def _shape(request: ModelRequest) -> Shape:
    """Return what calls with one template have in common; the library writes the tools' schemas anew in its own way."""
    tools = [(tool.name, tool.description, tool.parameters) for tool in request.tools]
    return request.effort, bool(request.system), pydantic_core.to_json(tools)
