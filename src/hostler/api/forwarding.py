"""What only the holder can answer is passed on to the runner that holds it, as it came, and so is the answer.

Environments, the text that is being said, kept work and credentials belong to one runner. A request carries its own
caller's credential, which every process knows, and one header that keeps it from being passed on twice. Where the
holder is away, or cannot be reached, the request is answered here: by the log as far as that goes, else by a refusal.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import structlog
from starlette.routing import BaseRoute, Router
from starlette.types import Message, Receive, Scope, Send

from hostler.api.call import among, current
from hostler.api.parts import ApiParts
from hostler.core.errors import Unavailable
from hostler.core.outside import Proxy
from hostler.core.runners import RunnerSeen

log = structlog.get_logger(__name__)

MARK = "hostler-forwarded-by"
"""The header of a request that was passed on once."""
CONNECT_SECONDS = 5.0
HOUSE = "/api/hostler/v1"
ID = "([0-9a-fA-F-]{36})"
OF_ENVIRONMENT = re.compile(
    rf"/api/environments/{ID}/(?:ops|logs)(?:/.*)?|/environments/{ID}/terminals/.*|{HOUSE}/environments/{ID}/(?:hosts|work)(?:/.*)?"
)
OF_EXECUTION = re.compile(
    rf"/api/executions/{ID}/(?:live|bundle)|/executions/{ID}/(?:events|changes|panel)"
    rf"|{HOUSE}/executions/{ID}/(?:diff|restore)"
)
LOCAL_TOO = re.compile(r".*/(live|events|panel|bundle|changes)")
"""What the log can answer in part, so that it is not refused where the holder cannot be reached."""
OF_ONE_HOP = frozenset(
    {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "proxy-authorization"}
)
OF_PROXIES = frozenset({"forwarded", "x-forwarded-for", "x-real-ip"})
"""By which a proxy says for whom it asks; a client may write them as well."""
OF_SOCKETS = re.compile(r"sec-websocket-.*|connection|upgrade|host|content-length")
AWAY, LEFT = 1011, 1001
"""Close codes: the holder went without one; the caller did."""
UNSAID = frozenset({1004, 1005, 1006, 1015})
"""Close codes that only say how a connection ended, and may not be sent."""


class Peer:
    """The way to the other processes: one client for all of them, made when it is first needed."""

    def __init__(self, me: str, proxy: Proxy | None = None) -> None:
        self._me = me
        self._proxy = proxy
        self._client: Any = None

    def client(self) -> Any:
        """Return the client; it follows nothing, keeps no cookies and waits for answers as long as they take."""
        if self._client is None:
            import httpx2

            self._client = httpx2.AsyncClient(
                timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS),
                limits=httpx2.Limits(max_connections=None, max_keepalive_connections=32),
                trust_env=False,
            )
        return self._client

    def headers(self, headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """Return a request's headers as they are passed on.

        What a proxy says of people and addresses goes on as it was understood here: the holder sees that the request
        comes from this machine, which it may believe, and must not believe a stranger's word for it.
        """
        call = current()
        left_out = OF_ONE_HOP | OF_PROXIES | {"x-request-id"}
        if self._proxy and not among(call.peer, self._proxy.addresses):
            left_out |= {self._proxy.header.lower()}
        kept = [(name, value) for name, value in headers if name.decode("latin-1").lower() not in left_out]
        if call.client:
            kept.append((b"x-forwarded-for", call.client.encode("latin-1", "replace")))
        return [*kept, (b"x-request-id", call.request_id.encode()), (MARK.encode(), self._me.encode())]


class Forwarding:
    """Passes on requests for paths that another runner answers."""

    def __init__(self, app: Router, parts: ApiParts, peer: Peer) -> None:
        self._app = app
        self._parts = parts
        self._peer = peer

    @property
    def routes(self) -> Sequence[BaseRoute]:
        """Return all that is served."""
        return self._app.routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, here or elsewhere."""
        holder = await self._elsewhere(scope) if scope["type"] in ("http", "websocket") else None
        if holder is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await _Socket(self._peer, holder).serve(scope, receive, send)
        else:
            await self._pass_on(holder, scope, receive, send)

    async def _elsewhere(self, scope: Scope) -> RunnerSeen | None:
        """Return the runner that is to answer; None for this one."""
        if self._parts.peers.alone:
            return None
        runner = await self._holder(scope["path"])
        if not runner or runner == self._parts.runner_id:
            return None
        return await holder_of(self._parts, runner, {name.decode("latin-1") for name, _ in scope["headers"]})

    async def _holder(self, path: str) -> str:
        if found := OF_ENVIRONMENT.fullmatch(path):
            row = await self._parts.environment_rows.get(_first(found))
            return row.runner if row else ""
        if found := OF_EXECUTION.fullmatch(path):
            execution = await self._parts.executions.row(_first(found))
            return execution.runner if execution else ""
        return ""

    async def _pass_on(self, holder: RunnerSeen, scope: Scope, receive: Receive, send: Send) -> None:
        import httpx2

        body = _Body(receive)
        request = self._peer.client().build_request(
            scope["method"],
            httpx2.URL(holder.url, raw_path=_target(scope)),
            headers=self._peer.headers(scope["headers"]),
            content=body.parts() if scope["method"] not in ("GET", "HEAD") else None,
        )
        try:
            answer = await self._peer.client().send(request, stream=True)
        except httpx2.TransportError as problem:
            log.warning("a runner could not be reached", runner=holder.id, problem=str(problem))
            if scope["method"] == "GET" and LOCAL_TOO.fullmatch(scope["path"]):
                await self._app(scope, receive, send)
                return
            raise Unavailable(f"runner {holder.said} could not be reached from here", retry_after=2.0) from None
        try:
            await self._hand_back(answer, body, send)
        finally:
            await answer.aclose()

    async def _hand_back(self, answer: Any, body: "_Body", send: Send) -> None:
        """Give the answer to the caller as it comes, until it ends or he leaves."""
        headers = [(name.lower(), value) for name, value in answer.headers.raw]
        kept = [(name, value) for name, value in headers if name.decode("latin-1") not in OF_ONE_HOP]
        await send({"type": "http.response.start", "status": answer.status_code, "headers": kept})
        leaving = asyncio.create_task(body.gone())
        telling = asyncio.create_task(_told(answer, send))
        try:
            await asyncio.wait({leaving, telling}, return_when=asyncio.FIRST_COMPLETED)
            if telling.done():
                await telling
        finally:
            for task in (leaving, telling):
                task.cancel()
            await asyncio.wait({leaving, telling})


async def holder_of(parts: ApiParts, runner: str, headers: set[str]) -> RunnerSeen | None:
    """Return a runner if a request is to be passed on to it: it lives, and the request was not passed on before."""
    if MARK in headers:
        return None
    holder = parts.peers.get(runner)
    if holder is None or not holder.url or not parts.peers.live(runner):
        await parts.peers.look()
        holder = parts.peers.get(runner)
    return holder if holder and holder.url and parts.peers.live(runner) else None


def _first(found: re.Match[str]) -> str:
    return next(group for group in found.groups() if group).lower()


def _target(scope: Scope) -> bytes:
    path = cast("bytes", scope.get("raw_path") or scope["path"].encode()).partition(b"?")[0]
    query = cast("bytes", scope.get("query_string", b""))
    return path + (b"?" + query if query else b"")


async def _told(answer: Any, send: Send) -> None:
    import httpx2

    with contextlib.suppress(httpx2.TransportError):  # The other process went in the middle: so does the answer.
        async for data in answer.aiter_raw():
            await send({"type": "http.response.body", "body": data, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return
    raise ConnectionResetError("the runner that answered went away")


class _Body:
    """A request's body as it comes, and then the caller's leaving."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._read = False

    async def parts(self) -> AsyncIterator[bytes]:
        """Yield the body."""
        while not self._read:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ConnectionResetError("the caller went away")
            self._read = not message.get("more_body", False)
            yield cast("bytes", message.get("body", b""))

    async def gone(self) -> None:
        """Return when the caller has left."""
        while (await self._receive())["type"] != "http.disconnect":
            pass


class _Socket:
    """One WebSocket, passed on in both directions."""

    def __init__(self, peer: Peer, holder: RunnerSeen) -> None:
        self._peer = peer
        self._holder = holder

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on until one side closes."""
        from websockets.asyncio.client import connect
        from websockets.exceptions import ConnectionClosed, InvalidHandshake

        await receive()
        headers = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in self._peer.headers(scope["headers"])]
        given = {name: value for name, value in headers if not OF_SOCKETS.fullmatch(name)}
        host = next((value for name, value in headers if name == "host"), "")
        url = "ws" + self._holder.url.removeprefix("http") + _target(scope).decode("latin-1")
        try:
            async with connect(url, additional_headers={**given, "Host": host}, proxy=None, max_size=1 << 20) as far:
                await send({"type": "websocket.accept"})
                with contextlib.suppress(ConnectionClosed):
                    await self._both(far, receive, send)
                code, reason = far.close_code or AWAY, far.close_reason or ""
                if code in UNSAID:
                    code, reason = AWAY, "its runner went away"
                with contextlib.suppress(OSError):  # The caller has gone by himself.
                    await send({"type": "websocket.close", "code": code, "reason": reason})
        except (InvalidHandshake, OSError, TimeoutError):
            await send({"type": "websocket.close", "code": AWAY, "reason": "its runner refused, or is away"})

    async def _both(self, far: Any, receive: Receive, send: Send) -> None:
        async def out() -> None:
            while (message := await receive())["type"] == "websocket.receive":
                await far.send(message["bytes"] if message.get("bytes") is not None else message["text"])
            code = message.get("code") or LEFT
            await far.close(LEFT if code in UNSAID else code)

        async def back() -> None:
            async for data in far:
                told: Message = {"type": "websocket.send", ("text" if isinstance(data, str) else "bytes"): data}
                await send(told)

        tasks = {asyncio.create_task(out()), asyncio.create_task(back())}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
