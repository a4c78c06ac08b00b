"""The log of an environment as text or JSON Lines, to its end or as it grows.

A reader that comes back names the last entry it has: `?after=SEQ`. A followed log ends with the environment.
"""

import json
from collections.abc import AsyncGenerator, Sequence
from typing import cast

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from hostler.api.auth import Credentials
from hostler.api.call import taken_back
from hostler.api.parts import ApiParts
from hostler.core.environment_log import LogEntry
from hostler.core.errors import InvalidArgument, NotFound, Unauthenticated
from hostler.projections.status import stamp

PAGE = 500
"""Entries that are read at a time."""
TICK = 1.0
"""Seconds after which a followed log looks whether the server is stopping, although nothing was signalled."""
QUIET = 15
"""Ticks after which a followed JSON log says that it lives, by a blank."""
TEXT, LINES = "text/plain; charset=utf-8", "application/jsonl"


class EnvironmentLogs:
    """Serves GET /api/environments/ID/logs."""

    def __init__(self, parts: ApiParts, credentials: Credentials) -> None:
        self._parts = parts
        self._credentials = credentials

    async def serve(self, request: Request) -> Response:
        """Answer with the log of one environment."""
        environment = cast("str", request.path_params["environment"]).lower()
        await self._let_in(request, environment)
        await self._parts.environments.get(environment)
        after = request.query_params.get("after", "") or request.headers.get("last-event-id", "") or "0"
        if not (after.isascii() and after.isdigit() and len(after) < 16):
            raise InvalidArgument("the number of an entry is needed", field="after")
        form = request.query_params.get("format", "text")
        if form not in ("text", "json"):
            raise InvalidArgument("text or json", field="format")
        follow = request.query_params.get("follow", "") in ("1", "true")
        reading = self._followed(environment, int(after)) if follow else self._read(environment, int(after))
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        lines = _form(reading, json_lines=form == "json")
        return StreamingResponse(lines, media_type=LINES if form == "json" else TEXT, headers=headers)

    async def _let_in(self, request: Request, environment: str) -> None:
        """Let in who has a token for logs, one for the environment, or an API token, or is signed in."""
        try:
            await self._credentials.insider(request, environment, kind="logs")
        except Unauthenticated:
            await self._credentials.insider(request, environment)

    async def _read(self, environment: str, after: int) -> AsyncGenerator[Sequence[LogEntry]]:
        """Yield what there is."""
        while entries := await self._parts.environments.log(environment, after, PAGE):
            yield entries
            after = entries[-1].seq

    async def _followed(self, environment: str, after: int) -> AsyncGenerator[Sequence[LogEntry]]:
        """Yield what there is and what comes, until the environment is gone or the server stops."""
        async with self._parts.executions.watch(environment) as watch:
            ticks = 0
            while not self._parts.draining() and not taken_back():
                try:
                    entries = await self._parts.environments.log(environment, after, PAGE)
                except NotFound:
                    return
                if entries:
                    yield entries
                    after, ticks = entries[-1].seq, 0
                    continue
                ticks += 1
                if ticks % QUIET == 0:
                    yield ()
                await watch.changed(TICK)


async def _form(reading: AsyncGenerator[Sequence[LogEntry]], *, json_lines: bool) -> AsyncGenerator[bytes]:
    async for entries in reading:
        yield b"".join(_line(entry) if json_lines else entry.text.encode() for entry in entries) or b" " * json_lines


def _line(entry: LogEntry) -> bytes:
    shown = {"seq": entry.seq, "at": stamp(entry.at), "step": entry.step, "text": entry.text}
    return json.dumps(shown, ensure_ascii=False).encode() + b"\n"
