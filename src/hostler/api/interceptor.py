"""What every call of every service goes through, once: authentication, the query's page, validation, errors."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from hashlib import sha256
from typing import Any, cast

from connectrpc.errors import ConnectError
from connectrpc.request import RequestContext
from protobuf import DescMessage

from hostler.api.auth import Credentials, short_of
from hostler.api.call import Call, Caller, check_validity, current, meant_for
from hostler.api.errors import hints, wire_error
from hostler.api.naming import READING
from hostler.api.retries import Retries
from hostler.api.trail import subject_in
from hostler.api.validation import check
from hostler.contract.gitpod.v1.pagination_pb import PaginationRequest
from hostler.core.errors import InvalidArgument, PermissionDenied

OPS = "supervisor.v1.EnvironmentOpsService"
AGENTS = "gitpod.v1.AgentService"
CONVERSING = ("GetAgentExecution", "SendToAgentExecution")
"""What a conversation token is good for beside the stream, for its own execution."""


class Authenticate:
    """Runs before the body is read; what it raises is answered in the caller's protocol."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    async def on_start(self, ctx: RequestContext[Any, Any]) -> None:
        """Find out who calls."""
        call = current()
        ctx.response_headers["x-request-id"] = call.request_id
        try:
            call.caller = await self._caller(ctx, call)
            if not call.caller.may_change and not ctx.method.name.startswith(READING):
                raise PermissionDenied(short_of(call.caller))
        except Exception as error:
            told = wire_error(error, call.request_id)
            _note(ctx, call, told)
            raise told from error

    async def on_end(self, token: None, ctx: RequestContext[Any, Any], error: Exception | None) -> None:
        """Add the headers that go with an error."""
        if error is not None:
            _note(ctx, current(), wire_error(error, current().request_id))

    async def _caller(self, ctx: RequestContext[Any, Any], call: Call) -> Caller:
        headers, changing = ctx.request_headers, ctx.http_method != "GET"
        if ctx.method.service_name == AGENTS and ctx.method.name in CONVERSING:
            return await self._credentials.of(headers, "conversation", changing=changing)
        if ctx.method.service_name != OPS:
            return await self._credentials.of(headers, changing=changing)
        caller = await self._credentials.of(headers, "environment", changing=changing)
        meant_for(caller, call.environment, "environment")
        return caller


class Gate:
    """Validates and maps errors; nothing is checked again behind it."""

    def __init__(self, retries: Retries) -> None:
        self._retries = retries

    async def intercept_unary(
        self, call_next: Callable[[Any, Any], Awaitable[Any]], request: Any, ctx: RequestContext[Any, Any], /
    ) -> Any:
        """Answer one request."""
        call = current()
        try:
            turn_to_page(request, call)
            check(request)
            if execution := getattr(request, "agent_execution_id", ""):
                call.about(execution.lower())
            if call.caller is not None and call.caller.kind == "conversation":
                meant_for(call.caller, request.agent_execution_id.lower(), "agent execution")
            if ctx.method.name.startswith(READING):
                return await call_next(request, ctx)
            call.subject = subject_in(ctx.method.name, request, None)
            if ctx.method.service_name == OPS:
                call.subject = ("environment", call.environment)
                return await call_next(request, ctx)
            key, again = _repeat(request, ctx, call)
            answer = await self._retries.once(key, again=again, work=lambda: call_next(request, ctx))
            call.subject = subject_in(ctx.method.name, request, answer)
            return answer
        except Exception as error:
            raise wire_error(error, call.request_id) from error

    async def intercept_server_stream(
        self, call_next: Callable[[Any, Any], AsyncIterator[Any]], request: Any, ctx: RequestContext[Any, Any], /
    ) -> AsyncIterator[Any]:
        """Answer one request with a stream."""
        call = current()
        try:
            check(request)
            if execution := getattr(request, "agent_execution_id", ""):
                call.about(execution.lower())
            call.subject = ("environment", call.environment) if call.environment else call.subject
            async with aclosing(cast("AsyncGenerator[Any]", call_next(request, ctx))) as messages:
                async for message in messages:
                    check_validity()
                    yield message
        except Exception as error:
            raise wire_error(error, call.request_id) from error


def turn_to_page(request: Any, call: Call) -> None:
    """Let the page of the query win over the body's: older clients repeat the body and put the page there."""
    if call.page.token is None and call.page.size is None:
        return
    desc: DescMessage = request.desc()
    if not any(field.name == "pagination" for field in desc.fields):
        return
    page: PaginationRequest = request.pagination or PaginationRequest()
    if call.page.token is not None:
        page.token = call.page.token
    if call.page.size is not None:
        if not (call.page.size.isascii() and call.page.size.isdigit() and len(call.page.size) < 10):
            raise InvalidArgument("a number from 0 to 100 is needed", field="pageSize")
        page.page_size = int(call.page.size)
    request.pagination = page


def _repeat(request: Any, ctx: RequestContext[Any, Any], call: Call) -> tuple[str, bool]:
    """Return the key of a request that may come again, and whether this is the repeat."""
    count = ctx.request_headers.get("x-stainless-retry-count", "")
    if not count:
        return "", False
    body = sha256(request.to_json().encode()).hexdigest()
    return f"{call.principal.id} {ctx.method.service_name}/{ctx.method.name} {body}", count != "0"


def _note(ctx: RequestContext[Any, Any], call: Call, error: ConnectError) -> None:
    call.code = error.code.value
    for name, value in hints(error).items():
        ctx.response_headers[name] = value
