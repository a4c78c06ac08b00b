"""Chat Completions on the short way."""

from collections.abc import Mapping
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
from hostler.models.direct import Body, Odd, Reader, needed, odd
from hostler.models.direct_parts import Finish, Growing, arguments_of, joined, said_before

PROVIDER = "openai-chat"
IN_CHOICE = frozenset({"delta", "finish_reason", "index", "logprobs"})
IN_DELTA = frozenset({"role", "content", "tool_calls"})
IN_CALL = frozenset({"index", "id", "type", "function"})
IN_FUNCTION = frozenset({"name", "arguments"})
IN_USAGE = frozenset(
    {"prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "completion_tokens_details"}
)
IN_DETAILS = frozenset({"cached_tokens", "cache_write_tokens"})
FINISHES: Mapping[str, Finish] = {"stop": "stop", "tool_calls": "tools", "length": "length"}


class Chat:
    """See the protocol."""

    def __init__(self, provider_name: str) -> None:
        self._provider_name = provider_name

    def fields(self, request: ModelRequest) -> Mapping[str, bytes] | None:
        """Return the messages."""
        if (told := joined(request, self, _piece, len(request.messages) - 1)) is None:
            return None
        if request.system:
            system = pydantic_core.to_json({"role": "system", "content": request.system})
            if odd(system):
                return None
            told.insert(0, system)
        return {"messages": b"[%s]" % b",".join(told)}

    def reader(self) -> Reader:
        """Return a reader of chunks."""
        return _Chunks(self._provider_name)


def _piece(message: Message, _: int) -> bytes | None:
    """Return a message as it is sent."""
    told = _user(message) if isinstance(message, UserMessage) else _model(message)
    return None if told is None else pydantic_core.to_json(told)[1:-1]


def _model(message: ModelMessage) -> list[Any] | None:
    if (said := said_before(message, PROVIDER)) is None:
        return None
    one: Body = {"role": "assistant"}
    calls: list[Any] = []
    for part in said:
        if isinstance(part, Text):
            one["content"] = part.text
        elif (given := arguments_of(part)) is None:
            return None
        else:
            function = {"name": part.name, "arguments": pydantic_core.to_json(given).decode()}
            calls.append({"id": part.id, "type": "function", "function": function})
    return [{"content": None, **one, "tool_calls": calls} if calls else one]


def _user(message: UserMessage) -> list[Any] | None:
    found: list[Any] = []
    for result in message.results:
        text = pydantic_core.to_json({"error": result.text}).decode() if result.failed else result.text
        found.append({"role": "tool", "tool_call_id": result.call_id, "content": text})
    texts = [part for part in message.parts if part != Text("")]
    if any(not isinstance(part, Text) for part in texts):
        return None
    if texts:
        said = [{"text": part.text, "type": "text"} for part in texts if isinstance(part, Text)]
        found.append({"role": "user", "content": said})
    return found


class _Chunks:
    def __init__(self, provider_name: str) -> None:
        self.over = False
        self._provider_name = provider_name
        self._growing = Growing()
        self._places: dict[int, int] = {}
        self._finish: Finish | None = None
        self._id = ""
        self._usage = Usage()

    def feed(self, data: bytes) -> list[Delta]:
        """Take one chunk."""
        if data == b"[DONE]":
            self.over = True
            return []
        chunk: Any = pydantic_core.from_json(data)
        if "error" in chunk:
            raise Odd
        self._id = chunk.get("id") or self._id
        if counted := chunk.get("usage"):
            self._usage = _usage(counted)
        deltas: list[Delta] = []
        for choice in chunk["choices"]:
            deltas += self._choice(choice)
        return deltas

    def _choice(self, choice: Any) -> list[Delta]:
        needed(choice, IN_CHOICE)
        if choice.get("index", 0) != 0:
            raise Odd
        delta = choice["delta"]
        needed(delta, IN_DELTA)
        deltas = self._growing.text(delta.get("content") or "")
        for call in delta.get("tool_calls") or ():
            deltas += self._call(call)
        if finish := choice.get("finish_reason"):
            self._finish = FINISHES.get(finish)
            if self._finish is None:
                raise Odd
        return deltas

    def _call(self, call: Any) -> list[Delta]:
        needed(call, IN_CALL)
        function: Body = call.get("function") or {}
        needed(function, IN_FUNCTION)
        if call["index"] not in self._places:
            self._places[call["index"]] = self._growing.call(call.get("id") or "", function.get("name") or "")
        elif call.get("id") or function.get("name"):
            raise Odd  # some repeat them and some add to them
        return self._growing.argue(self._places[call["index"]], function.get("arguments") or "")

    def reply(self, model: str) -> ModelReply:
        """Return the reply."""
        if self._finish is None:
            raise Odd
        native = {"model_name": model, "provider_name": self._provider_name, "provider_response_id": self._id}
        return self._growing.reply(self._finish, self._usage, native, PROVIDER)


def _usage(counted: Any) -> Usage:
    details: Body = counted.get("prompt_tokens_details") or {}
    needed(counted, IN_USAGE)
    needed(details, IN_DETAILS)
    cached, written = details.get("cached_tokens") or 0, details.get("cache_write_tokens") or 0
    return Usage(max(0, counted["prompt_tokens"] - cached - written), cached, written, counted["completion_tokens"])
