"""Shares: one conversation for whoever has the address, to see or also to say something, until it ends.

A visitor's cookie is the secret of the address; it is looked up for every request, so a share that is revoked or has
expired ends at once. What visitors say carries the share's id in the log.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hostler.api.auth import Credentials, hashed
from hostler.api.bodies import body_of
from hostler.api.call import current
from hostler.api.cookies import Cookie
from hostler.api.parts import ApiParts
from hostler.core.admission import Share
from hostler.core.errors import InvalidArgument, NotFound, ResourceExhausted
from hostler.projections.status import stamp

SHARES = "/api/hostler/v1/executions/{execution}/shares"
HOURS, MOST_HOURS = 72, 720
MOST = 100
"""Shares of one execution that hold at a time."""
LONGEST_NAME = 100
Handler = Callable[[Request, str], Awaitable[Response]]


class Shares:
    """The handlers, and the way in for visitors."""

    def __init__(self, parts: ApiParts, credentials: Credentials) -> None:
        self._parts = parts
        self._credentials = credentials

    def routes(self) -> list[Route]:
        """Return the routes, relative to the server's root."""
        return [
            Route(SHARES, self._guarded(self.list), methods=["GET"]),
            Route(SHARES, self._guarded(self.create), methods=["POST"]),
            Route(f"{SHARES}/{{share}}", self._guarded(self.revoke), methods=["DELETE"]),
        ]

    def _guarded(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            execution = cast("str", request.path_params["execution"]).lower()
            await self._credentials.viewer(request, execution)
            await self._parts.desk.seen(execution)
            return await handler(request, execution)

        return guarded

    async def list(self, request: Request, execution: str) -> Response:
        """List the shares of an execution that hold, newest first; their addresses are not known any more."""
        return JSONResponse({"shares": [share_json(share) for share in await self._holding(execution)]})

    async def create(self, request: Request, execution: str) -> Response:
        """Share an execution; the address is in this answer and nowhere else."""
        asked = await body_of(request)
        (await self._parts.policies.current()).policy.check_sharing(_may(asked))
        now, code = self._parts.ambient.now(), self._parts.ambient.token()
        share = Share(
            id=self._parts.ambient.new_id(),
            sha256=hashed(code),
            execution_id=execution,
            may=_may(asked),
            name=self._parts.redactor.text(_name(asked)),
            creator_id=current().principal.id,
            created_at=now,
            expires_at=now + timedelta(hours=_hours(asked)),
        )
        if len(await self._holding(execution)) >= MOST:
            raise ResourceExhausted(f"an execution has at most {MOST} shares; revoke one first")
        await self._parts.shares.add(share)
        return JSONResponse({**share_json(share), "url": f"{current().origin}/s/{code}"}, 201)

    async def revoke(self, request: Request, execution: str) -> Response:
        """Take a share back."""
        share = cast("str", request.path_params["share"]).lower()
        if not await self._parts.shares.revoke(execution, share):
            raise NotFound("there is no such share")
        self._credentials.end(share)
        return JSONResponse({})

    async def enter(self, code: str) -> tuple[Cookie, str]:
        """Return a visitor's cookie and where a share's address leads; NotFound when the share has ended."""
        share, now = await self._parts.shares.by_sha256(hashed(code)), self._parts.ambient.now()
        if share is None or not share.holds(now):
            raise NotFound("this share was taken back or has expired; ask for another one")
        seconds = max(1, int((share.expires_at - now).total_seconds()))
        name = self._credentials.cookies.share(share.execution_id)
        return Cookie(name, code, seconds), f"/executions/{share.execution_id}"

    async def _holding(self, execution: str) -> tuple[Share, ...]:
        now = self._parts.ambient.now()
        return tuple(share for share in await self._parts.shares.find(execution) if share.holds(now))


def share_json(share: Share) -> dict[str, Any]:
    """Return what is shown of a share."""
    return {
        "id": share.id,
        "may": share.may,
        "name": share.name,
        "createdAt": stamp(share.created_at),
        "expiresAt": stamp(share.expires_at),
    }


def _may(asked: Mapping[str, Any]) -> Any:
    may = asked.get("may") or "view"
    if may not in ("view", "send"):
        raise InvalidArgument("view or send", field="may")
    return may


def _hours(asked: Mapping[str, Any]) -> int:
    hours = asked.get("hours", HOURS)
    if isinstance(hours, bool) or not isinstance(hours, int) or not 1 <= hours <= MOST_HOURS:
        raise InvalidArgument(f"a whole number from 1 to {MOST_HOURS}", field="hours")
    return hours


def _name(asked: Mapping[str, Any]) -> str:
    name = asked.get("name", "")
    if not isinstance(name, str) or len(name) > LONGEST_NAME or not name.isprintable():
        raise InvalidArgument(f"at most {LONGEST_NAME} printable characters", field="name")
    return name
