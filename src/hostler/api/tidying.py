"""`/api/hostler/v1/gc`: lets go of what was kept for long enough, or says what would go."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hostler.api.bodies import body_of
from hostler.api.call import current, only_admins
from hostler.api.parts import ApiParts
from hostler.core.errors import InvalidArgument

Handler = Callable[[Request], Awaitable[Response]]


class TidyingUp:
    """The handler; authenticated by whoever serves it."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts

    def routes(self) -> list[tuple[str, str, Handler]]:
        """Return (method, path, handler)."""
        return [("POST", "/gc", self.sweep)]

    async def sweep(self, request: Request) -> Response:
        """Sweep, or with `dryRun` only look."""
        only_admins()
        asked = await body_of(request)
        if unknown := [name for name in asked if name not in ("dryRun", "dry_run")]:
            raise InvalidArgument("dryRun is known", field=unknown[0])
        dry = asked.get("dryRun", asked.get("dry_run", False))
        if not isinstance(dry, bool):
            raise InvalidArgument("true or false is needed", field="dryRun")
        who = current().principal
        found = await self._parts.tidying.run(dry=dry, actor=(who.id, who.kind, who.name))
        told = [{"what": one.name, "number": one.number, "bytes": one.bytes} for one in found]
        return JSONResponse({"dryRun": dry, "swept": told})
