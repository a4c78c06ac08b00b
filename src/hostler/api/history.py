"""What an execution has said, in pages, and the large outputs that its log names."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hostler.api.auth import Credentials
from hostler.api.forms import FrameForm, JsonForm
from hostler.api.live import form_of
from hostler.api.parts import ApiParts
from hostler.core.errors import InvalidArgument, NotFound
from hostler.core.events import Recorded
from hostler.projections.blocks import Frame, frames

PAGE, MOST = 500, 2000
"""Frames of a page, unless more or fewer are asked for."""
LONG = 100
"""Events above which a log is read beside the event loop."""
SHA256 = re.compile(r"[0-9a-f]{64}")
WRITTEN = {"frame": FrameForm.written, "json": JsonForm.written}
CLOSED = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


class History:
    """Serves GET /api/executions/ID/history and /api/executions/ID/blobs/SHA256."""

    def __init__(self, parts: ApiParts, credentials: Credentials) -> None:
        self._parts = parts
        self._credentials = credentials

    def routes(self) -> list[Route]:
        """Return the routes, relative to the server's root."""
        below = "/api/executions/{execution}"
        return [
            Route(f"{below}/history", self.history, methods=["GET"]),
            Route(f"{below}/blobs/{{sha256}}", self.blob, methods=["GET"]),
        ]

    async def history(self, request: Request) -> Response:
        """Answer finished frames behind `after`; `nextAfter` is where the next page begins, null behind the last."""
        execution = await self._admitted(request)
        after, limit = _number(request, "after", 0), _number(request, "limit", PAGE)
        if not 0 < limit <= MOST:
            raise InvalidArgument(f"1 to {MOST} frames make a page", field="limit")
        write = WRITTEN[form_of(request)]
        log = await self._parts.desk.log(execution)

        def page() -> Mapping[str, Any]:
            shown, more = _page(execution, log, after, limit)
            written = [{"id": frame.number, **write(frame.tag, frame.body)} for frame in shown]
            return {"frames": written, "nextAfter": shown[-1].number if more else None}

        return JSONResponse(await asyncio.to_thread(page) if len(log) > LONG else page(), headers=CLOSED)

    async def blob(self, request: Request) -> Response:
        """Answer the bytes of one large output, as a download that no browser takes for anything else."""
        execution = await self._admitted(request)
        await self._parts.desk.seen(execution)
        name = request.path_params["sha256"]
        data = await self._parts.blobs.get(name, execution) if SHA256.fullmatch(name) else None
        if data is None:
            raise NotFound("there is no such blob", field="sha256")
        attachment = {"content-disposition": f'attachment; filename="{name[:12]}.bin"'}
        policy = {"content-security-policy": "default-src 'none'; sandbox"}
        return Response(data, media_type="application/octet-stream", headers={**CLOSED, **attachment, **policy})

    async def _admitted(self, request: Request) -> str:
        execution = str(request.path_params["execution"]).lower()
        await self._credentials.viewer(request, execution, needs="see")
        return execution


def _page(execution: str, log: Sequence[Recorded], after: int, limit: int) -> tuple[Sequence[Frame], bool]:
    """Return the frames of a page, and whether others follow."""
    behind = [frame for frame in frames(execution, log) if frame.number > after]
    return behind[:limit], len(behind) > limit


def _number(request: Request, name: str, default: int) -> int:
    given = request.query_params.get(name)
    if given is None:
        return default
    if not (given.isascii() and given.isdigit() and len(given) < 16):
        raise InvalidArgument("a number is needed", field=name)
    return int(given)
