"""Our words to the library that speaks the providers' protocols, and back; no other file knows its message types.

A reply is kept twice: as our parts, and as `native`, the library's own JSON of it, which goes back to the same provider
unchanged so that proofs of reasoning, item ids and the provider's cache stay valid.
"""

import base64
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, cast

from pydantic import ValidationError
from pydantic_ai import messages as lib
from pydantic_ai.messages import ModelMessagesTypeAdapter
from pydantic_ai.models import ModelRequestParameters, StreamedResponse
from pydantic_ai.tools import ToolDefinition

from hostler.core.conversation import (
    Delta,
    Image,
    Message,
    ModelMessage,
    ModelPart,
    ModelReply,
    ModelRequest,
    Text,
    Thinking,
    ToolCall,
    ToolSpec,
    Usage,
    UserMessage,
)
from hostler.core.errors import ModelRefused, ModelUnavailable
from hostler.models.native import FORMAT

_NOT_KEPT = ("usage", "timestamp", "provider_url")


def request_of(messages: Sequence[Message], provider: str, *, mark_cache: bool = False) -> list[lib.ModelMessage]:
    """Return the conversation as the library has it; what another provider said goes as plain text and tool calls.

    `mark_cache` marks where the call before this one ended: with many tool calls between, the mark that the settings
    put at the newest message is too far away for the provider to find what it has cached.
    """
    asked = [place for place, each in enumerate(messages) if isinstance(each, UserMessage)]
    marked = asked[-2] if mark_cache and len(asked) > 1 else None
    converted = (
        _user(each, marked=place == marked) if isinstance(each, UserMessage) else _model(each, provider)
        for place, each in enumerate(messages)
    )
    return [message for message in converted if message.parts]


def parameters_of(request: ModelRequest) -> ModelRequestParameters:
    """Return the tools and the system prompt of a request."""
    system = [lib.InstructionPart(content=request.system)] if request.system else []
    return ModelRequestParameters(function_tools=[_tool(tool) for tool in request.tools], instruction_parts=system)


def _tool(tool: ToolSpec) -> ToolDefinition:
    # Strict mode would rewrite the schema: optional arguments would become required ones.
    return ToolDefinition(
        name=tool.name,
        description=tool.description,
        parameters_json_schema=dict(tool.parameters),
        strict=False,
    )


def _user(message: UserMessage, *, marked: bool) -> lib.ModelRequest:
    parts: list[lib.ModelRequestPart] = [
        lib.ToolReturnPart(
            tool_name=result.name,
            content=result.text,
            tool_call_id=result.call_id,
            outcome="failed" if result.failed else "success",
        )
        for result in message.results
    ]
    said = [_said(part) for part in message.parts if part != Text("")]
    if marked and (parts or said):
        said.append(lib.CachePoint())
    if said:
        parts.append(lib.UserPromptPart(content=said))
    return lib.ModelRequest(parts=parts)


def _said(part: Text | Image) -> lib.UserContent:
    if isinstance(part, Text):
        return part.text
    return lib.BinaryContent(data=base64.b64decode(part.data), media_type=part.mime_type)


def _model(message: ModelMessage, provider: str) -> lib.ModelResponse:
    if native := _native(message, provider):
        return native
    parts: list[lib.ModelResponsePart] = []
    for part in message.parts:
        match part:
            case Text(text=text) if text:
                parts.append(lib.TextPart(content=text))
            case ToolCall():
                parts.append(lib.ToolCallPart(part.name, part.arguments, part.id))
            case _:
                pass  # another model's reasoning proves nothing to this one
    return lib.ModelResponse(parts=parts)


def _native(message: ModelMessage, provider: str) -> lib.ModelResponse | None:
    native = message.native
    if not native or native.get("format") != FORMAT or native.get("provider") != provider:
        return None
    try:
        return cast("lib.ModelResponse", ModelMessagesTypeAdapter.validate_python([native["message"]])[0])
    except (ValidationError, LookupError):
        return None  # written by another release of the library: our own parts still say the same


async def deltas(stream: StreamedResponse) -> AsyncGenerator[Delta]:
    """Yield every piece of a reply while it streams; the first piece of a part comes with its start."""
    begun: dict[int, tuple[int, str]] = {}
    async for event in stream:
        match event:
            case lib.PartStartEvent(index=index, part=lib.TextPart() | lib.ThinkingPart() as part):
                place, _ = begun[index] = (len(begun), "")
                if part.content:
                    yield Delta(place, part.part_kind, part.content)
            case lib.PartStartEvent(index=index, part=lib.ToolCallPart() as part):
                place, name = begun[index] = (len(begun), part.tool_name)
                yield Delta(place, "tool", _json_text(part.args), tool_name=name)
            case lib.PartDeltaEvent(index=index, delta=piece) if index in begun:
                if delta := _delta(*begun[index], piece):
                    yield delta
            case _:
                pass


def _delta(place: int, name: str, piece: lib.ModelResponsePartDelta) -> Delta | None:
    match piece:
        case lib.TextPartDelta(content_delta=text) if text:
            return Delta(place, "text", text)
        case lib.ThinkingPartDelta(content_delta=str(text)) if text:
            return Delta(place, "thinking", text)
        case lib.ToolCallPartDelta(args_delta=text) if text:
            return Delta(place, "tool", _json_text(text), tool_name=name)
        case _:
            return None


def reply_of(response: lib.ModelResponse, provider: str) -> ModelReply:
    """Return the finished reply; ModelUnavailable when the stream ended before the provider had said so."""
    if response.finish_reason is None or response.finish_reason == "error":
        raise ModelUnavailable("the model's reply broke off")
    parts = tuple(part for part in map(_part, response.parts) if part is not None)
    refused = response.finish_reason == "content_filter"
    if not parts and not refused:
        if response.finish_reason == "length":
            raise ModelRefused("the model used up its output before it said anything")
        raise ModelUnavailable("the model sent an empty reply")
    finish = "stop"
    if refused:
        finish = "refused"
    elif response.finish_reason == "length":
        finish = "length"
    elif any(isinstance(part, ToolCall) for part in parts):
        finish = "tools"
    dumped = cast("list[dict[str, Any]]", ModelMessagesTypeAdapter.dump_python([response], mode="json"))
    native = {"format": FORMAT, "provider": provider, "message": _kept(dumped[0])}
    return ModelReply(parts, _usage(response), finish, native)


def _part(part: lib.ModelResponsePart) -> ModelPart | None:
    match part:
        case lib.TextPart():
            return Text(part.content)
        case lib.ThinkingPart():
            return Thinking(part.content, part.signature or "")
        case lib.ToolCallPart():
            return ToolCall(part.tool_call_id, part.tool_name, _json_text(part.args) or "{}")
        case _:
            return None


def _json_text(arguments: str | Mapping[str, Any] | None) -> str:
    if arguments is None or isinstance(arguments, str):
        return arguments or ""
    return json.dumps(arguments, ensure_ascii=False)


def _kept(message: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is in the log already, what is this machine's affair, and every empty field."""
    kept = {key: value for key, value in message.items() if value is not None and key not in _NOT_KEPT}
    parts = cast("list[dict[str, Any]]", message["parts"])
    return {**kept, "parts": [{key: value for key, value in part.items() if value is not None} for part in parts]}


def _usage(response: lib.ModelResponse) -> Usage:
    """Return disjoint counters; the library's input includes what was read from and written to the cache."""
    counted = response.usage
    cached, written = counted.cache_read_tokens, counted.cache_write_tokens
    return Usage(max(0, counted.input_tokens - cached - written), cached, written, counted.output_tokens)
