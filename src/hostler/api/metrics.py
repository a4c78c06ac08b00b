"""GET /metrics in the text form of Prometheus, or of OpenMetrics for those who ask for it.

Behind an API token, unless the request comes over loopback to a server that listens on loopback: a scraper on the same
machine needs none. What a proxy passed on, or a page of another name, does not count as such.
"""

import ipaddress
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hostler.core.meters import Meters, meters

if TYPE_CHECKING:
    from hostler.api.auth import Credentials

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPEN = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PASSED_ON = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
"""Headers that a proxy adds."""
LOCAL = ("localhost", "127.0.0.1", "[::1]")


async def _nothing() -> None:
    """Look nothing up."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The metrics, and what has to be looked up before they are written."""

    meters: Meters = field(default_factory=meters)
    refresh: Callable[[], Awaitable[None]] = _nothing


class Metrics:
    """The handler."""

    def __init__(self, measured: Measured, credentials: "Credentials", *, loopback: bool) -> None:
        self._measured = measured
        self._credentials = credentials
        self._loopback = loopback

    def routes(self) -> list[Route]:
        """Return the route."""
        return [Route("/metrics", self.serve, methods=["GET"])]

    async def serve(self, request: Request) -> Response:
        """Answer one scrape."""
        if not (self._loopback and from_here(request)):
            await self._credentials.person(request)
        await self._measured.refresh()
        openly = "application/openmetrics-text" in request.headers.get("accept", "")
        text = self._measured.meters.registry.text(openmetrics=openly)
        return Response(text, headers={"content-type": OPEN if openly else TEXT, "cache-control": "no-store"})


def from_here(request: Request) -> bool:
    """Return whether a request was sent on this machine, by a program that meant this machine."""
    if request.client is None or any(name in request.headers for name in PASSED_ON):
        return False
    host = request.headers.get("host", "")
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    try:
        return ipaddress.ip_address(request.client.host).is_loopback and name.lower() in LOCAL
    except ValueError:
        return False
