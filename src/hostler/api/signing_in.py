"""Signing in with a browser: by an API token, or by a link that was made with one and can be opened once."""

import re
from functools import cached_property
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hostler.api.accounts import Accounts
from hostler.api.auth import Credentials, hashed
from hostler.api.bodies import body_of
from hostler.api.call import Caller, current
from hostler.api.cookies import Cookie, check_ours, cookies_of
from hostler.api.newcomers import Newcomers
from hostler.api.oidc import OpenIdConnect
from hostler.api.parts import ApiParts
from hostler.core.admission import LINK, Link, SignIn
from hostler.core.errors import InvalidArgument, NotFound, PermissionDenied, Unauthenticated
from hostler.core.outside import ATTEMPT
from hostler.projections.status import stamp

LONGEST_PATH = 2000
CALLBACK = "/sign-in/callback"
PATH = re.compile(r"/(?![/\\])[!-\[\]-~]*")
"""One slash, and then no backslash, blank, control or non-ASCII character: what no browser takes for another host."""


class SigningIn:
    """Begins and ends them, and makes the links."""

    def __init__(self, parts: ApiParts, credentials: Credentials) -> None:
        self._parts = parts
        self._credentials = credentials

    @cached_property
    def _oidc(self) -> OpenIdConnect | None:
        provider = self._parts.outside.provider
        return OpenIdConnect(provider, self._parts.attempts, self._parts.ambient) if provider else None

    @property
    def elsewhere(self) -> str:
        """Return what the place is called where people may sign in elsewhere; nothing where there is none."""
        provider = self._parts.outside.provider
        return (provider.name or urlsplit(provider.issuer).hostname or "") if provider else ""

    async def leave(self, path: str) -> tuple[str, Cookie]:
        """Return where somebody signs in elsewhere, and the cookie that he comes back with; NotFound without it."""
        if self._oidc is None:
            raise NotFound("nobody signs in elsewhere here")
        url, browser = await self._oidc.begin(f"{current().origin}{CALLBACK}", path)
        return url, Cookie(self._credentials.cookies.attempt, browser, int(ATTEMPT.total_seconds()))

    async def come_back(self, request: Request) -> tuple[Cookie, str]:
        """Sign in who comes back from elsewhere; Unauthenticated with the reason when he is not believed."""
        provider = self._parts.outside.provider
        if self._oidc is None or provider is None:
            raise NotFound("nobody signs in elsewhere here")
        browser = cookies_of(request.headers).get(self._credentials.cookies.attempt, "")
        known, path = await self._oidc.finish(f"{current().origin}{CALLBACK}", request.query_params, browser)
        person = await Newcomers(self._parts).person(known, provider.accounts)
        token = await Accounts(self._parts, self._credentials).browser(
            person.principal, f"signed in with {self.elsewhere}"[:100]
        )
        return await self._sign_in(token), local_path(path)

    def routes(self) -> list[Route]:
        """Return the routes, relative to the server's root."""
        return [Route("/api/hostler/v1/links", self.link, methods=["POST"])]

    async def begin(self, token: str) -> Cookie:
        """Sign in with an API token; Unauthenticated when it is not accepted."""
        return await self._sign_in((await self._credentials.api(token)).grant)

    async def open(self, code: str) -> tuple[Cookie, str]:
        """Sign in by a link and return where it leads; Unauthenticated when it was used or has expired."""
        link = await self._parts.sign_ins.take_link(hashed(code))
        if link is None or link.expires_at <= self._parts.ambient.now():
            raise Unauthenticated("this link was used already or has expired")
        return await self._sign_in(link.token_id), link.path

    async def end(self, request: Request) -> Cookie:
        """Sign out; PermissionDenied when no page of ours asks for it, cookie or not: the answer takes it away."""
        check_ours(request.headers, form=True)
        name = self._credentials.cookies.sign_in
        if cookie := cookies_of(request.headers).get(name, ""):
            await self._parts.sign_ins.remove(hashed(cookie))
            self._credentials.end(hashed(cookie))
        return Cookie(name)

    async def link(self, request: Request) -> Response:
        """Make a link that opens a path once, signed in; a token that may only read may do so too."""
        caller = current().caller = await self._credentials.of(request.headers)
        if caller.kind != "api":
            raise PermissionDenied("a link is made with an API token")
        path = (await body_of(request)).get("path", "/")
        if not isinstance(path, str) or local_path(path) != path:
            raise InvalidArgument("a path of this server is needed, such as /executions/ID", field="path")
        now, code = self._parts.ambient.now(), self._parts.ambient.token()
        link = Link(hashed(code), caller.grant, path, now + LINK)
        await self._parts.sign_ins.add_link(link, now)
        told = {"url": f"{current().origin}/open/{code}", "expiresAt": stamp(link.expires_at)}
        return JSONResponse(told, 201)

    async def _sign_in(self, token_id: str) -> Cookie:
        now, secret = self._parts.ambient.now(), self._parts.ambient.token()
        sign_in = SignIn(self._parts.ambient.new_id(), hashed(secret), token_id, now, now)
        await self._parts.sign_ins.add(sign_in)
        caller = await self._credentials.signed_in(secret)
        if caller is None:
            await self._parts.sign_ins.remove(sign_in.sha256)
            raise Unauthenticated("the account or the API token behind this is let in no more")
        current().caller = caller
        return Cookie(self._credentials.cookies.sign_in, secret, self._seconds(caller))

    def _seconds(self, caller: Caller) -> int:
        return max(1, int(caller.expires_at - self._parts.ambient.now().timestamp()))


def local_path(path: str) -> str:
    """Return a path of this server as it is; "/" for what could lead anywhere else."""
    if len(path) > LONGEST_PATH or not PATH.fullmatch(path):
        return "/"
    parts = urlsplit(path)
    return "/" if parts.scheme or parts.netloc else path
