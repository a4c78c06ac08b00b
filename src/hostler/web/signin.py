"""Getting in: the sign-in page, links that sign in once, and the addresses of shares."""

from urllib.parse import parse_qs, quote

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute

from hostler.api.bodies import object_in, whole
from hostler.api.call import current
from hostler.api.cookies import Cookie, check_not_foreign, cookies_of
from hostler.api.shares import Shares
from hostler.api.signing_in import CALLBACK, SigningIn, local_path
from hostler.core.errors import NotFound, Unauthenticated
from hostler.web.site import HEADERS, Site

MOST = 64 << 10
"""Bytes of a form."""
PREFETCH = ("sec-purpose", "purpose", "x-purpose", "x-moz")
"""Headers by which browsers say that nobody has asked for the page yet."""


class SignInPages:
    """The handlers."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._signing = SigningIn(site.parts, site.credentials)
        self._shares = Shares(site.parts, site.credentials)

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        return [
            self._site.route("/sign-in", self.form),
            self._site.route("/sign-in", self.sign_in, ("POST",)),
            self._site.route("/sign-in/start", self.leave),
            self._site.route(CALLBACK, self.come_back),
            self._site.route("/sign-out", self.sign_out, ("POST",)),
            self._site.route("/open/{code}", self.open),
            self._site.route("/s/{code}", self.enter),
        ]

    async def form(self, request: Request) -> Response:
        """Ask for a token; who is signed in goes on at once."""
        path = local_path(request.query_params.get("next", "/"))
        cookie = cookies_of(request.headers).get(self._site.credentials.cookies.sign_in, "")
        if cookie and await self._site.credentials.signed_in(cookie):
            return _to(path)
        return self._form(path)

    def _form(self, path: str, problem: str = "") -> Response:
        status = 401 if problem else 200
        elsewhere = self._signing.elsewhere
        return self._site.page("sign-in.html", status=status, path=path, problem=problem, elsewhere=elsewhere)

    async def leave(self, request: Request) -> Response:
        """Send somebody to the provider of OpenID Connect."""
        url, cookie = await self._signing.leave(local_path(request.query_params.get("next", "/")))
        response = RedirectResponse(url, 303, headers=HEADERS)
        cookie.put(response)
        return response

    async def come_back(self, request: Request) -> Response:
        """Sign in who comes back from there."""
        attempt = Cookie(self._site.credentials.cookies.attempt)
        try:
            cookie, path = await self._signing.come_back(request)
        except Unauthenticated as refused:
            current().code = "unauthenticated"
            response = self._form("/", refused.message)
            attempt.put(response)
            return response
        response = _to(path)
        attempt.put(response)
        cookie.put(response)
        return response

    async def sign_in(self, request: Request) -> Response:
        """Sign in with the token of a form, or of a JSON object."""
        check_not_foreign(request.headers)
        raw = await whole(request, MOST)
        if request.headers.get("content-type", "").startswith("application/json"):
            cookie = await self._signing.begin(str(object_in(raw).get("token", "")).strip())
            response: Response = JSONResponse({"maxAgeSeconds": cookie.seconds}, headers=HEADERS)
            cookie.put(response)
            return response
        fields = parse_qs(raw.decode(errors="replace"))
        path = local_path(fields.get("next", ["/"])[-1])
        try:
            cookie = await self._signing.begin(fields.get("token", [""])[-1].strip())
        except Unauthenticated as refused:
            current().code = "unauthenticated"
            return self._form(path, refused.message)
        return _to(path, cookie)

    async def sign_out(self, request: Request) -> Response:
        """Sign out."""
        return _to("/sign-in", await self._signing.end(request))

    async def open(self, request: Request) -> Response:
        """Sign in by a link and go where it leads; a look ahead does not use it up."""
        if _ahead(request):
            return _not_yet()
        try:
            cookie, path = await self._signing.open(request.path_params["code"])
        except Unauthenticated:
            return self._site.page("gone.html", status=410, what="link")
        return _to(path, cookie)

    async def enter(self, request: Request) -> Response:
        """Let a visitor in and show what is shared."""
        try:
            cookie, path = await self._shares.enter(request.path_params["code"])
        except NotFound:
            return self._site.page("gone.html", status=410, what="share")
        return _to(path, cookie)


def _to(path: str, cookie: Cookie | None = None) -> Response:
    response = RedirectResponse(quote(path, safe="/?&=%#:;,+@!$'()*~"), 303, headers=HEADERS)
    if cookie:
        cookie.put(response)
    return response


def _ahead(request: Request) -> bool:
    """Return whether somebody only looks whether the link leads anywhere."""
    told = (request.headers.get(name, "").lower() for name in PREFETCH)
    return request.method == "HEAD" or any("prefetch" in one or "preview" in one for one in told)


def _not_yet() -> Response:
    """Return an answer that no browser keeps for the time when the link is really opened."""
    return Response(status_code=503, headers={**HEADERS, "retry-after": "1"})
