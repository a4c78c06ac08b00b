"""Cookies of signed-in people and of visitors, and the proof that a request by cookie comes from our own page.

Their names differ from server to server, because browsers keep cookies for a host whatever its port.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import urlsplit

from starlette.requests import cookie_parser
from starlette.responses import Response

from hostler.api.call import current
from hostler.core.errors import PermissionDenied

FOREIGN = "only the pages of this server may ask for this:"
PORTS = {"http": 80, "https": 443}
OF_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain")
"""Bodies that a page of anybody can send here without being asked whether it may."""


@dataclass(frozen=True, slots=True)
class Cookie:
    """A cookie to set; without a value it is taken away."""

    name: str
    value: str = ""
    seconds: int = 0

    def put(self, response: Response) -> None:
        """Set it: not for scripts, not for other sites, and over TLS only where the server is reached so."""
        secure = current().origin.startswith("https:")
        response.set_cookie(
            self.name, self.value, max_age=self.seconds, path="/", secure=secure, httponly=True, samesite="lax"
        )


class CookieNames:
    """How the cookies of one server are called."""

    def __init__(self, server: str) -> None:
        self._mark = sha256(server.encode()).hexdigest()[:8]

    @property
    def sign_in(self) -> str:
        """Return the name of the cookie of signed-in people."""
        return f"hostler-{self._mark}"

    @property
    def attempt(self) -> str:
        """Return the name of the cookie of those who are signing in elsewhere."""
        return f"hostler-{self._mark}-attempt"

    def share(self, execution: str) -> str:
        """Return the name of the cookie of an execution's visitors."""
        return f"hostler-{self._mark}-{execution}"


def cookies_of(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the cookies of a request."""
    return cookie_parser(headers.get("cookie", ""))


def check_ours(headers: Mapping[str, str], *, form: bool = False) -> None:
    """Raise PermissionDenied unless a page of this server sends the request; `form` lets forms do so too.

    Browsers say with every changing request which page sends it, and no page can make them lie.
    """
    if _place(headers.get("origin", "")) != _place(current().origin):
        raise PermissionDenied(f"{FOREIGN} {_where(headers)}")
    if headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise PermissionDenied(f"{FOREIGN} the browser says that the page is of another site (Sec-Fetch-Site)")
    if not form and not _plainly_ours(headers):
        raise PermissionDenied("with a cookie, a body must be JSON (see Content-Type)")


def check_not_foreign(headers: Mapping[str, str]) -> None:
    """Raise PermissionDenied when a browser says that the page of another site sends the request."""
    origin = headers.get("origin", "")
    if origin and _place(origin) != _place(current().origin):
        raise PermissionDenied(f"{FOREIGN} {_where(headers)}")
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise PermissionDenied(f"{FOREIGN} the browser says that the page is of another site (Sec-Fetch-Site)")


def _where(headers: Mapping[str, str]) -> str:
    """Return where a request comes from and where it should have come from, and the usual reason."""
    given, ours = headers.get("origin", "")[:200] or "nowhere", current().origin
    return f"it comes from {given} and not from {ours} (Origin); behind a proxy, set server.public_url"


def _plainly_ours(headers: Mapping[str, str]) -> bool:
    """Return whether a page of another site would have had to ask before it sent such a body."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind:
        return kind not in OF_FORMS
    return headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers


def _place(url: str) -> tuple[str, str, int] | None:
    """Return scheme, host and port of an address; None of what is none, such as `null`."""
    try:
        parts = urlsplit(url.lower())
        port = parts.port or PORTS.get(parts.scheme, 0)
    except ValueError:
        return None
    return (parts.scheme, parts.hostname, port) if parts.scheme in PORTS and parts.hostname else None
