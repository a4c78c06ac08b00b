"""A scripted reply in OpenAI's Chat Completions protocol."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hostler.core.conversation import Delta, ModelReply, Text, ToolCall, Usage
from hostler.models.gateway.scripted.speech import Body, event

_REASONS = {"stop": "stop", "tools": "tool_calls", "length": "length", "refused": "content_filter"}


class ChatSpeech:
    """OpenAI's Chat Completions protocol."""

    def __init__(self, model: str, name: str, tool: Callable[[str], Mapping[str, Any]]) -> None:
        self._head = {"id": f"chatcmpl-{name}", "created": 0, "model": model}

    def begin(self) -> Iterator[bytes]:
        """Yield the role."""
        yield self._chunk({"role": "assistant", "content": ""})

    def delta(self, delta: Delta) -> Iterator[bytes]:
        """Yield a piece of a text."""
        if delta.kind != "tool":
            yield self._chunk({"content" if delta.kind == "text" else "reasoning_content": delta.text})

    def end(self, reply: ModelReply) -> Iterator[bytes]:
        """Yield the calls, the reason, the usage and [DONE]."""
        for index, call in enumerate(reply.tool_calls):
            yield self._chunk({"tool_calls": [{"index": index, **_call(call)}]})
        yield self._chunk({}, _REASONS[reply.finish])
        yield event({**self._head, "object": "chat.completion.chunk", "choices": [], "usage": _usage(reply.usage)})
        yield b"data: [DONE]\n\n"

    def whole(self, reply: ModelReply) -> Body:
        """Return the completion object."""
        message: Body = {"role": "assistant", "content": _joined(reply)}
        if reply.tool_calls:
            message["tool_calls"] = [_call(call) for call in reply.tool_calls]
        choice = {"index": 0, "message": message, "finish_reason": _REASONS[reply.finish]}
        return {**self._head, "object": "chat.completion", "choices": [choice], "usage": _usage(reply.usage)}

    def _chunk(self, delta: Body, reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return event({**self._head, "object": "chat.completion.chunk", "choices": [choice]})


def _joined(reply: ModelReply) -> str:
    return "".join(part.text for part in reply.parts if isinstance(part, Text))


def _call(call: ToolCall) -> Body:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _usage(used: Usage) -> Body:
    return {
        "prompt_tokens": used.whole_input,
        "completion_tokens": used.output,
        "total_tokens": used.whole_input + used.output,
        "prompt_tokens_details": {"cached_tokens": used.cached_input, "cache_write_tokens": used.cache_creation},
    }
