"""The live conversation of one execution as server-sent events.

It ends when the run goes idle, so that a reader can read it to its end and then ask for the result; `?follow=1` keeps
it open over turns, `?format=json` gives each frame as {"tag", "body"} for readers without the contract's types. What
is sent is decided in `hostler.api.stream`; here it is read, waited for and written.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from functools import partial
from typing import Any, cast

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from hostler.api.auth import Credentials
from hostler.api.codec import from_json, to_json
from hostler.api.parts import ApiParts
from hostler.api.stream import Conversation, Cursor, Item, cursor_of, event, frame_bytes
from hostler.contract.gitpod.v1.agent_input_pb import AgentMessage, UserInputBlock
from hostler.contract.gitpod.v1.agent_response_pb import AgentResponseBlock
from hostler.core.errors import InvalidArgument, NotFound
from hostler.core.ports import Watch

KEEP_ALIVE = timedelta(seconds=15)
TICK = timedelta(seconds=1)
"""How often a quiet stream looks whether the server is stopping."""
LOOK_AGAIN = 10.0
"""Seconds after which the log is read although nothing was signalled."""
MESSAGES = {1: AgentResponseBlock, 2: UserInputBlock, 3: AgentMessage}
Form = Callable[[Item], dict[str, Any]]
"""How an item becomes the data of an event."""
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


class Live:
    """Serves GET /api/executions/ID/live."""

    def __init__(self, parts: ApiParts, credentials: Credentials) -> None:
        self._parts = parts
        self._credentials = credentials

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream one conversation to one reader."""
        request = Request(scope, receive)
        execution = request.path_params["execution"].lower()
        caller = await self._credentials.viewer(request, execution, needs="see")
        conversation = Conversation(execution, start_of(request))
        await self._parts.desk.seen(execution)
        follow = request.query_params.get("follow", "") in ("1", "true")
        form = form_of(request)
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        holds = partial(self._credentials.holds, caller)
        stream = asyncio.create_task(_Stream(self._parts, execution, conversation, holds, follow, form, send).run())
        gone = asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait({stream, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (stream, gone):
                task.cancel()
            await asyncio.gather(stream, gone, return_exceptions=True)
        if not stream.cancelled() and (error := stream.exception()) is not None and not gone.done():
            raise error


def start_of(request: Request) -> Cursor | None:
    """Return where a reader wants to go on; None means at the current turn."""
    if last := request.headers.get("last-event-id", ""):
        return cursor_of(last)
    after = request.query_params.get("after")
    if after is None:
        return None
    if not (after.isascii() and after.isdigit() and len(after) < 16):
        raise InvalidArgument("a frame's number is needed", field="after")
    return Cursor(int(after))


async def _gone(receive: Receive) -> None:
    """Return when the reader has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


class _Stream:
    """One open stream: three signals wake it, and each time it sends what is new."""

    def __init__(
        self,
        parts: ApiParts,
        execution: str,
        conversation: Conversation,
        holds: Callable[[], Awaitable[bool]],
        follow: bool,
        form: Form,
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        self._parts = parts
        self._execution = execution
        self._conversation = conversation
        self._holds = holds
        self._follow = follow
        self._form = form
        self._send = send
        self._wake = asyncio.Event()
        self._grown = True
        self._sent_at = parts.ambient.now()

    async def run(self) -> None:
        """Send until the conversation rests, the token expires, the execution is deleted or the server stops."""
        async with self._parts.executions.watch(self._execution) as watch:
            pumps = [asyncio.create_task(pump) for pump in (self._log(watch), self._pieces(), self._clock())]
            try:
                await self._look(first=True)
                while not await self._ended():
                    await self._wake.wait()
                    self._wake.clear()
                    for pump in pumps:
                        if pump.done():
                            pump.result()  # raises what ended it
                    await self._look()
            except NotFound:
                await self._end("deleted")
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)

    async def _look(self, *, first: bool = False) -> None:
        """Send what the log and the open text have gained."""
        now = self._parts.ambient.now()
        if first:
            self._grown = False
            await self._write(self._conversation.open(await self._parts.desk.log(self._execution), now), now)
        if self._grown:
            self._grown = False
            tail = await self._parts.desk.log(self._execution, self._conversation.seq)
            await self._write(self._conversation.grow(tail, now), now)
        blocks = self._parts.desk.open_blocks(self._execution)
        if any(block.call_id != self._conversation.call for block in blocks):
            tail = await self._parts.desk.log(self._execution, self._conversation.seq)
            await self._write(self._conversation.grow(tail, now), now)
        await self._write(self._conversation.say(blocks, now), now)
        if now - self._sent_at >= KEEP_ALIVE:
            await self._bytes(b": keep-alive\n\n", now)

    async def _ended(self) -> bool:
        """Return whether the stream is over, after having said so."""
        if not await self._holds():
            await self._end("token_expired")
        elif self._conversation.idle and not self._follow:
            await self._end("stopped" if self._conversation.phase == "STOPPED" else "waiting_for_input")
        elif self._parts.draining():
            await self._send({"type": "http.response.body", "body": b"retry: 1000\n\n", "more_body": False})
        else:
            return False
        return True

    async def _end(self, reason: str) -> None:
        await self._send({"type": "http.response.body", "body": event("end", {"reason": reason}), "more_body": False})

    async def _write(self, items: Sequence[Item], now: datetime) -> None:
        if items:
            await self._bytes(b"".join(event("block", self._form(item), item.cursor) for item in items), now)

    async def _bytes(self, data: bytes, now: datetime) -> None:
        self._sent_at = now
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def _log(self, watch: Watch) -> None:
        """Wake when the log has grown, and now and then without a signal."""
        while True:
            await watch.changed(LOOK_AGAIN)
            self._grown = True
            self._wake.set()

    async def _pieces(self) -> None:
        """Wake when more has been said."""
        async with aclosing(cast("Any", self._parts.desk.pieces(self._execution))) as pieces:
            async for _ in cast("AsyncIterator[None]", pieces):
                self._wake.set()

    async def _clock(self) -> None:
        """Wake every second, for keep-alives, expiry and the end of the server."""
        while True:
            await self._parts.ambient.until(self._parts.ambient.now() + TICK)
            self._wake.set()


def form_of(request: Request) -> Form:
    """Return how frames are written; InvalidArgument for a form that there is not."""
    form = request.query_params.get("format", "frame")
    if form not in FORMS:
        raise InvalidArgument(f"known are {', '.join(FORMS)}", field="format")
    return FORMS[form]


def _frame(item: Item) -> dict[str, Any]:
    return {"frame": frame_bytes(item.tag, from_json(MESSAGES[item.tag], item.body).to_binary())}


def _json(item: Item) -> dict[str, Any]:
    return {"tag": item.tag, "body": to_json(from_json(MESSAGES[item.tag], item.body))}


FORMS: Mapping[str, Form] = {"frame": _frame, "json": _json}
