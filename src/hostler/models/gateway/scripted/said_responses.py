"""A scripted reply in OpenAI's Responses protocol."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hostler.core.conversation import Delta, ModelPart, ModelReply, Text, Thinking, ToolCall
from hostler.models.gateway.scripted.speech import Body, event

_CUTS = {"length": "max_output_tokens", "refused": "content_filter"}


class ResponsesSpeech:
    """OpenAI's Responses protocol."""

    def __init__(self, model: str, name: str, tool: Callable[[str], Mapping[str, Any]]) -> None:
        self._model = model
        self._id = name
        self._tool = tool
        self._number = 0
        self._part: int | None = None
        self._open: Body = {}
        self._text = ""

    def begin(self) -> Iterator[bytes]:
        """Yield that a response is made."""
        yield self._event("response.created", response=self._response([], "in_progress"))

    def delta(self, delta: Delta) -> Iterator[bytes]:
        """Yield a piece of a message or of a summary, and the item's beginning before its first."""
        if delta.kind == "tool":
            return
        if delta.part != self._part:
            yield from self._close()
            self._part = delta.part
            self._open = self._item(Text("") if delta.kind == "text" else Thinking(""), delta.part, "in_progress")
            yield self._event("response.output_item.added", output_index=delta.part, item=self._open)
            yield from self._inner("part.added", "")
        self._text += delta.text
        yield from self._inner("delta", delta.text)

    def end(self, reply: ModelReply) -> Iterator[bytes]:
        """Yield what is left, item by item, and the whole response."""
        yield from self._close()
        items = self._items(reply)
        for index, (part, item) in enumerate(zip(reply.parts, items, strict=True)):
            if isinstance(part, ToolCall):
                opened = {**item, "status": "in_progress", "input" if "input" in item else "arguments": ""}
                yield self._event("response.output_item.added", output_index=index, item=opened)
                yield self._event("response.output_item.done", output_index=index, item=item)
        final = self.whole(reply)
        yield self._event(f"response.{final['status']}", response=final)

    def whole(self, reply: ModelReply) -> Body:
        """Return the response object."""
        cut = reply.finish in ("length", "refused")
        body = self._response(self._items(reply), "incomplete" if cut else "completed")
        if cut:
            body["incomplete_details"] = {"reason": _CUTS[reply.finish]}
        used = reply.usage
        body["usage"] = {
            "input_tokens": used.whole_input,
            "input_tokens_details": {"cached_tokens": used.cached_input, "cache_write_tokens": used.cache_creation},
            "output_tokens": used.output,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": used.whole_input + used.output,
        }
        return body

    def _close(self) -> Iterator[bytes]:
        if self._part is None:
            return
        yield from self._inner("done", self._text)
        part: ModelPart = Text(self._text) if self._open["type"] == "message" else Thinking(self._text)
        item = self._item(part, self._part, "completed")
        yield self._event("response.output_item.done", output_index=self._part, item=item)
        self._part, self._text = None, ""

    def _inner(self, what: str, text: str) -> Iterator[bytes]:
        """Yield what happens inside an open item."""
        place = {"item_id": self._open["id"], "output_index": self._part}
        message = self._open["type"] == "message"
        kind = "response.output_text" if message else "response.reasoning_summary_text"
        place |= {"content_index": 0} if message else {"summary_index": 0}
        if what == "part.added":
            part: Body = {"type": "output_text", "text": "", "annotations": []}
            part = part if message else {"type": "summary_text", "text": ""}
            group = "response.content_part" if message else "response.reasoning_summary_part"
            yield self._event(f"{group}.added", **place, part=part)
        elif what == "delta":
            yield self._event(f"{kind}.delta", **place, delta=text)
        else:
            yield self._event(f"{kind}.done", **place, text=text)

    def _items(self, reply: ModelReply) -> list[Body]:
        return [self._item(part, number, "completed") for number, part in enumerate(reply.parts)]

    def _item(self, part: ModelPart, number: int, status: str) -> Body:
        match part:
            case Text(text):
                content: list[Body] = [{"type": "output_text", "text": text, "annotations": []}] if text else []
                head = {"type": "message", "id": f"msg_{self._id}_{number}", "role": "assistant", "status": status}
                return {**head, "content": content}
            case Thinking(text):
                summary = [{"type": "summary_text", "text": text}] if text else []
                return {"type": "reasoning", "id": f"rs_{self._id}_{number}", "summary": summary}
            case ToolCall(call_id, name, arguments):
                tool = self._tool(name)
                custom = tool.get("type") == "custom"
                kind, given = ("custom_tool_call", "input") if custom else ("function_call", "arguments")
                place = {"namespace": tool["namespace"]} if tool.get("namespace") else {}
                item = {"type": kind, "id": f"fc_{self._id}_{number}", "call_id": call_id, "name": name, **place}
                return {**item, given: arguments, "status": status}

    def _response(self, output: list[Body], status: str) -> Body:
        return {
            "id": f"resp_{self._id}",
            "object": "response",
            "created_at": 0,
            "model": self._model,
            "output": output,
            "status": status,
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
        }

    def _event(self, kind: str, **fields: object) -> bytes:
        body = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        return event(body, kind)
