"""A scripted reply in Anthropic's Messages protocol."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hostler.core.conversation import Delta, ModelPart, ModelReply, Text, Thinking, ToolCall, Usage
from hostler.models.gateway.scripted.speech import Body, event

_REASONS = {"stop": "end_turn", "tools": "tool_use", "length": "max_tokens", "refused": "refusal"}


class MessagesSpeech:
    """Anthropic's Messages protocol; it must say what the input was before the script has said anything."""

    def __init__(self, model: str, name: str, tool: Callable[[str], Mapping[str, Any]]) -> None:
        self._model = model
        self._id = name
        self._part: int | None = None
        self._kind = ""

    def begin(self) -> Iterator[bytes]:
        """Yield the message without its content."""
        yield self._event("message_start", message=self._message([], None, {"input_tokens": 0, "output_tokens": 0}))

    def delta(self, delta: Delta) -> Iterator[bytes]:
        """Yield a piece of a text, and its block's beginning before the first."""
        if delta.kind == "tool":
            return
        if delta.part != self._part:
            yield from self._close("")
            self._part, self._kind = delta.part, delta.kind
            empty: Body = {"type": "text", "text": ""}
            if delta.kind == "thinking":
                empty = {"type": "thinking", "thinking": "", "signature": ""}
            yield self._event("content_block_start", index=delta.part, content_block=empty)
        piece = {"type": f"{delta.kind}_delta", delta.kind: delta.text}
        yield self._event("content_block_delta", index=delta.part, delta=piece)

    def end(self, reply: ModelReply) -> Iterator[bytes]:
        """Yield the calls, the counts and the end."""
        yield from self._close(_signature(reply))
        for index, part in enumerate(reply.parts):
            if isinstance(part, ToolCall):
                block: Body = {"type": "tool_use", "id": part.id, "name": part.name, "input": {}}
                piece = {"type": "input_json_delta", "partial_json": part.arguments}
                yield self._event("content_block_start", index=index, content_block=block)
                yield self._event("content_block_delta", index=index, delta=piece)
                yield self._event("content_block_stop", index=index)
        reason = {"stop_reason": _REASONS[reply.finish], "stop_sequence": None}
        yield self._event("message_delta", delta=reason, usage=_usage(reply.usage))
        yield self._event("message_stop")

    def whole(self, reply: ModelReply) -> Body:
        """Return the message object."""
        content = [_block(part) for part in reply.parts]
        return self._message(content, _REASONS[reply.finish], _usage(reply.usage))

    def _close(self, signature: str) -> Iterator[bytes]:
        if self._part is None:
            return
        if self._kind == "thinking":
            piece = {"type": "signature_delta", "signature": signature or "scripted"}
            yield self._event("content_block_delta", index=self._part, delta=piece)
        yield self._event("content_block_stop", index=self._part)
        self._part = None

    def _message(self, content: list[Body], reason: str | None, usage: Body) -> Body:
        head = {"id": f"msg_{self._id}", "type": "message", "role": "assistant", "model": self._model}
        return {**head, "content": content, "stop_reason": reason, "stop_sequence": None, "usage": usage}

    def _event(self, kind: str, **fields: object) -> bytes:
        return event({"type": kind, **fields}, kind)


def _signature(reply: ModelReply) -> str:
    return next((part.signature for part in reply.parts if isinstance(part, Thinking)), "")


def _usage(used: Usage) -> Body:
    return {
        "input_tokens": used.input,
        "cache_read_input_tokens": used.cached_input,
        "cache_creation_input_tokens": used.cache_creation,
        "output_tokens": used.output,
    }


def _block(part: ModelPart) -> Body:
    match part:
        case Text(text):
            return {"type": "text", "text": text}
        case Thinking(text, signature):
            return {"type": "thinking", "thinking": text, "signature": signature}
        case ToolCall(call_id, name, arguments):
            try:
                given: object = json.loads(arguments)
            except ValueError:
                given = {}
            return {"type": "tool_use", "id": call_id, "name": name, "input": given}
