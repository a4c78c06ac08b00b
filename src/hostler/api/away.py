"""Giving up what is held by a runner that is away, below /api/hostler/v1; for administrators."""

from collections.abc import Awaitable, Callable
from typing import cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hostler.api.call import only_admins
from hostler.api.parts import ApiParts

Handler = Callable[[Request], Awaitable[Response]]


class Away:
    """The handlers; authenticated by whoever serves them."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts

    def routes(self) -> list[tuple[str, str, Handler]]:
        """Return (method, path, handler)."""
        return [
            ("POST", "/environments/{environment}/lost", self.lose),
            ("DELETE", "/runners/{runner}", self.forget),
        ]

    async def lose(self, request: Request) -> Response:
        """Give up an environment whose runner is away."""
        only_admins()
        row = await self._parts.away.lose(cast("str", request.path_params["environment"]).lower())
        users = await self._parts.environment_rows.users(row.id)
        return JSONResponse({"environmentId": row.id, "executions": list(users)})

    async def forget(self, request: Request) -> Response:
        """Forget a runner that is away, and give up what it holds."""
        only_admins()
        await self._parts.away.forget(cast("str", request.path_params["runner"]).lower())
        return JSONResponse({})
