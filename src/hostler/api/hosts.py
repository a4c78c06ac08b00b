"""Which hosts environments may reach, below /api/hostler/v1: what is allowed and why, allowed more, and taken back."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hostler.api.bodies import body_of
from hostler.api.call import current, only_admins
from hostler.api.parts import ApiParts
from hostler.core.egress import Allowed, Until, host_pattern
from hostler.core.errors import InvalidArgument, NotFound
from hostler.projections.status import stamp

Handler = Callable[[Request], Awaitable[Response]]


class Hosts:
    """The handlers; authenticated by whoever serves them, who lets those with scope read change nothing."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts

    def routes(self) -> list[tuple[str, str, Handler]]:
        """Return (method, path, handler)."""
        one, cls = "/environments/{environment}/hosts", "/environment-classes/{class}/hosts"
        return [
            ("GET", one, self.of_environment),
            ("POST", one, self.allow),
            ("DELETE", f"{one}/{{host}}", self.forbid),
            ("GET", cls, self.of_class),
            ("POST", cls, self.allow_class),
            ("DELETE", f"{cls}/{{host}}", self.forbid_class),
        ]

    async def of_environment(self, request: Request) -> Response:
        """Return what an environment may reach, and why."""
        return _answer(await self._parts.hosts.of_environment(_environment(request)))

    async def of_class(self, request: Request) -> Response:
        """Return what was allowed for a class beyond the settings."""
        return _answer(await self._parts.hosts.of_class(_named(request, "class")))

    async def allow(self, request: Request) -> Response:
        """Allow a host for an environment until it stops, or for its class."""
        environment, asked = _environment(request), await body_of(request)
        if _until(asked) == "class":
            only_admins()
        await self._check(_host(asked))
        new = await self._parts.hosts.allow(environment, _host(asked), _until(asked), current().principal)
        return _answer(await self._parts.hosts.of_environment(environment), new=new)

    async def allow_class(self, request: Request) -> Response:
        """Allow a host for a class."""
        only_admins()
        name, asked = _named(request, "class"), await body_of(request)
        await self._check(_host(asked))
        new = await self._parts.hosts.allow_class(name, _host(asked), current().principal)
        return _answer(await self._parts.hosts.of_class(name), new=new)

    async def forbid(self, request: Request) -> Response:
        """Take back what was allowed for an environment until it stops; NotFound when it was not."""
        environment = _environment(request)
        if not await self._parts.hosts.forbid(environment, _named(request, "host")):
            raise NotFound("it was not allowed for this environment alone", field="host")
        return _answer(await self._parts.hosts.of_environment(environment))

    async def forbid_class(self, request: Request) -> Response:
        """Take back what was allowed for a class; NotFound when it was not."""
        only_admins()
        name = _named(request, "class")
        if not await self._parts.hosts.forbid_class(name, _named(request, "host")):
            raise NotFound("it was not allowed for this class", field="host")
        return _answer(await self._parts.hosts.of_class(name))

    async def _check(self, host: str) -> None:
        """Refuse a host that people may not allow."""
        (await self._parts.policies.current()).policy.check_host(host_pattern(host))


def _answer(hosts: Sequence[Allowed], *, new: bool = False) -> JSONResponse:
    shown = [{"host": one.host, "why": one.why, "by": one.by, "at": stamp(one.at)} for one in hosts]
    return JSONResponse({"hosts": shown}, 201 if new else 200)


def _environment(request: Request) -> str:
    return _named(request, "environment").lower()


def _named(request: Request, name: str) -> str:
    return cast("str", request.path_params[name])


def _host(asked: Mapping[str, Any]) -> str:
    host = asked.get("host")
    if not isinstance(host, str) or not host:
        raise InvalidArgument("a host such as example.org is needed", field="host")
    return host


def _until(asked: Mapping[str, Any]) -> Until:
    until = asked.get("for", "once")
    if until not in ("once", "class"):
        raise InvalidArgument("once or class", field="for")
    return until
