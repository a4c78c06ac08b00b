"""Messages on the short way."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import pydantic_core

from hostler.core.conversation import (
    Delta,
    Message,
    ModelMessage,
    ModelReply,
    ModelRequest,
    Text,
    Usage,
    UserMessage,
)
from hostler.models.direct import Odd, Reader, needed, odd
from hostler.models.direct_parts import Finish, Growing, arguments_of, joined, said_before

PROVIDER = "anthropic"
FINISHES: Mapping[str, Finish] = {
    "end_turn": "stop", "stop_sequence": "stop", "tool_use": "tools", "max_tokens": "length"
}  # fmt: skip
IN_END = frozenset({"stop_reason"})
CACHED = {"type": "ephemeral", "ttl": "5m"}
"""What marks where the provider may cache up to; as the library does, and compared with it before it is used."""


class Messages:
    """See the protocol."""

    def fields(self, request: ModelRequest) -> Mapping[str, bytes] | None:
        """Return messages and system prompt, with marks where each call finds what the one before cached."""
        count = len(request.messages)
        if count % 2 == 0 or (told := joined(request, self, partial(_piece, count), max(0, count - 3))) is None:
            return None
        fields = {"messages": b"[%s]" % b",".join(told)}
        if request.system:
            system = [{"type": "text", "text": request.system, "cache_control": CACHED}]
            fields["system"] = pydantic_core.to_json(system)
            if odd(fields["system"]):
                return None
        return fields

    def reader(self) -> Reader:
        """Return a reader of events."""
        return _Events()


def _piece(count: int, message: Message, number: int) -> bytes | None:
    """Return a message as it is sent; people and the model take turns, and the last two of people are marked."""
    asked = isinstance(message, UserMessage)
    blocks = _user(message) if isinstance(message, UserMessage) else _model(message)
    if not blocks or asked != (number % 2 == 0):
        return None
    if asked and number >= count - 3:
        blocks[-1]["cache_control"] = CACHED
    return pydantic_core.to_json({"role": "user" if asked else "assistant", "content": blocks})


def _user(message: UserMessage) -> list[Any] | None:
    blocks: list[Any] = []
    for result in message.results:
        if not result.text:
            return None
        content = [{"text": result.text, "type": "text"}]
        blocks.append(
            {"tool_use_id": result.call_id, "type": "tool_result", "content": content, "is_error": result.failed}
        )
    for part in message.parts:
        if not isinstance(part, Text) or part.text.isspace():
            return None
        if part.text:
            blocks.append({"text": part.text, "type": "text"})
    return blocks


def _model(message: ModelMessage) -> list[Any] | None:
    blocks: list[Any] = []
    for part in said_before(message, PROVIDER) or ():
        if isinstance(part, Text):
            blocks.append({"text": part.text, "type": "text"})
        elif (given := arguments_of(part)) is not None:
            blocks.append({"id": part.id, "type": "tool_use", "name": part.name, "input": given})
        else:
            return None
    return blocks


class _Events:
    def __init__(self) -> None:
        self.over = False
        self._growing = Growing()
        self._calls: dict[int, int] = {}
        self._open: int | None = None
        self._texts = 0
        self._finish: Finish | None = None
        self._id = ""
        self._counted: dict[str, int] = {}

    def feed(self, data: bytes) -> list[Delta]:
        """Take one event."""
        event: Any = pydantic_core.from_json(data)
        match event["type"]:
            case "message_start":
                self._id = event["message"]["id"]
                self._count(event["message"]["usage"])
            case "content_block_start":
                return self._begin(event["index"], event["content_block"])
            case "content_block_delta":
                return self._more(event["index"], event["delta"])
            case "content_block_stop":
                self._open = None
            case "message_delta":
                needed(event["delta"], IN_END)
                self._finish = FINISHES[event["delta"]["stop_reason"]]
                self._count(event.get("usage") or {})
            case "message_stop":
                self.over = True
            case "ping":
                pass
            case _:
                raise Odd
        return []

    def _begin(self, index: int, block: Any) -> list[Delta]:
        if not self._id:
            raise Odd
        self._open = index
        if block["type"] == "text":
            self._texts += 1
            if self._texts > 1 or block.get("citations"):
                raise Odd
            return self._growing.text(block["text"])
        if block["type"] != "tool_use" or block["input"]:
            raise Odd
        self._calls[index] = place = self._growing.call(block["id"], block["name"])
        return [Delta(place, "tool", "", tool_name=block["name"])]

    def _more(self, index: int, delta: Any) -> list[Delta]:
        if index != self._open:
            raise Odd
        if delta["type"] == "text_delta" and index not in self._calls:
            return self._growing.text(delta["text"])
        if delta["type"] != "input_json_delta":
            raise Odd
        return self._growing.argue(self._calls[index], delta["partial_json"])

    def _count(self, counted: Mapping[str, Any]) -> None:
        for name in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens"):
            if counted.get(name) is not None:
                self._counted[name] = counted[name]

    def reply(self, model: str) -> ModelReply:
        """Return the reply."""
        if self._finish is None or "output_tokens" not in self._counted:
            raise Odd
        count = self._counted.get
        read, written = count("cache_read_input_tokens", 0), count("cache_creation_input_tokens", 0)
        usage = Usage(count("input_tokens", 0), read, written, count("output_tokens", 0))
        native = {"model_name": model, "provider_name": PROVIDER, "provider_response_id": self._id}
        return self._growing.reply(self._finish, usage, native, PROVIDER)
