"""What a request is called: the method of a service, or the verb and pattern of a route; never its address.

These names stand in metrics, in the audit log and in traces, so there are only so many of them.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.types import Scope

VERBS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
OTHER = "other"
READING = ("Get", "List", "Watch", "Read", "Parse", "Check", "Find")
"""How the names of methods begin that change nothing."""
LIVE = "GET /api/executions/{execution}/live"


class Names:
    """Finds the name of a request; that of a route is known once it was found."""

    def __init__(self, routes: Sequence[BaseRoute], methods: Iterable[str]) -> None:
        self._methods = {_tail(path): _short(_tail(path)) for path in methods}
        self._patterns: dict[int, str] = {}
        self._learn(routes)

    def _learn(self, routes: Sequence[BaseRoute]) -> None:
        for route in routes:
            match route:
                case Route() | WebSocketRoute():
                    self._patterns[id(route.endpoint)] = route.path
                case Mount():
                    self._learn(route.routes)
                case _:
                    pass

    def method(self, path: str) -> str:
        """Return the name of a service's method, such as AgentService/StartAgent; nothing for any other path."""
        return self._methods.get(_tail(path), "") if path.startswith("/api/") else ""

    def of(self, scope: Scope) -> str:
        """Return the name of a request that was routed."""
        if name := self.method(scope["path"]):
            return name
        pattern = self._patterns.get(id(scope.get("endpoint")), "")
        verb = "WS" if scope["type"] == "websocket" else scope["method"]
        return f"{verb} {pattern}" if pattern and (verb in VERBS or verb == "WS") else OTHER

    def streaming(self, scope: Scope) -> str:
        """Return the name of a request that stays open for as long as somebody watches, else of a method or nothing."""
        if scope["path"].endswith("/live") and scope["path"].startswith("/api/executions/"):
            return LIVE
        return self.method(scope["path"])


def changes(name: str) -> bool:
    """Return whether a request of this name may change something."""
    service, _, method = name.partition("/")
    if service and not service.endswith(" "):
        return not method.startswith(READING)
    return name.partition(" ")[0] not in ("GET", "HEAD", OTHER)


def parameters(scope: Scope) -> Mapping[str, Any]:
    """Return what a route's pattern found in the path."""
    return scope.get("path_params") or {}


def _tail(path: str) -> str:
    return "/".join(path.rsplit("/", 2)[-2:])


def _short(tail: str) -> str:
    """Return gitpod.v1.AgentService/StartAgent without its package."""
    return tail.rpartition(".")[2]
