"""The organization's policy below /api/hostler/v1: what holds, what it was, and what a person uses of his caps."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hostler.api.bodies import body_of
from hostler.api.call import current, only_admins
from hostler.api.parts import ApiParts
from hostler.core.errors import InvalidArgument
from hostler.core.policy import Adopted, of_json, to_json
from hostler.projections.status import stamp

Handler = Callable[[Request], Awaitable[Response]]


class PolicyDesk:
    """The handlers; authenticated by whoever serves them."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts

    def routes(self) -> list[tuple[str, str, Handler]]:
        """Return (method, path, handler)."""
        return [
            ("GET", "/policy", self.show),
            ("PATCH", "/policy", self.change),
            ("GET", "/policy/versions", self.versions),
            ("GET", "/policy/caps", self.caps),
        ]

    async def show(self, request: Request) -> Response:
        """Return the policy that holds; caps of single people to administrators only."""
        adopted = _json(await self._parts.policies.current())
        if not current().principal.admin:
            own = current().principal.id
            caps_of = cast("Mapping[str, Any]", adopted["policy"]["caps_of"])
            adopted["policy"]["caps_of"] = {who: caps for who, caps in caps_of.items() if who == own}
        return JSONResponse(adopted)

    async def change(self, request: Request) -> Response:
        """Change the parts that are given; `after` names the version that was looked at, if that matters."""
        only_admins()
        asked = await body_of(request)
        if unknown := [name for name in asked if name not in ("policy", "after")]:
            raise InvalidArgument("policy and after are known", field=unknown[0])
        given, holds = asked.get("policy"), await self._parts.policies.current()
        if not isinstance(given, Mapping) or not given:
            raise InvalidArgument("an object with the parts to be changed is needed", field="policy")
        after = asked.get("after", holds.version)
        if isinstance(after, bool) or not isinstance(after, int) or after < 0:
            raise InvalidArgument("the number of a version is needed", field="after")
        policy = of_json(self._parts.redactor.json(dict(cast("Mapping[str, Any]", given))), holds.policy)
        if policy == holds.policy and after == holds.version:
            return JSONResponse(_json(holds))
        adopted = await self._parts.policies.adopt(policy, after, self._parts.ambient.now(), current().principal)
        await self._parts.policing.refresh()
        return JSONResponse(_json(adopted))

    async def versions(self, request: Request) -> Response:
        """Return the versions of the policy, newest first."""
        only_admins()
        return JSONResponse({"versions": [_json(one) for one in await self._parts.policies.versions()]})

    async def caps(self, request: Request) -> Response:
        """Return the caps of the caller, or for administrators of `principal`, and what is used of them."""
        person = request.query_params.get("principal", "").lower() or current().principal.id
        if person != current().principal.id:
            only_admins()
        caps = (await self._parts.policies.current()).policy.caps_for(person)
        used = await self._parts.policing.used(person)
        return JSONResponse(
            {
                "principal": person,
                "running": {"most": caps.running, "used": used.running},
                "tokens_a_day": {"most": caps.tokens_a_day, "used": used.tokens},
                "disk_gib": {"most": caps.disk_gib, "used": round(used.disk / (1 << 30), 3)},
            }
        )


def _json(adopted: Adopted) -> dict[str, Any]:
    return {
        "version": adopted.version,
        "policy": to_json(adopted.policy),
        "at": stamp(adopted.at),
        "by": {"id": adopted.by_id, "name": adopted.by_name},
    }
