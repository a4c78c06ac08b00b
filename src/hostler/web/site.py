"""What every page shares: its templates, its static files, its headers, and how a refusal looks in a browser."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from hostler.api.auth import Credentials
from hostler.api.call import Caller, current
from hostler.api.errors import hints, status_of, wire_error
from hostler.api.parts import ApiParts
from hostler.core.errors import NotFound
from hostler.core.ports import Principal

HERE = Path(__file__).parent
STATIC = HERE / "static"
POLICY: Mapping[str, str] = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data: blob:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
    "base-uri": "'none'",
}
"""The content security policy of every page."""
HEADERS = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",  # with no-referrer, browsers send our own forms with `Origin: null`
    "cross-origin-opener-policy": "same-origin",
}
Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Site:
    """What handlers of pages are given."""

    parts: ApiParts
    credentials: Credentials

    def page(self, template: str, *, status: int = 200, styles: str = "", **shown: Any) -> HTMLResponse:
        """Return a page; `styles` are further sources of styles for a page whose library makes some by itself."""
        caller = current().caller
        on = self.parts.operations.maintained()
        html = (
            templates()
            .get_template(template)
            .render(version=self.parts.version, principal=_named(caller), maintenance=on.told if on else "", **shown)
        )
        return HTMLResponse(html, status, headers={**HEADERS, "content-security-policy": policy(styles)})

    def route(self, path: str, handler: Handler, methods: tuple[str, ...] = ("GET",)) -> Route:
        """Return a route whose refusals are pages, and which sends people who are not signed in to do so."""

        async def shown(request: Request) -> Response:
            try:
                return await handler(request)
            except Exception as error:  # noqa: BLE001 whatever it was, a browser gets a page
                return self.refusal(request, error)

        return Route(path, shown, methods=list(methods))

    def refusal(self, request: Request, error: Exception) -> Response:
        """Return the page for an error; nothing but an id is told of an unexpected one."""
        told = wire_error(error, current().request_id)
        current().code = told.code.value
        status = status_of(told)
        if status == 401 and request.method == "GET" and "text/html" in request.headers.get("accept", ""):
            query = urlencode([pair for pair in request.query_params.multi_items() if pair[0] != "token"])
            asked = f"{request.url.path}?{query}" if query else request.url.path
            return RedirectResponse(f"/sign-in?next={quote(asked)}", 303, headers=HEADERS)
        # The name of a field is for those who wrote the request.
        words = f"{error.message[:1].upper()}{error.message[1:]}." if isinstance(error, NotFound) else told.message
        title = TITLES.get(status, "That did not work")
        page = self.page("refused.html", status=status, title=title, told=words)
        page.headers.update(hints(told))
        return page


def _named(caller: Caller | None) -> Principal | None:
    """Return who is named at the top of a page, beside the way to the others: nobody for visitors."""
    return caller.principal if caller and not caller.only else None


TITLES = {
    400: "That was not understood",
    401: "You are not signed in",
    403: "That is not allowed",
    404: "There is nothing here",
    429: "That is too much",
    503: "The server cannot do that now",
}


def policy(styles: str = "") -> str:
    """Return the content security policy."""
    sources = {**POLICY, "style-src": f"{POLICY['style-src']} {styles}".strip()}
    return "; ".join(f"{name} {value}" for name, value in sources.items())


def static() -> BaseRoute:
    """Return the route of the static files."""
    return Mount("/static/{version}", StaticFiles(directory=STATIC))


@cache
def asset(name: str) -> str:
    """Return the address of a static file; it changes when any of them does, for modules import each other by it."""
    digest = hashlib.sha256()
    for file in sorted(STATIC.iterdir()):
        digest.update(file.read_bytes())
    return f"/static/{digest.hexdigest()[:12]}/{name}"


@cache
def templates() -> Environment:
    """Return the templates; what is shown is escaped, and a name that is missing is an error."""
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["asset"] = asset
    return environment
