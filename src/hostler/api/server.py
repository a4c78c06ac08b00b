"""From the parts to one ASGI application: routes below /api, and the two health checks."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from connectrpc.code import Code
from connectrpc.codec import proto_binary_codec
from connectrpc.compression.gzip import GzipCompression
from connectrpc.errors import ConnectError
from protobuf import DescService
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route, Router
from starlette.types import Receive, Scope, Send

from hostler.api.access import Access
from hostler.api.accounts import Accounts
from hostler.api.agents import Agents
from hostler.api.auth import Credentials, Signer
from hostler.api.codec import StrictJson
from hostler.api.documents import Documents
from hostler.api.edge import BODY, LARGE_BODY, Edge, Service, refuse
from hostler.api.environment_logs import EnvironmentLogs
from hostler.api.environments import Environments
from hostler.api.fast import Answers
from hostler.api.forwarding import Forwarding, Peer
from hostler.api.forwarding_calls import Elsewhere
from hostler.api.guarding import Guard
from hostler.api.history import History
from hostler.api.house import House
from hostler.api.identity import Identity
from hostler.api.interceptor import Authenticate, Gate
from hostler.api.live import Live
from hostler.api.metrics import Metrics
from hostler.api.ops import Ops
from hostler.api.ops_stream import Streams
from hostler.api.parts import ApiParts
from hostler.api.projects import Projects
from hostler.api.rates import Rates
from hostler.api.retries import Retries
from hostler.api.runner_configuration import RunnerConfiguration
from hostler.api.runners import Runners
from hostler.api.saying import Saying
from hostler.api.service_accounts import ServiceAccounts
from hostler.api.shares import Shares
from hostler.api.sighted import sighted
from hostler.api.signing_in import SigningIn
from hostler.api.trail import Trail
from hostler.api.usage import Usage
from hostler.api.user_service import UserAccounts
from hostler.api.watching import Events
from hostler.contract.gitpod.v1.agent_connect import AgentServiceASGIApplication
from hostler.contract.gitpod.v1.environment_connect import EnvironmentServiceASGIApplication
from hostler.contract.gitpod.v1.event_connect import EventServiceASGIApplication
from hostler.contract.gitpod.v1.identity_connect import IdentityServiceASGIApplication
from hostler.contract.gitpod.v1.project_connect import ProjectServiceASGIApplication
from hostler.contract.gitpod.v1.runner_configuration_connect import RunnerConfigurationServiceASGIApplication
from hostler.contract.gitpod.v1.runner_connect import RunnerServiceASGIApplication
from hostler.contract.gitpod.v1.service_account_connect import ServiceAccountServiceASGIApplication
from hostler.contract.gitpod.v1.usage_connect import UsageServiceASGIApplication
from hostler.contract.gitpod.v1.user_connect import UserServiceASGIApplication
from hostler.contract.supervisor.v1.environment_ops_connect import EnvironmentOpsServiceASGIApplication

MoreRoutes = Callable[[ApiParts, Credentials], Sequence[BaseRoute]]
OURS = "hostler.api."
"""Where methods are written; those that only the generated code has are not served."""


def build(parts: ApiParts, more: MoreRoutes | None = None) -> Access:
    """Return the application; `more` makes the routes beside the API, such as the pages."""
    signer = Signer(parts.signing_key, parts.ambient)
    credentials = Credentials(parts, signer)
    peer, unsighted = Peer(parts.runner_id, parts.outside.proxy), parts
    parts = sighted(parts, credentials.sight)
    accounts = Accounts(parts, credentials)
    gate = [Authenticate(credentials), Gate(Retries(parts.ambient)), Elsewhere(parts, peer)]
    edge = Edge(
        [
            _service(AgentServiceASGIApplication, Agents(parts, signer), gate),
            _service(EventServiceASGIApplication, Events(parts), gate),
            _service(IdentityServiceASGIApplication, Identity(parts), gate),
            _service(EnvironmentServiceASGIApplication, Environments(parts, signer), gate),
            _service(ProjectServiceASGIApplication, Projects(parts), gate),
            _service(RunnerServiceASGIApplication, Runners(parts), gate),
            _service(RunnerConfigurationServiceASGIApplication, RunnerConfiguration(parts), gate),
            _service(UsageServiceASGIApplication, Usage(parts), gate),
            _service(UserServiceASGIApplication, UserAccounts(parts, accounts, credentials.sight), gate),
            _service(ServiceAccountServiceASGIApplication, ServiceAccounts(parts, accounts), gate),
        ],
        _service(EnvironmentOpsServiceASGIApplication, Ops(parts), gate),
        parts.ambient,
    )
    routes: list[BaseRoute] = [
        Route("/healthz", _alive(parts)),
        Route("/readyz", _ready(parts)),
        Route("/api/executions/{execution}/live", Live(parts, credentials), methods=["GET"]),
        Route("/api/environments/{environment}/logs", EnvironmentLogs(parts, credentials).serve, methods=["GET"]),
        *History(parts, credentials).routes(),
        *Documents(parts, credentials).routes(),
        *House(parts, credentials).routes(),
        *Streams(parts, credentials).routes(),
        *SigningIn(parts, credentials).routes(),
        *Shares(parts, credentials).routes(),
        *Saying(parts, credentials).routes(),
        *Metrics(parts.operations.measured, credentials, loopback=parts.loopback).routes(),
        Mount("/api", app=edge),
        *(more(parts, credentials) if more else ()),
        Route("/{path:path}", Nothing()),
    ]
    router = Router(routes, redirect_slashes=False)
    operations = parts.operations
    rates = Rates(lambda: operations.rates.limits, parts.ambient.monotonic, operations.measured.meters.refused)
    guard = Guard(
        operations.measured, rates, Trail(operations.audit, parts.ambient), operations.maintenance, operations.spans
    )
    guard.learn(routes, edge.methods)
    answers = Answers(parts.desk, parts.ambient, parts.changes, rates.allows)
    access = Access(
        Forwarding(router, unsighted, peer), parts.ambient, parts.public_url, answers, guard, parts.write_line
    )
    access.keep_up = credentials.keep_up
    return access


def _service(application: Any, service: Any, gate: list[Any]) -> Service:
    """Return a service with a server for ordinary bodies and one for large ones."""

    def server(limit: int) -> Any:
        return application(
            service,
            interceptors=gate,
            read_max_bytes=limit,
            codecs=[proto_binary_codec(), StrictJson()],
            compressions=[GzipCompression()],
        )

    desc: DescService = service.desc()
    ours = {
        name.replace("_", "") for cls in type(service).__mro__ if cls.__module__.startswith(OURS) for name in vars(cls)
    }
    methods = {m.name: m.method_kind == "server_streaming" for m in desc.methods if m.name.lower() in ours}
    small = server(BODY)
    return Service(small.path, methods, small, server(LARGE_BODY))


class Nothing:
    """Answers for paths that mean nothing here."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse one request."""
        await refuse(send, ConnectError(Code.NOT_FOUND, f"there is nothing at {scope['path']}"))


def _alive(parts: ApiParts) -> Callable[[Request], Awaitable[Response]]:
    async def healthz(request: Request) -> Response:
        return JSONResponse({"status": "ok", "reason": "", "version": parts.version})

    return healthz


def _ready(parts: ApiParts) -> Callable[[Request], Awaitable[Response]]:
    async def readyz(request: Request) -> Response:
        if parts.draining():
            return JSONResponse({"status": "draining", "reason": "the server is stopping"}, 503)
        health = await parts.ready()
        status = "ok" if health.ready else "unavailable"
        return JSONResponse({"status": status, "reason": health.reason}, 200 if health.ready else 503)

    return readyz
