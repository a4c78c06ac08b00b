"""Turns what agents send, in each protocol, into the conversation that a script knows.

Agents put more into a conversation than people say: their own rules and notes about the surroundings. Only what is
needed to find the place in the script is kept.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

from hostler.core.conversation import (
    Message,
    ModelMessage,
    ModelPart,
    ModelRequest,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    ToolSpec,
    UserMessage,
    UserPart,
)

Body = Mapping[str, Any]
INTERRUPTION = "<turn_aborted>"
NOTES = (
    "<environment_context>",
    "<user_instructions>",
    "# AGENTS.md instructions",
    "<system-reminder>",
    "Another language model started to solve this problem",
    INTERRUPTION,
)
"""How the notes begin that agents put beside what a person said; one is a summary of what was left out."""


class Conversation:
    """Puts items together to messages: what one side says in a row is one message."""

    def __init__(self) -> None:
        self.system: list[str] = []
        self._messages: list[Message] = []
        self._names: dict[str, str] = {}
        self._interrupted = False

    def said(self, texts: Sequence[str]) -> None:
        """Add a message of a person; notes of the agent's own are left out.

        One that comes after results joins them, for it steers; another one begins anew, as does what is said after
        an interruption.
        """
        self._interrupted |= any(text.lstrip().startswith(INTERRUPTION) for text in texts)
        parts = tuple(Text(text) for text in texts if text.strip() and not text.lstrip().startswith(NOTES))
        last = self._messages[-1] if self._messages else None
        if parts and (self._interrupted or (isinstance(last, UserMessage) and not last.results)):
            self._interrupted = False
            self._messages.append(UserMessage(parts=parts))
        elif parts:
            self._user(parts=parts)

    def result(self, call_id: str, text: str) -> None:
        """Add a tool's result."""
        self._user(results=(ToolResult(call_id, self._names.get(call_id, ""), text),))

    def replied(self, part: ModelPart) -> None:
        """Add a part of a reply; one that comes after results, but of the same reply as before, joins that one."""
        if isinstance(part, ToolCall):
            self._names[part.id] = part.name
            if self._joins(part):
                return
        last = self._messages[-1] if self._messages else None
        if isinstance(last, ModelMessage):
            self._messages[-1] = ModelMessage((*last.parts, part))
        else:
            self._messages.append(ModelMessage((part,)))

    def messages(self) -> tuple[Message, ...]:
        """Return all of it."""
        return tuple(self._messages)

    def _joins(self, part: ToolCall) -> bool:
        """Add a call to the reply before the last results when its id says that both were made at once."""
        if len(self._messages) < 2 or not isinstance(self._messages[-1], UserMessage) or self._messages[-1].parts:
            return False
        reply, stem = self._messages[-2], part.id.rpartition("_")[0]
        if not isinstance(reply, ModelMessage) or not stem.startswith("call_"):
            return False
        if not any(isinstance(one, ToolCall) and one.id.rpartition("_")[0] == stem for one in reply.parts):
            return False
        self._messages[-2] = ModelMessage((*reply.parts, part))
        return True

    def _user(self, *, results: tuple[ToolResult, ...] = (), parts: tuple[UserPart, ...] = ()) -> None:
        last = self._messages[-1] if self._messages else None
        if isinstance(last, UserMessage):
            self._messages[-1] = UserMessage((*last.results, *results), (*last.parts, *parts))
        else:
            self._messages.append(UserMessage(results, parts))


def heard(path: str, fields: Body) -> ModelRequest:
    """Return the request that an agent made on one of the gateway's paths."""
    talk = Conversation()
    _READERS[path](talk, fields)
    return ModelRequest("\n".join(talk.system), talk.messages(), tuple(_tools(fields)))


IN_CODE: Body = {"type": "function", "parameters": {"properties": {"cmd": {"type": "string"}}}}
"""A shell that is offered to code only, in the tool `exec`; Codex runs it all the same when it is called by name."""


def offered(fields: Body) -> dict[str, Body]:
    """Return the tools that an agent offers, by name; those in a namespace know it.

    For some models Codex offers them in an item of the conversation.
    """
    found = _named(fields.get("tools"))
    for item in tables(fields.get("input")):
        if item.get("type") == "additional_tools":
            found |= _named(item.get("tools"))
    if found.get("exec", {}).get("type") == "custom":
        found.setdefault("exec_command", IN_CODE)
    return found


def _named(tools: object) -> dict[str, Body]:
    found: dict[str, Body] = {}
    for tool in tables(tools):
        if tool.get("type") == "namespace":
            inner = _named(tool.get("tools"))
            found |= {name: {**each, "namespace": tool.get("name")} for name, each in inner.items()}
            continue
        spec = table(tool.get("function")) or tool
        if isinstance(spec.get("name"), str):
            found[spec["name"]] = {**tool, **spec}
    return found


def _tools(fields: Body) -> Iterable[ToolSpec]:
    for name, tool in offered(fields).items():
        yield ToolSpec(name, str(tool.get("description", "")), schema(tool))


def _responses(talk: Conversation, fields: Body) -> None:
    talk.system.append(str(fields.get("instructions") or ""))
    given = fields.get("input")
    if isinstance(given, str):
        talk.said([given])
    for item in tables(given):
        kind = item.get("type", "message")
        if kind == "message":
            _message(talk, item)
        elif kind == "reasoning":
            summary = "".join(str(part.get("text", "")) for part in tables(item.get("summary")))
            talk.replied(Thinking(summary, str(item.get("encrypted_content") or "")))
        elif kind in ("function_call", "custom_tool_call"):
            given_text = item.get("arguments") or item.get("input") or ""
            talk.replied(ToolCall(str(item.get("call_id")), str(item.get("name")), str(given_text)))
        elif kind in ("function_call_output", "custom_tool_call_output"):
            talk.result(str(item.get("call_id")), texts(item.get("output")))


def _message(talk: Conversation, item: Body) -> None:
    match item.get("role"):
        case "user":
            talk.said(_each(item.get("content")))
        case "assistant":
            if said := texts(item.get("content")):
                talk.replied(Text(said))
        case _:
            talk.system.append(texts(item.get("content")))


def _chat(talk: Conversation, fields: Body) -> None:
    for message in tables(fields.get("messages")):
        if message.get("role") == "tool":
            talk.result(str(message.get("tool_call_id")), texts(message.get("content")))
            continue
        _message(talk, message)
        for call in tables(message.get("tool_calls")):
            function = table(call.get("function"))
            talk.replied(ToolCall(str(call.get("id")), str(function.get("name")), str(function.get("arguments", ""))))


def _anthropic(talk: Conversation, fields: Body) -> None:
    talk.system.append(texts(fields.get("system")))
    for message in tables(fields.get("messages")):
        content = message.get("content")
        if isinstance(content, str):
            _message(talk, message)
        asked: list[str] = []
        for block in tables(content):
            match block.get("type"):
                case "text" if message.get("role") == "user":
                    asked.append(str(block.get("text", "")))
                case "text":
                    talk.replied(Text(str(block.get("text", ""))))
                case "thinking":
                    talk.replied(Thinking(str(block.get("thinking", "")), str(block.get("signature", ""))))
                case "tool_use":
                    arguments = json.dumps(block.get("input") or {})
                    talk.replied(ToolCall(str(block.get("id")), str(block.get("name")), arguments))
                case "tool_result":
                    talk.result(str(block.get("tool_use_id")), texts(block.get("content")))
                case _:
                    pass
        talk.said(asked)


_READERS: Mapping[str, Callable[[Conversation, Body], None]] = {
    "/v1/responses": _responses,
    "/v1/chat/completions": _chat,
    "/v1/messages": _anthropic,
}


def texts(content: object) -> str:
    """Return the text of a content, which is a text or a list of parts."""
    return "\n".join(_each(content))


def _each(content: object) -> list[str]:
    if isinstance(content, str):
        return [content]
    return [str(part["text"]) for part in tables(content) if isinstance(part.get("text"), str)]


def schema(tool: Body) -> Body:
    """Return the schema of a tool's arguments."""
    return table(tool.get("parameters")) or table(tool.get("input_schema"))


def table(value: object) -> Body:
    """Return an object, an empty one in place of anything else."""
    return cast("Body", value) if isinstance(value, dict) else {}


def tables(value: object) -> list[Body]:
    """Return the objects of a list."""
    listed = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("Body", each) for each in listed if isinstance(each, dict)]
