"""Which calls of services another runner answers, by what their requests name, and how they are passed on.

The caller is known here already, and the request was checked; the holder checks both again.
"""

import base64
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from connectrpc.code import Code
from connectrpc.errors import ConnectError, ErrorDetail
from connectrpc.request import RequestContext
from protobuf.wkt import Any as Any_

from hostler.api.call import current
from hostler.api.forwarding import MARK, OF_ONE_HOP, Peer, holder_of
from hostler.api.parts import ApiParts
from hostler.core.errors import FailedPrecondition, NotFound, Unavailable
from hostler.core.runners import RunnerSeen

Named = tuple[str, str]
"""How a runner was named: `environment`, `runner`, `execution`, `token` or `class`, and the id."""
OF_BODIES = frozenset(
    {"content-type", "content-length", "content-encoding", "accept-encoding", "connect-protocol-version"}
)


class Elsewhere:
    """Passes on calls to the runner that they are for; what names a runner that is away is refused."""

    def __init__(self, parts: ApiParts, peer: Peer) -> None:
        self._parts = parts
        self._peer = peer

    async def intercept_unary(
        self, call_next: Callable[[Any, Any], Awaitable[Any]], request: Any, ctx: RequestContext[Any, Any], /
    ) -> Any:
        """Answer one request, here or elsewhere."""
        holder = await self._holder(request, ctx)
        return await call_next(request, ctx) if holder is None else await self._ask(holder, request, ctx)

    async def _holder(self, request: Any, ctx: RequestContext[Any, Any]) -> RunnerSeen | None:
        asks = ASKS.get(ctx.method.name)
        kind, name = asks(request) if asks else ("", "")
        if not name:
            return None
        runner = await self._runner(kind, name)
        if not runner or runner == self._parts.runner_id:
            return None
        marked = {MARK} if MARK in ctx.request_headers else set[str]()
        if holder := await holder_of(self._parts, runner, marked):
            return holder
        if kind != "runner":
            return None  # The service itself says what cannot be done without the holder.
        if self._parts.peers.get(runner) is None:
            raise NotFound("there is no such runner", field="runner_id")
        if self._parts.peers.live(runner):
            raise Unavailable(f"runner {self._parts.peers.said(runner)} could not be reached from here")
        raise FailedPrecondition(f"runner {self._parts.peers.said(runner)} is away", field="runner_id")

    async def _runner(self, kind: str, name: str) -> str:
        match kind:
            case "environment":
                row = await self._parts.environment_rows.get(name)
                return row.runner if row else ""
            case "token":
                token = await self._parts.host_tokens.get(name)
                return token.runner if token else ""
            case "class":
                return self._with_class(name)
            case _:
                return name

    def _with_class(self, class_id: str) -> str:
        """Return a live runner that has a class which this one has not."""
        if class_id in (one.id for one in self._parts.classes):
            return ""
        peers = self._parts.peers
        fits = (one.id for one in peers.all() if class_id in one.details.get("classes", ()) and peers.live(one.id))
        return next(fits, "")

    async def _ask(self, holder: RunnerSeen, request: Any, ctx: RequestContext[Any, Any]) -> Any:
        import httpx2

        headers = [(n.encode(), v.encode()) for n, v in ctx.request_headers.items() if n not in OF_BODIES | OF_ONE_HOP]
        headers.append((b"content-type", b"application/proto"))
        url = httpx2.URL(holder.url, path=f"/api/{ctx.method.service_name}/{ctx.method.name}")
        try:
            answer = await self._peer.client().post(
                url, headers=self._peer.headers(headers), content=request.to_binary()
            )
        except httpx2.TransportError:
            raise Unavailable(f"runner {holder.said} could not be reached from here", retry_after=2.0) from None
        current().elsewhere = True
        if answer.status_code != 200:
            raise _refusal(answer.content, answer.headers)
        return ctx.method.output.from_binary(answer.content)


def _refusal(body: bytes, headers: Mapping[str, str]) -> ConnectError:
    """Return the error that a runner answered with."""
    try:
        said = json.loads(body)
        details = [
            ErrorDetail(
                Any_(type_url=f"type.googleapis.com/{one['type']}", value=base64.b64decode(one["value"] + "=="))
            )
            for one in said.get("details", ())
        ]
        error = ConnectError(Code(said["code"]), str(said.get("message", "")), details)
    except (ValueError, KeyError, TypeError):
        return ConnectError(Code.UNAVAILABLE, "the runner that was asked answered with something else")
    if error.code is Code.UNAVAILABLE:
        after = headers.get("retry-after", "1")
        error.__cause__ = Unavailable(error.message, retry_after=float(after) if after.isdigit() else 1.0)
    return error


def _environment(request: Any) -> Named:
    return "environment", request.environment_id.lower()


def _runner(request: Any) -> Named:
    return "runner", (request.runner_id or "").lower()


def _starting(request: Any) -> Named:
    context = request.code_context.context if request.code_context else None
    if context is not None and context.field == "environment_id":
        return "environment", str(context.value).lower()
    if request.runner_id:
        return _runner(request)
    url = context.value if context is not None and context.field == "context_url" else None
    return "class", url.environment_class_id.lower() if url else ""


def _making(request: Any) -> Named:
    machine = request.spec.machine if request.spec else None
    return "class", machine.class_.lower() if machine else ""


def _classes(request: Any) -> Named:
    runners = request.filter.runner_ids if request.filter else ()
    return "listed", runners[0].lower() if len(runners) == 1 else ""


def _token(request: Any) -> Named:
    return "token", request.id.lower()


def _tokens(request: Any) -> Named:
    return "listed", ((request.filter.runner_id if request.filter else "") or "").lower()


ASKS: Mapping[str, Callable[[Any], Named]] = {
    "StartAgent": _starting,
    "CreateEnvironment": _making,
    "CreateEnvironmentFromProject": _making,
    **dict.fromkeys(
        (
            "StartEnvironment",
            "StopEnvironment",
            "DeleteEnvironment",
            "UpdateEnvironment",
            "ArchiveEnvironment",
            "UnarchiveEnvironment",
            "MarkEnvironmentActive",
        ),
        _environment,
    ),
    "ListEnvironmentClasses": _classes,
    "ParseContextURL": _runner,
    "CheckAuthenticationForHost": _runner,
    "CreateHostAuthenticationToken": _runner,
    "GetHostAuthenticationToken": _token,
    "UpdateHostAuthenticationToken": _token,
    "DeleteHostAuthenticationToken": _token,
    "ListHostAuthenticationTokens": _tokens,
}
"""By the method's name: what its request names."""
