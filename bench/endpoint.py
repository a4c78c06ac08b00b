"""A provider in a process of its own: speaks Chat Completions and Messages by a script, at once or after a while.

The newest message of a person that begins with `steps N` gets N replies with one command each, then `Done.`; any other
gets `Done.`. Arguments: the seconds before each answer, the pieces that the text of a reply comes in.
"""

import asyncio
import json
import re
import sys
from collections.abc import Sequence
from typing import Any

import uvloop

STEPS = re.compile(r"steps (\d+)")
WORDS = "I look at what is there and go on. "
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n%s"
COMMAND = json.dumps({"command": "true"})


def left(messages: Sequence[Any]) -> int:
    """Return how many commands are still to be run."""
    done = 0
    for message in reversed(messages):
        content = message["content"]
        parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
        if message["role"] == "tool" or (message["role"] == "user" and parts[0].get("type") == "tool_result"):
            done += 1
        elif message["role"] == "user":
            found = STEPS.search(" ".join(part.get("text") or "" for part in parts))
            return int(found[1]) - done if found else 0
    return 0


def chat(call: int, runs: bool, pieces: int) -> bytes:
    """Return a reply as Chat Completions streams it."""
    text = [WORDS] * pieces if runs else ["Done."]
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": text[0]}, *({"content": one} for one in text[1:])]
    if runs:
        function = {"name": "bash", "arguments": COMMAND}
        deltas.append({"tool_calls": [{"index": 0, "id": f"call_{call}", "type": "function", "function": function}]})
    choices = [[{"index": 0, "delta": delta, "finish_reason": None}] for delta in deltas]
    choices.append([{"index": 0, "delta": {}, "finish_reason": "tool_calls" if runs else "stop"}])
    same = {"id": f"chatcmpl-{call}", "object": "chat.completion.chunk", "created": 1_790_000_000, "model": "bench"}
    usage = {"prompt_tokens": 900, "completion_tokens": 30, "total_tokens": 930}
    events = [*({**same, "choices": one} for one in choices), {**same, "choices": [], "usage": usage}]
    return b"".join(b"data: %s\n\n" % json.dumps(event).encode() for event in events) + b"data: [DONE]\n\n"


def messages(call: int, runs: bool, pieces: int) -> bytes:
    """Return a reply as Messages streams it."""
    usage = {"input_tokens": 900, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0, "output_tokens": 1}
    start = {"id": f"msg_{call}", "type": "message", "role": "assistant", "model": "bench", "content": []}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {**start, "stop_reason": None, "stop_sequence": None, "usage": usage}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    ]
    for text in [WORDS] * pieces if runs else ["Done."]:
        events.append({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}})
    events.append({"type": "content_block_stop", "index": 0})
    if runs:
        block = {"type": "tool_use", "id": f"toolu_{call}", "name": "bash", "input": {}}
        delta = {"type": "input_json_delta", "partial_json": COMMAND}
        events.append({"type": "content_block_start", "index": 1, "content_block": block})
        events.append({"type": "content_block_delta", "index": 1, "delta": delta})
        events.append({"type": "content_block_stop", "index": 1})
    stop = {"stop_reason": "tool_use" if runs else "end_turn", "stop_sequence": None}
    events.append({"type": "message_delta", "delta": stop, "usage": {"output_tokens": 30}})
    events.append({"type": "message_stop"})
    return b"".join(b"event: %s\ndata: %s\n\n" % (e["type"].encode(), json.dumps(e).encode()) for e in events)


class Endpoint(asyncio.Protocol):
    """One connection; requests come one after the other."""

    calls = 0

    def __init__(self, delay: float, pieces: int) -> None:
        self._delay = delay
        self._pieces = pieces
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, end, rest = self._data.partition(b"\r\n\r\n")
        if not end:
            return
        size = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
        length = int(size[1]) if size else 0
        if len(rest) < length:
            return
        self._data = rest[length:]
        asyncio.get_running_loop().call_later(self._delay, self._answer, head, rest[:length])

    def _answer(self, head: bytes, body: bytes) -> None:
        Endpoint.calls += 1
        reply = messages if b"/messages" in head.partition(b"\r\n")[0] else chat
        content = reply(Endpoint.calls, left(json.loads(body)["messages"]) > 0, self._pieces)
        self._transport.write(HEAD % (len(content), content))


async def main(delay: float, pieces: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Endpoint(delay, pieces), "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(float(sys.argv[1]), int(sys.argv[2])))
