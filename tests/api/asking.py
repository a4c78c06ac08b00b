"""A client without a network: requests go straight into the application, and a stream is left when it is quiet."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

STREAMS = ("text/event-stream", "application/jsonl", "application/connect+", "application/grpc-web")
TURNS = 100
"""Turns of the loop without a word after which a stream that has begun is left."""


@dataclass
class Told:
    """What was answered; a WebSocket that was accepted has status 101, one that was not 403."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""
    ended: bool = False
    """Whether the answer was whole; otherwise it was left."""

    @property
    def kind(self) -> str:
        """The content type without its parameters."""
        return self.headers.get("content-type", "").partition(";")[0]


class Exchange:
    """One request and what comes back."""

    def __init__(self, parts: list[bytes], first: str = "http.request") -> None:
        self.told = Told()
        self._parts = parts or [b""]
        self._first = first
        self._left = asyncio.Event()
        self.said = 0

    async def receive(self) -> dict[str, Any]:
        """Give the next part of the body, and then nothing until the caller leaves."""
        if self._first == "websocket.connect":
            self._first = "websocket.disconnect"
            return {"type": "websocket.connect"}
        if self._parts:
            part = self._parts.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(self._parts)}
        await self._left.wait()
        return {"type": self._first.replace("request", "disconnect"), "code": 1005}

    async def send(self, message: Any) -> None:
        """Take what the application says."""
        self.said += 1
        match message["type"]:
            case "http.response.start":
                assert not self.told.status, "an answer began twice"
                self.told.status = message["status"]
                headers = [
                    (name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in message["headers"]
                ]
                self.told.headers = dict(headers)
            case "http.response.body":
                assert self.told.status, "a body came before its answer began"
                self.told.body += message.get("body", b"")
                self.told.ended = not message.get("more_body", False)
            case "websocket.accept":
                self.told.status = 101
                self._left.set()
            case "websocket.close":
                self.told.status = self.told.status or 403
            case _:
                pass

    @property
    def streaming(self) -> bool:
        """Whether the answer has begun and is one that may stay open."""
        return bool(self.told.status) and self.told.kind.startswith(STREAMS) and not self.told.ended

    def leave(self) -> None:
        """Hang up."""
        self._left.set()


async def ask(
    app: Any,
    method: str,
    path: str,
    headers: Mapping[str, str] | None = None,
    body: bytes | list[bytes] = b"",
    *,
    query: str = "",
    pause: float = 0.0,
    tick: Callable[[], None] | None = None,
) -> Told:
    """Answer one request; of a stream what comes until it is quiet for `TURNS` turns of the loop, `pause` s each.

    `tick` moves the clock when nothing at all is answered.
    """
    socket = method == "WEBSOCKET"
    exchange = Exchange(body if isinstance(body, list) else [body], "websocket.connect" if socket else "http.request")
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in (headers or {}).items()]
    scope = {
        "type": "websocket" if socket else "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "ws" if socket else "http",
        "path": path,
        "raw_path": path.encode(errors="replace"),
        "root_path": "",
        "query_string": query.encode("latin-1"),
        "headers": raw,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "subprotocols": [],
    }
    task = asyncio.create_task(app(scope, exchange.receive, exchange.send))
    async with asyncio.timeout(20):
        await asyncio.wait({task, asyncio.create_task(_leave_when_quiet(exchange, task, pause, tick))})
        await task
    return exchange.told


async def _leave_when_quiet(
    exchange: Exchange, task: asyncio.Task[Any], pause: float, tick: Callable[[], None] | None
) -> None:
    """Hang up on a stream that says nothing more."""
    quiet, said, waited = 0, 0, 0
    while not task.done():
        if not exchange.streaming:
            await asyncio.wait({task}, timeout=0.001)
            waited += 1
            if tick and not exchange.told.status and waited % TURNS == 0:
                tick()
            continue
        await asyncio.sleep(pause)
        quiet = quiet + 1 if exchange.said == said else 0
        said = exchange.said
        if quiet > TURNS:
            exchange.leave()
            if quiet > 3 * TURNS:
                task.cancel()
                return
