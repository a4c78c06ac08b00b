"""What both dialects of the short way have in common: parts as they grow, and as they go back to the provider."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import is_not
from typing import Any, Literal, cast

from hostler.core.conversation import (
    Delta,
    Message,
    ModelMessage,
    ModelPart,
    ModelReply,
    ModelRequest,
    Text,
    ToolCall,
    Usage,
)
from hostler.models.direct import Odd, odd, plain
from hostler.models.native import FORMAT

Finish = Literal["stop", "tools", "length"]
NATIVE_FINISH: Mapping[Finish, str] = {"stop": "stop", "tools": "tool_call", "length": "length"}


@dataclass(slots=True)
class Growing:
    """The parts of a reply, in the order in which they began."""

    parts: list[tuple[str, str, list[str]]] = field(default_factory=list[tuple[str, str, list[str]]])
    """(tool's id, tool's name, pieces), the first two empty for a text."""

    def text(self, piece: str) -> list[Delta]:
        """Take a piece of text; Odd after a tool call, or for blanks where the library may leave them out."""
        if not piece:
            return []
        if not self.parts:
            if piece.isspace():
                raise Odd
            self.parts.append(("", "", []))
        if self.parts[-1][1]:
            raise Odd
        self.parts[-1][2].append(plain(piece))
        return [Delta(len(self.parts) - 1, "text", piece)]

    def call(self, id_: str, name: str) -> int:
        """Begin a tool call; return its place."""
        if not id_ or not name or any(id_ == known for known, _, _ in self.parts):
            raise Odd
        self.parts.append((id_, name, []))
        return len(self.parts) - 1

    def argue(self, place: int, piece: str) -> list[Delta]:
        """Take a piece of a call's arguments."""
        _, name, pieces = self.parts[place]
        pieces.append(plain(piece))
        return [Delta(place, "tool", piece, tool_name=name)]

    def reply(self, finish: Finish, usage: Usage, native: Mapping[str, Any], provider: str) -> ModelReply:
        """Return the reply; Odd when there is nothing in it. `native` is what the provider said beside the parts."""
        parts: list[ModelPart] = []
        kept: list[Mapping[str, Any]] = []
        for id_, name, pieces in self.parts:
            said = "".join(pieces)
            if name:
                parts.append(ToolCall(id_, name, said or "{}"))
                kept.append({"tool_name": name, "args": said, "tool_call_id": id_, "part_kind": "tool-call"})
            else:
                parts.append(Text(said))
                kept.append({"content": said, "part_kind": "text"})
        if not parts:
            raise Odd
        if finish != "length" and any(isinstance(part, ToolCall) for part in parts):
            finish = "tools"
        message = {"parts": kept, "kind": "response", **native, "finish_reason": NATIVE_FINISH[finish]}
        form = {"format": FORMAT, "provider": provider, "message": {**message, "state": "complete"}}
        return ModelReply(tuple(parts), usage, finish, form)


@dataclass(slots=True)
class _Begun:
    """What was made of the messages that a conversation begins with."""

    messages: list[Message] = field(default_factory=list[Message])
    told: list[bytes] = field(default_factory=list[bytes])


def joined(
    request: ModelRequest, dialect: object, piece: Callable[[Message, int], bytes | None], lasting: int
) -> list[bytes] | None:
    """Return the messages as they are sent; None when one of them is left to the library.

    The first `lasting` are the same in later requests of the conversation: what is made of them is kept for those.
    """
    begun = request.kept.get(dialect)
    known = len(begun.messages) if isinstance(begun, _Begun) else 0
    if not isinstance(begun, _Begun) or known > lasting or any(map(is_not, begun.messages, request.messages)):
        begun, known = _Begun(), 0
        request.kept[dialect] = begun
    told = list(begun.told)
    for number, message in enumerate(request.messages[known:], known):
        if (each := piece(message, number)) is None or odd(each):
            return None
        told.append(each)
        if number < lasting:
            begun.messages.append(message)
            begun.told.append(each)
    return list(filter(None, told))


def said_before(message: ModelMessage, provider: str) -> Sequence[Text | ToolCall] | None:
    """Return what a model said, to be sent back; None when there is more to it than texts and calls."""
    native = message.native or {}
    parts = message.parts
    if native.get("format") == FORMAT and native.get("provider") == provider:
        kept = cast("Mapping[str, Any]", native["message"]).get("parts", ())
        if any(part.get("part_kind") not in ("text", "tool-call") for part in kept):
            return None
    elif native:
        return None  # another provider's, or of another release: the library knows what of it may be sent
    told = [part for part in parts if isinstance(part, Text | ToolCall)]
    if len(told) != len(parts) or [part for part in told if isinstance(part, Text)] != told[: _texts(told)]:
        return None
    return told if _texts(told) <= 1 and told and told[0] != Text("") else None


def _texts(parts: Sequence[Text | ToolCall]) -> int:
    return sum(isinstance(part, Text) for part in parts)


def arguments_of(call: ToolCall) -> dict[str, Any] | None:
    """Return a call's arguments; None when they are no object."""
    try:
        read: object = json.loads(call.arguments)
    except ValueError:
        return None
    return cast("dict[str, Any]", read) if isinstance(read, dict) else None
