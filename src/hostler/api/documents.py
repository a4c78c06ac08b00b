"""What can be taken along from an execution: the routes of its transcript, its support bundle and its export."""

from starlette.routing import Route

from hostler.api.auth import Credentials
from hostler.api.bundle import Bundles
from hostler.api.export import Exports
from hostler.api.parts import ApiParts
from hostler.api.transcript import Transcripts


class Documents:
    """The handlers below /api/executions/ID."""

    def __init__(self, parts: ApiParts, credentials: Credentials) -> None:
        self._handlers = {
            "transcript": Transcripts(parts, credentials).serve,
            "bundle": Bundles(parts, credentials).serve,
            "export": Exports(parts, credentials).serve,
        }

    def routes(self) -> list[Route]:
        """Return the routes, relative to the server's root."""
        return [
            Route(f"/api/executions/{{execution}}/{name}", handler, methods=["GET"])
            for name, handler in self._handlers.items()
        ]
