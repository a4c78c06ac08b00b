"""The outermost layer: request ids, one structured log line a request, and no exception that reaches the network."""

import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import structlog
from starlette.routing import BaseRoute
from starlette.types import Message, Receive, Scope, Send

from hostler.api.call import PEER, Call, begin
from hostler.api.errors import body_of, hints, status_of, wire_error
from hostler.api.fast import PATH as REMEMBERED
from hostler.api.fast import Answer, Answers, Heard, repeat
from hostler.api.forwarding import Forwarding
from hostler.api.guarding import Guard
from hostler.api.naming import parameters
from hostler.core.ambient import Ambient
from hostler.core.errors import TooMany

log = structlog.get_logger(__name__)
SCHEMES = {"ws": "http", "wss": "https"}
"""Pages come from where their WebSockets lead."""
REMEMBERED_AS = "AgentService/GetAgentExecution"
SECRET_PATH = re.compile(r"^/(open|s)/.*", re.DOTALL)
"""Addresses that let in whoever knows them."""
SAFE_ID = re.compile(rb"[A-Za-z0-9_.:-]{1,64}")


class Access:
    """Begins a call, lets it be answered, and writes down what came of it. Queries and bodies are never logged."""

    def __init__(
        self,
        app: Forwarding,
        ambient: Ambient,
        public_url: str,
        answers: Answers,
        guard: Guard,
        write_line: Callable[[str], None] | None = None,
    ) -> None:
        self._app = app
        self._ambient = ambient
        self._public_url = public_url.rstrip("/")
        self._answers = answers
        self._guard = guard
        self._write_line = write_line
        self.keep_up: Callable[[], Coroutine[Any, Any, None]] | None = None
        """Runs beside the requests and ends what stays open when it is not allowed any more."""

    @property
    def routes(self) -> Sequence[BaseRoute]:
        """Return all that is served, so that no table of routes has to be kept beside it."""
        return self._app.routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await self._connected(scope, receive, send)
            return
        started = self._ambient.monotonic()
        asked = await self._answers.asked(scope, receive) if scope["path"] == REMEMBERED else None
        if asked is None:
            await self._answered(scope, receive, send, started)
        elif answer := self._answers.known(asked):
            request_id = self._request_id(next((v for n, v in scope["headers"] if n == b"x-request-id"), b""))
            await repeat(answer, request_id, send)
            self._guard.repeated(answer.caller, REMEMBERED_AS, self._ambient.monotonic() - started)
            self._write_repeat(answer, request_id, started)
        else:
            heard = Heard()
            with self._answers.following(asked):
                call = await self._answered(scope, asked.receive, heard.hearing(send), started)
                self._answers.keep(asked, call, heard)

    async def _answered(self, scope: Scope, receive: Receive, send: Send, started: float) -> Call:
        """Let one request be answered in the ordinary way."""
        call, known = self._begun(scope)
        watched = self._guard.begin(scope, known, call)

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                _identify(message, call.request_id)
            await self._guard.sending(watched, message, send)

        try:
            self._guard.rates.arrive(scope, known)
            await self._app(scope, receive, sending)
        except Exception as error:  # noqa: BLE001 - the last place where an error can be kept from the network
            told = wire_error(error, call.request_id)
            call.code = told.code.value
            if not watched.status or watched.held is not None:
                headers = [JSON, *((name.encode(), value.encode()) for name, value in hints(told).items())]
                await sending({"type": "http.response.start", "status": status_of(told), "headers": headers})
                await sending({"type": "http.response.body", "body": body_of(told)})
        finally:
            seconds = self._ambient.monotonic() - started
            self._write(scope, call, watched.status, seconds)
            await self._guard.ended(watched, seconds)
        return call

    async def _connected(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a WebSocket be served; one that comes too often is refused before it is accepted."""
        call, known = self._begun(scope)
        watched = self._guard.begin(scope, known, call)

        async def sending(message: Message) -> None:
            if message["type"] == "websocket.accept":
                watched.status = 101
            await send(message)

        try:
            self._guard.rates.arrive(scope, known)
            await self._app(scope, receive, sending)
        except TooMany:
            await send({"type": "websocket.close", "code": 1013})
        finally:
            await self._guard.ended(watched, 0.0)

    def _begun(self, scope: Scope) -> tuple[Call, Mapping[str, str]]:
        known = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        call = Call(self._request_id(known.get("x-request-id", "").encode("latin-1")), self._origin(scope, known))
        client = scope.get("client")
        call.client = str(client[0]) if client else ""
        call.peer = str(scope.get(PEER, client[0] if client else ""))
        begin(call)
        return call, known

    def _request_id(self, given: bytes) -> str:
        return given.decode() if SAFE_ID.fullmatch(given) else self._ambient.new_id()

    def _origin(self, scope: Scope, headers: dict[str, str]) -> str:
        if self._public_url:
            return self._public_url
        host = headers.get("host") or ":".join(map(str, scope.get("server") or ("localhost",)))
        scheme = str(scope.get("scheme", "http"))
        return f"{SCHEMES.get(scheme, scheme)}://{host}"

    def _write(self, scope: Scope, call: Call, status: int, seconds: float) -> None:
        more: dict[str, Any] = {"code": call.code} if call.code else {}
        if call.caller is not None:
            more["principal"] = call.caller.principal.id
        if execution := call.execution or parameters(scope).get("execution", ""):
            more["execution"] = str(execution).lower()
        log.info(
            "request",
            request_id=call.request_id,
            method=scope["method"],
            path=SECRET_PATH.sub(r"/\1/…", scope["path"]),
            status=status,
            milliseconds=round(seconds * 1000, 1),
            **more,
        )

    def _write_repeat(self, answer: Answer, request_id: str, started: float) -> None:
        """Write down an answer that was given once more, as `_write` does and as cheaply as can be."""
        milliseconds = round((self._ambient.monotonic() - started) * 1000, 1)
        if self._write_line is None:
            principal = answer.caller.principal.id
            said = {"request_id": request_id, "method": "POST", "path": REMEMBERED, "status": 200}
            log.info("request", **said, milliseconds=milliseconds, principal=principal)
            return
        self._write_line(
            f'{{"request_id": "{request_id}", "method": "POST", "path": "{REMEMBERED}", "status": 200, '
            f'"milliseconds": {milliseconds}, "principal": {answer.principal}, '
            f'"event": "request", "level": "info", "timestamp": "{self._ambient.now().isoformat()[:26]}Z"}}'
        )


JSON = (b"content-type", b"application/json")
POLICY = b"default-src 'none'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
"""The content security policy of what has none of its own, such as fragments of pages: nothing in it does anything."""


def _identify(message: Message, request_id: str) -> None:
    """Put the request's id on its answer, and what keeps a browser from trusting it: agents write much of it."""
    headers = list(message.get("headers", ()))
    known = {name.lower() for name, _ in headers}
    more = (
        (b"x-request-id", request_id.encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"content-security-policy", POLICY),
    )
    message["headers"] = [*headers, *(one for one in more if one[0] not in known)]
