"""The live conversation of one execution as server-sent events.

It ends when the run goes idle, so that a reader can read it to its end and then ask for the result; `?follow=1` keeps
it open over turns, `?format=json` gives each frame as {"tag", "body"} for readers without the contract's types. What
is sent is decided in `hostler.api.stream` and shared in `hostler.api.broadcast`; here it is handed to one reader.
"""

import asyncio
from datetime import UTC, datetime, timedelta

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from hostler.api.auth import Credentials
from hostler.api.broadcast import Channels, Seat, Ticket
from hostler.api.call import Caller
from hostler.api.cursors import Cursor, cursor_of
from hostler.api.forms import FORMS
from hostler.api.parts import ApiParts
from hostler.api.sighted import unbound
from hostler.api.stream import event
from hostler.core.errors import InvalidArgument

KEEP_ALIVE = timedelta(seconds=15)
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


class Live:
    """Serves GET /api/executions/ID/live."""

    def __init__(self, parts: ApiParts, credentials: Credentials) -> None:
        self._credentials = credentials
        self._channels = Channels(unbound(parts))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream one conversation to one reader."""
        request = Request(scope, receive)
        execution = request.path_params["execution"].lower()
        caller = await self._credentials.viewer(request, execution, needs="see")
        follow = request.query_params.get("follow", "") in ("1", "true")
        name = form_of(request)
        await watch(self._channels.of(execution, name, FORMS[name]), request, caller, send, follow=follow)


async def watch(ticket: Ticket, request: Request, caller: Caller, send: Send, *, follow: bool) -> None:
    """Answer one request with a channel's events, from the reader's cursor until an end or until he leaves.

    InvalidArgument for a cursor that is none, NotFound for an execution that there is not; after that it only streams.
    """
    start = start_of(request)
    await ticket.parts.desk.seen(ticket.execution)
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    async with ticket.join(start) as seat:
        gone = asyncio.create_task(_gone(request.receive))
        gone.add_done_callback(lambda _: seat.wake())
        try:
            await _Writing(ticket.parts, seat, caller, send, gone, follow=follow).run()
        finally:
            gone.cancel()
            await asyncio.wait({gone})


def start_of(request: Request) -> Cursor | None:
    """Return where a reader wants to go on; None means at the current turn."""
    if last := request.headers.get("last-event-id", ""):
        return cursor_of(last)
    after = request.query_params.get("after")
    return None if after is None else cursor_of(after, "after")


def form_of(request: Request) -> str:
    """Return the name of how frames are written; InvalidArgument for a form that there is not."""
    form = request.query_params.get("format", "frame")
    if form not in FORMS:
        raise InvalidArgument(f"known are {', '.join(FORMS)}", field="format")
    return form


async def _gone(receive: Receive) -> None:
    """Return when the reader has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


class _Writing:
    """One open answer."""

    def __init__(
        self, parts: ApiParts, seat: Seat, caller: Caller, send: Send, gone: asyncio.Task[None], *, follow: bool
    ) -> None:
        self._parts = parts
        self._seat = seat
        self._validity = caller.validity
        self._validity.tell(seat.wake)
        self._expires = datetime.fromtimestamp(caller.expires_at, UTC) if caller.expires_at else None
        self._send = send
        self._gone = gone
        self._follow = follow

    async def run(self) -> None:
        """Send until the conversation rests, the token expires, the execution is deleted or the server stops."""
        now = self._parts.ambient.now()
        quiet_since = now
        while not self._gone.done():
            data = await self._seat.take(now)
            if data:
                await self._send({"type": "http.response.body", "body": data, "more_body": True})
            now = self._parts.ambient.now()
            if (last := self._last(now, rests=not data)) is not None:
                await self._send({"type": "http.response.body", "body": last, "more_body": False})
                return
            if data:
                quiet_since = now
                continue
            if now - quiet_since >= KEEP_ALIVE:
                await self._send({"type": "http.response.body", "body": b": keep-alive\n\n", "more_body": True})
                quiet_since = now
            self._seat.look_at = min(quiet_since + KEEP_ALIVE, self._expires or quiet_since + KEEP_ALIVE)
            await self._seat.wait()
            now = self._parts.ambient.now()

    def _last(self, now: datetime, *, rests: bool) -> bytes | None:
        """Return what is said last, when it is time; `rests` says that all there is was sent."""
        if self._validity.over or (self._expires and now >= self._expires):
            return _end("token_expired")
        if rests and self._seat.deleted:
            return _end("deleted")
        if rests and not self._follow and (resting := self._seat.resting):
            return _end(resting)
        return b"retry: 1000\n\n" if self._parts.draining() else None


def _end(reason: str) -> bytes:
    return event("end", {"reason": reason})
