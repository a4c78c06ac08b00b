"""The providers' streaming protocols from the provider's side, as far as a scripted endpoint needs them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from hostler.testing.answers import Called, Failure, Reply

Body = dict[str, Any]


class Dialect(Protocol):
    """One provider's way to say things."""

    path: str

    def events(self, reply: Reply, model: str) -> Sequence[bytes]:
        """Return the server-sent events of a reply, in order."""
        ...

    def failure(self, failure: Failure) -> Body:
        """Return the body of an error response."""
        ...

    def error_event(self) -> bytes:
        """Return the event that reports an overloaded provider in the middle of a stream."""
        ...


def _event(body: Body, name: str = "") -> bytes:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(body)}\n\n".encode()


def _pieces(text: str, size: int) -> Iterator[str]:
    return (text[start : start + size] for start in range(0, len(text), size))


class AnthropicMessages:
    """`POST /v1/messages` of Anthropic."""

    path = "/v1/messages"

    _KINDS: Mapping[int, str] = {
        400: "invalid_request_error",
        401: "authentication_error",
        403: "permission_error",
        404: "not_found_error",
        413: "request_too_large",
        429: "rate_limit_error",
        529: "overloaded_error",
    }

    def events(self, reply: Reply, model: str) -> Sequence[bytes]:
        """Return the events from message_start to message_stop; cached tokens are counted beside the input."""
        usage = {
            "input_tokens": reply.usage.input,
            "cache_read_input_tokens": reply.usage.cached_input,
            "cache_creation_input_tokens": reply.usage.cache_creation,
            "output_tokens": 1,
        }
        message: Body = {"id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": []}
        message |= {"stop_reason": None, "stop_sequence": None, "usage": usage}
        bodies: list[Body] = [
            {
                "type": "message_start",
                "message": {**message, "stop_reason": None, "stop_sequence": None, "usage": usage},
            }
        ]
        for index, (block, deltas) in enumerate(self._blocks(reply)):
            bodies.append({"type": "content_block_start", "index": index, "content_block": block})
            bodies.extend({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas)
            bodies.append({"type": "content_block_stop", "index": index})
        stop = {"length": "max_tokens", "refused": "refusal"}.get(
            reply.finish, "tool_use" if reply.calls else "end_turn"
        )
        delta = {"stop_reason": stop, "stop_sequence": None}
        bodies.append({"type": "message_delta", "delta": delta, "usage": {"output_tokens": reply.usage.output}})
        bodies.append({"type": "message_stop"})
        return [_event(body, body["type"]) for body in bodies]

    def _blocks(self, reply: Reply) -> Iterator[tuple[Body, list[Body]]]:
        if reply.thinking or reply.signature:
            deltas: list[Body] = [
                {"type": "thinking_delta", "thinking": piece} for piece in _pieces(reply.thinking, reply.chunk)
            ]
            deltas.append({"type": "signature_delta", "signature": reply.signature})
            yield {"type": "thinking", "thinking": "", "signature": ""}, deltas
        if reply.text:
            yield (
                {"type": "text", "text": ""},
                [{"type": "text_delta", "text": piece} for piece in _pieces(reply.text, reply.chunk)],
            )
        for call in reply.calls:
            yield (
                {"type": "tool_use", "id": call.id, "name": call.name, "input": {}},
                [{"type": "input_json_delta", "partial_json": part} for part in _pieces(call.arguments, reply.chunk)],
            )

    def failure(self, failure: Failure) -> Body:
        """Return the error body; a conversation that is too long is told by its text."""
        text = "prompt is too long: 250000 tokens > 200000 maximum" if failure.overflow else failure.message
        return {"type": "error", "error": {"type": self._KINDS.get(failure.status, "api_error"), "message": text}}

    def error_event(self) -> bytes:
        """Return the event `error`."""
        return _event(self.failure(Failure(529, "Overloaded")), "error")


class OpenAIChat:
    """`POST /v1/chat/completions` of OpenAI and the servers that follow it."""

    path = "/v1/chat/completions"

    def events(self, reply: Reply, model: str) -> Sequence[bytes]:
        """Return the chunks, the usage and [DONE]; cached tokens are counted inside the input."""
        finish = {"length": "length", "refused": "content_filter"}.get(
            reply.finish, "tool_calls" if reply.calls else "stop"
        )
        choices: list[Body] = [{"delta": delta, "finish_reason": None} for delta in self._deltas(reply)]
        choices.append({"delta": {}, "finish_reason": finish})
        head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model}
        chunks = [_event({**head, "choices": [{"index": 0, **choice}]}) for choice in choices]
        chunks.append(_event({**head, "choices": [], "usage": self._usage(reply)}))
        return [*chunks, b"data: [DONE]\n\n"]

    def _deltas(self, reply: Reply) -> Iterator[Body]:
        yield {"role": "assistant", "content": ""}
        yield from ({"reasoning_content": piece} for piece in _pieces(reply.thinking, reply.chunk))
        yield from ({"content": piece} for piece in _pieces(reply.text, reply.chunk))
        for index, call in enumerate(reply.calls):
            start = {"index": index, "id": call.id, "type": "function"}
            yield {"tool_calls": [{**start, "function": {"name": call.name, "arguments": ""}}]}
            for piece in _pieces(call.arguments, reply.chunk):
                yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}

    def _usage(self, reply: Reply) -> Body:
        counted = reply.usage
        return {
            "prompt_tokens": counted.whole_input,
            "completion_tokens": counted.output,
            "total_tokens": counted.whole_input + counted.output,
            "prompt_tokens_details": {
                "cached_tokens": counted.cached_input,
                "cache_write_tokens": counted.cache_creation,
            },
        }

    def failure(self, failure: Failure) -> Body:
        """Return the error body; a conversation that is too long has a code of its own."""
        code = "context_length_exceeded" if failure.overflow else None
        kind = "invalid_request_error" if failure.status < 500 else "server_error"
        return {"error": {"message": failure.message, "type": kind, "param": None, "code": code}}

    def error_event(self) -> bytes:
        """Return a chunk that holds an error."""
        return _event({"error": {"message": "Overloaded", "type": "server_error", "code": "server_error"}})


class OpenAIResponses(OpenAIChat):
    """`POST /v1/responses` of OpenAI."""

    path = "/v1/responses"

    def events(self, reply: Reply, model: str) -> Sequence[bytes]:
        """Return the events from response.created to response.completed, numbered."""
        bodies: list[Body] = [{"type": "response.created", "response": self._response(reply, model, [], "in_progress")}]
        items: list[Body] = []
        for index, (item, opened, inner) in enumerate(self._items(reply)):
            bodies.append({"type": "response.output_item.added", "output_index": index, "item": opened})
            bodies.extend({"item_id": item["id"], "output_index": index, **each} for each in inner)
            bodies.append({"type": "response.output_item.done", "output_index": index, "item": item})
            items.append(item)
        status = "incomplete" if reply.finish else "completed"
        final = self._response(reply, model, items, status) | {"usage": self._usage(reply)}
        if reply.finish:
            reason = "max_output_tokens" if reply.finish == "length" else "content_filter"
            final["incomplete_details"] = {"reason": reason}
        bodies.append({"type": f"response.{status}", "response": final})
        return [_event({**body, "sequence_number": n}, body["type"]) for n, body in enumerate(bodies)]

    def _response(self, reply: Reply, model: str, output: list[Body], status: str) -> Body:
        return {
            "id": f"resp_{reply.number}",
            "object": "response",
            "created_at": 1,
            "model": model,
            "output": output,
            "status": status,
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
        }

    def _items(self, reply: Reply) -> Iterator[tuple[Body, Body, list[Body]]]:
        """Yield each output item whole, as it is when it opens, and the events between."""
        if reply.thinking or reply.signature:
            item: Body = {"type": "reasoning", "id": f"rs_{reply.number}", "summary": []}
            summary = [{"type": "summary_text", "text": reply.thinking}] if reply.thinking else []
            yield {**item, "summary": summary, "encrypted_content": reply.signature}, item, self._reasoning(reply)
        if reply.text:
            item = {"type": "message", "id": f"msg_{reply.number}", "role": "assistant"}
            item |= {"status": "in_progress", "content": []}
            whole: list[Body] = [{"type": "output_text", "text": reply.text, "annotations": []}]
            yield {**item, "status": "completed", "content": whole}, item, self._said(reply)
        for number, call in enumerate(reply.calls):
            kind, said = ("custom_tool_call", "input") if call.custom else ("function_call", "arguments")
            item = {"type": kind, "id": f"fc_{reply.number}_{number}", "call_id": call.id, "name": call.name}
            item |= {"namespace": call.namespace} if call.namespace else {}
            opened: Body = {**item, said: "", "status": "in_progress"}
            yield {**item, said: call.arguments, "status": "completed"}, opened, self._arguments(call, reply)

    def _reasoning(self, reply: Reply) -> list[Body]:
        if not reply.thinking:
            return []
        kind, place = "response.reasoning_summary", {"summary_index": 0}
        return [
            {"type": f"{kind}_part.added", **place, "part": {"type": "summary_text", "text": ""}},
            *(
                {"type": f"{kind}_text.delta", **place, "delta": piece}
                for piece in _pieces(reply.thinking, reply.chunk)
            ),
            {"type": f"{kind}_text.done", **place, "text": reply.thinking},
            {"type": f"{kind}_part.done", **place, "part": {"type": "summary_text", "text": reply.thinking}},
        ]

    def _said(self, reply: Reply) -> list[Body]:
        place = {"content_index": 0}
        empty: Body = {"type": "output_text", "text": "", "annotations": []}
        return [
            {"type": "response.content_part.added", **place, "part": empty},
            *(
                {"type": "response.output_text.delta", **place, "delta": piece, "logprobs": []}
                for piece in _pieces(reply.text, reply.chunk)
            ),
            {"type": "response.output_text.done", **place, "text": reply.text, "logprobs": []},
            {"type": "response.content_part.done", **place, "part": {**empty, "text": reply.text}},
        ]

    def _arguments(self, call: Called, reply: Reply) -> list[Body]:
        kind = "response.custom_tool_call_input" if call.custom else "response.function_call_arguments"
        done = {"input": call.arguments} if call.custom else {"name": call.name, "arguments": call.arguments}
        return [
            *({"type": f"{kind}.delta", "delta": piece} for piece in _pieces(call.arguments, reply.chunk)),
            {"type": f"{kind}.done", **done},
        ]

    def _usage(self, reply: Reply) -> Body:
        counted = reply.usage
        return {
            "input_tokens": counted.whole_input,
            "input_tokens_details": {
                "cached_tokens": counted.cached_input,
                "cache_write_tokens": counted.cache_creation,
            },
            "output_tokens": counted.output,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": counted.whole_input + counted.output,
        }

    def error_event(self) -> bytes:
        """Return the event `error`."""
        body = {"type": "error", "code": "server_error", "message": "Overloaded", "param": None, "sequence_number": 9}
        return _event(body, "error")


DIALECTS: Mapping[str, Dialect] = {
    dialect.path: dialect for dialect in (AnthropicMessages(), OpenAIChat(), OpenAIResponses())
}
