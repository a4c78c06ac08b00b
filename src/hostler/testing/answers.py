"""What a scripted endpoint may answer, in words that hold for every provider's protocol."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from hostler.core.conversation import Usage


@dataclass(frozen=True, slots=True)
class Called:
    """One tool call in a reply; `arguments` is JSON text, or any text for a `custom` tool (Responses only).

    `namespace` is the group that the Responses API may put a tool into.
    """

    name: str
    arguments: str = "{}"
    id: str = "call_1"
    custom: bool = False
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply; texts and arguments stream in pieces of `chunk` characters.

    `number` tells the ids of its items from those of other replies; an endpoint counts.
    """

    text: str = ""
    calls: tuple[Called, ...] = ()
    thinking: str = ""
    signature: str = ""
    usage: Usage = field(default_factory=lambda: Usage(input=10, output=5))
    finish: Literal["", "length", "refused"] = ""
    chunk: int = 8
    number: int = 1


@dataclass(frozen=True, slots=True)
class Failure:
    """An error instead of a reply; `overflow` is the provider's own way to say that the conversation is too long."""

    status: int
    message: str = "this is the provider's own text"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    overflow: bool = False


@dataclass(frozen=True, slots=True)
class Broken:
    """A reply that ends after `after` events: the connection is cut, the body just ends, or an error event comes."""

    reply: Reply
    after: int = 2
    how: Literal["cut", "ends", "error"] = "cut"


@dataclass(frozen=True, slots=True)
class Garbage:
    """A body that is not the provider's protocol."""

    body: bytes = b"data: {not json\n\n"
    content_type: str = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Hold:
    """A reply that stops after `after` events until the gate opens; `reached` is set when it stops."""

    reply: Reply
    after: int = 1
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    reached: asyncio.Event = field(default_factory=asyncio.Event)


Answer = Reply | Failure | Broken | Garbage | Hold
