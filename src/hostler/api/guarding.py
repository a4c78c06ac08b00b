"""What stands around every request beside its answer: counting, rates, the audit log, maintenance mode.

`Access` asks it when a request comes and tells it how it ended; nothing else has to think of any of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog
from starlette.routing import BaseRoute
from starlette.types import Message, Scope, Send

from hostler.api.call import Call, Caller
from hostler.api.metrics import Measured
from hostler.api.naming import Names, changes, parameters
from hostler.api.rates import Rates
from hostler.api.spans import NoSpans, Spans
from hostler.api.trail import Trail, made
from hostler.core.errors import Unavailable
from hostler.core.maintenance import RETRY_AFTER, MaintenanceSwitch

BEGINNING = frozenset(
    {
        "AgentService/StartAgent",
        "AgentService/SendToAgentExecution",
        "EnvironmentService/CreateEnvironment",
        "EnvironmentService/CreateEnvironmentFromProject",
        "EnvironmentService/StartEnvironment",
        "POST /api/hostler/v1/executions/{execution}/inputs",
        "POST /api/hostler/v1/executions/{execution}/restore",
        "POST /api/hostler/v1/environments",
    }
)
"""What begins something new, and is refused in maintenance mode."""
LETTING_IN = ("POST /sign-in", "GET /open/{code}", "GET /sign-in/callback", "GET /sign-in/return")
"""Routes whose answer may sign somebody in; `call.signed_in` says so where it is another one."""


@dataclass(slots=True)
class Watched:
    """One request under way."""

    scope: Scope
    headers: Mapping[str, str]
    call: Call
    open_as: str
    status: int = 0
    held: Message | None = None
    """The beginning of an answer that waits until it is written in the audit log how the change ended."""
    written: bool = False
    span: object | None = None


class Guard:
    """Stands around requests."""

    def __init__(
        self, measured: Measured, rates: Rates, trail: Trail, maintenance: MaintenanceSwitch, spans: Spans | None = None
    ) -> None:
        self.rates = rates
        self._meters = measured.meters
        self._trail = trail
        self._maintenance = maintenance
        self._spans = spans or NoSpans()
        self._names = Names((), ())

    def learn(self, routes: Sequence[BaseRoute], methods: Sequence[str]) -> None:
        """Know what is served."""
        self._names = Names(routes, methods)

    def begin(self, scope: Scope, headers: Mapping[str, str], call: Call) -> Watched:
        """Take a request that has come; raises TooMany from `admit` later, never here."""
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=call.request_id)
        watched = Watched(scope, headers, call, self._names.streaming(scope))
        if watched.open_as:
            self._meters.open_requests.add(watched.open_as)
        watched.span = self._spans.begin(scope, headers)
        call.admit = self._admit(watched)
        return watched

    def _admit(self, watched: Watched):
        """Return what is done as soon as the caller is known, before anything else is."""

        async def admit(caller: Caller) -> None:
            name = self._names.of(watched.scope)
            if not changes(name):
                return
            if name in BEGINNING and (on := await self._maintenance.current()):
                raise Unavailable(on.told, retry_after=RETRY_AFTER)
            if first := self._trail.admitting(watched.call, name, watched.scope):
                await first(caller)

        return admit

    async def sending(self, watched: Watched, message: Message, send: Send) -> None:
        """Pass on a piece of an answer; how a change of administration ended is written before it is told."""
        if message["type"] == "http.response.start":
            watched.status = message["status"]
            if watched.call.entry and not watched.written:
                watched.held = message
                return
        if watched.held is not None:
            held, watched.held = watched.held, None
            if not watched.call.subject[1] and watched.status == 201:
                watched.call.subject = made(self._names.of(watched.scope), message.get("body", b""))
            await self._write(watched)
            await send(held)
        await send(message)

    async def ended(self, watched: Watched, seconds: float) -> None:
        """Note how a request ended."""
        name, call = self._names.of(watched.scope), watched.call
        if watched.open_as:
            self._meters.open_requests.add(watched.open_as, by=-1)
        code = call.code or ("ok" if watched.status < 400 else str(watched.status))
        if watched.scope["type"] == "http":
            self._meters.requests.see(seconds, name, code)
        self.rates.ended(watched.scope, watched.headers, call, watched.status)
        self._spans.end(watched.span, name, watched.status, code, self.execution(watched))
        if not watched.written:
            await self._write(watched)

    def repeated(self, caller: Caller, name: str, seconds: float) -> None:
        """Note an answer that was given once more from memory."""
        self._meters.requests.see(seconds, name, "ok")

    def execution(self, watched: Watched) -> str:
        """Return the execution that a request is about, if it is about one."""
        kind, id_ = watched.call.subject
        found = parameters(watched.scope).get("execution", "")
        return watched.call.execution or (id_ if kind == "agent_execution" else str(found).lower())

    async def _write(self, watched: Watched) -> None:
        watched.written = True
        name = self._names.of(watched.scope)
        signed_in = name in LETTING_IN and watched.call.caller is not None and watched.status in (200, 303)
        await self._trail.ended(watched.call, name, watched.scope, watched.status, signed_in=signed_in)
