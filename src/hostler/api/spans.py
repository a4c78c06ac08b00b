"""What tracing needs of the border: a span for each request, where tracing is on."""

from collections.abc import Mapping
from typing import Any, Protocol

from starlette.types import Scope


class Spans(Protocol):
    """Makes spans of requests."""

    def begin(self, scope: Scope, headers: Mapping[str, str]) -> Any:
        """Begin a span; `traceparent` of the headers is its parent."""
        ...

    def end(self, span: Any, name: str, status: int, code: str, execution: str) -> None:
        """End a span that `begin` gave."""
        ...


class NoSpans:
    """Makes none. Implements `Spans`."""

    def begin(self, scope: Scope, headers: Mapping[str, str]) -> Any:
        """Begin nothing."""

    def end(self, span: Any, name: str, status: int, code: str, execution: str) -> None:
        """End nothing."""
