"""The only wiring: settings become objects, objects become the server. Everything is opened and closed here."""

import asyncio
import signal
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from functools import partial
from types import FrameType
from typing import Any
from urllib.parse import unquote, urlsplit

import structlog
import uvicorn

from hostler import __version__
from hostler.agents.registry import DRIVERS, missing, programs
from hostler.api.parts import ApiParts, Health
from hostler.api.recipes import of_project
from hostler.api.server import build
from hostler.config import Settings
from hostler.core.ambient import Ambient, SystemAmbient
from hostler.core.errors import FailedPrecondition, HostlerError, StaleFence
from hostler.core.ports import ApiToken, Principal
from hostler.core.providers import Preflight
from hostler.core.redaction import Redactor
from hostler.core.state import State, evolve
from hostler.definitions import Definitions, classes_of, mcp_servers, model_name, overrides, stand_ins, truthful
from hostler.dispatch.local import LocalDispatch
from hostler.engine import approving, compacting, judging
from hostler.engine import modes as looking
from hostler.engine.agents import Agents, Lodge, Lodging
from hostler.engine.calls import Calls
from hostler.engine.desk import Desk
from hostler.engine.effects import Effects
from hostler.engine.engine import Engine, Identity
from hostler.engine.environments import Environments
from hostler.engine.family import Families
from hostler.engine.forge import ForgeEffects, MakingEnvironments
from hostler.engine.keeping import Keeping
from hostler.engine.likeness import Likeness
from hostler.engine.livetext import LiveText
from hostler.engine.mcp import McpServers
from hostler.engine.offering import LibraryOffers
from hostler.engine.project_use import CountedRows
from hostler.engine.restoring import KeptDesk
from hostler.engine.setups import Setups
from hostler.engine.waking import Waking
from hostler.environments import disk
from hostler.environments.credentials import GitLogins
from hostler.environments.forges import Api
from hostler.environments.keeping import KeptWork
from hostler.environments.local import GATEWAY_URL, HOME, WORK
from hostler.environments.overlays import Overlays
from hostler.environments.registry import Outside
from hostler.environments.restoring import Restoring
from hostler.home import Home
from hostler.logs import configure
from hostler.mcp.connector import Connector
from hostler.models.gateway.gateway import Gateway
from hostler.models.gateway.tokens import GatewayTokens
from hostler.models.registry import Registry
from hostler.projections.row import project
from hostler.store.folding import Fold
from hostler.store.opening import Store, open_store
from hostler.store.spoken import SpokenFiles
from hostler.store.vault import FileVault
from hostler.support import Facts
from hostler.web.exporting import as_html
from hostler.web.routes import routes

log = structlog.get_logger(__name__)

OWNER = Principal("00000000-0000-0000-0000-000000000001", "user", "owner", admin=True)
ORGANIZATION = "00000000-0000-0000-0000-0000000000a0"
HEARTBEAT = 5.0
IDLE_LOOK = 20.0
DISK_LOOK = 1.0
EXPIRY_LOOK = 3600.0
LEASE = timedelta(seconds=20)
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(slots=True)
class Server:
    """A wired server: its ASGI application, and how to let it drain."""

    settings: Settings
    home: Home
    asgi: Any
    desk: Desk
    new_token: str | None

    def drain(self) -> None:
        """Take no new work from now on."""
        self.desk.draining = True


@asynccontextmanager
async def opened(settings: Settings, environ: Mapping[str, str]) -> AsyncGenerator[Server]:
    """Yield a server that takes work; raises HostlerError with the reason when it cannot."""
    ambient = SystemAmbient()
    async with AsyncExitStack() as stack:
        home = stack.enter_context(Home.locked(settings.home, ambient))
        models = Registry(environ, overrides=overrides(settings), stand_ins=stand_ins(settings), ambient=ambient)
        stack.push_async_callback(models.close)
        password = urlsplit(settings.database).password or ""
        redactor = Redactor([*models.secrets(), *settings.secrets, unquote(password)])
        recent = configure(redactor, json=not sys.stderr.isatty())
        stores = await stack.enter_async_context(
            open_store(settings.database, blobs=home.folder / "blobs", fold=Fold(State(), evolve, project))
        )
        incarnation = ambient.new_id()
        before = await stores.runners.boot(home.runner, incarnation, ambient.now() + LEASE)
        identity = Identity(home.runner, incarnation)
        if before:
            identity = replace(identity, predecessor=before.incarnation, alive_until=before.until - LEASE)
        gateway = Gateway(None, models, GatewayTokens(home.signing_key, ambient), ambient)
        stack.push_async_callback(gateway.close)
        logins = GitLogins(home.secret_key, ambient, redactor.add)
        logins.load(await stores.host_tokens.find(runner=home.runner))

        async def creator_of(environment: str) -> str:
            row = await stores.environments.get(environment)
            return row.creator_id if row else ""

        places = Outside(
            settings.sandbox,
            home.folder / "environments",
            environ,
            gateway.serve,
            logins=logins,
            subject_of=creator_of,
            programs=programs(),
            ambient=ambient,
            mirror_bytes=settings.mirror_gib << 30,
        )
        stack.push_async_callback(places.close)
        kept = KeptWork(home.folder / "kept", settings.keep_mib << 20)
        preflight = await places.provider.preflight()
        if preflight.verdict == "unusable":
            for finding in preflight.findings:
                log.error("no sandbox can be made", problem=finding.problem, mend=finding.fix)
        environments = Environments(
            identity.runner,
            CountedRows(stores.environments, stores.project_use, ambient),
            places.provider,
            places.machine,
            Restoring(places.bring, kept).bring,
            classes_of(settings),
            settings.allow,
            settings.private_hosts,
            ambient,
            redactor,
            logs=stores.environment_logs,
            vault=FileVault(home.folder / "secrets"),
        )
        stack.push_async_callback(environments.close)
        live = LiveText(redactor, SpokenFiles(home.folder / "said"))
        servers = McpServers(Connector(places.dial), environments, redactor, ambient, mcp_servers(settings))
        stack.push_async_callback(servers.close_all)
        agents = Agents(
            DRIVERS, environments, _lodge(settings, gateway), live, redactor, gateway, servers=servers.given
        )
        effects = Effects(models, environments, stores.blobs, live, redactor, ambient, agents, servers=servers)
        effects.performers.learn(servers.performers())
        effects.performers.learn(compacting.performers(effects))
        effects.performers.learn(judging.performers(models, redactor))
        effects.performers.learn(looking.performers(environments, redactor))
        effects.services.offers = offers = LibraryOffers(stores.prompts)
        dispatch = LocalDispatch(ambient)
        engine = Engine(
            identity,
            stores.executions,
            effects,
            dispatch,
            ambient,
            slots=settings.turn_slots,
            settle=settings.settle_seconds,
        )
        gateway.ledger = Calls(engine, agents, ambient)
        desk = Desk(identity, stores.executions, environments, engine, dispatch, live, redactor, ambient)
        waking = Waking(
            desk, stores.executions, environments, ambient, redactor, longest=timedelta(hours=settings.wait_hours)
        )
        effects.performers.learn(waking.performers())
        effects.services.waits = waking
        definitions = Definitions(settings, models, missing)
        families = Families(desk, stores.executions, definitions, Likeness(stores.environments), redactor)
        effects.performers.learn(families.performers())
        effects.performers.learn(approving.performers(desk.command, ambient))
        effects.services.kin = families
        places.on_refusal = desk.refused
        forges = places.code_hosts(
            identity.runner, {host.lower(): Api(one.kind, one.api) for host, one in settings.forges.items()}
        )
        workshop = MakingEnvironments(environments, stores.executions, classes_of(settings))
        effects.services.forges, effects.services.workshop = forges, workshop
        effects.performers.learn(ForgeEffects(forges, logins, environments, desk.command, redactor).performers())
        environments.works = engine.works
        hosts = environments.hosts(stores.class_hosts, stores.executions, desk.command)
        places.more = hosts.patterns

        keeping = Keeping(
            stores.environments,
            stores.executions,
            places.provider,
            places.machine,
            kept,
            ambient,
            redactor,
            days=settings.keep_days,
        )
        environments.keeper = keeping
        environments.follow(keeping)
        overlays = Overlays(home.folder / "setups", settings.setup_cache_gib << 30)
        classes = classes_of(settings)
        environments.follow(Setups(stores.environments, stores.environment_logs, overlays, classes, ambient, redactor))

        async def exists(execution: str) -> bool:
            return await stores.executions.row(execution) is not None

        await environments.reconcile(exists)
        await engine.open()
        stack.push_async_callback(engine.close)
        # Agents inside wait at closed doors for the next server; what was under way gets its end while there is one.
        stack.push_async_callback(places.close)
        stack.enter_context(
            _background(
                _heartbeat(stores, desk, ambient),
                _idle_stop(environments, ambient),
                _disk_watch(places.disk, environments, ambient),
                _expiry(keeping, ambient),
            )
        )
        token = await _owner_token(stores, home, ambient)
        redactor.add([home.token_file.read_text().strip()])
        parts = ApiParts(
            desk=desk,
            environments=environments,
            hosts=hosts,
            executions=stores.executions,
            blobs=stores.blobs,
            environment_rows=stores.environments,
            prompts=stores.prompts,
            offers=offers,
            tokens=stores.tokens,
            projects=stores.projects,
            project_use=stores.project_use,
            host_tokens=stores.host_tokens,
            sign_ins=stores.sign_ins,
            shares=stores.shares,
            spending=stores.spending,
            logins=logins,
            agents=definitions,
            classes=truthful(classes_of(settings), preflight),
            models=models,
            redactor=redactor,
            ambient=ambient,
            signing_key=home.signing_key,
            organization_id=ORGANIZATION,
            runner_id=identity.runner,
            version=__version__,
            draining=lambda: desk.draining,
            ready=_readiness(desk, preflight, stores),
            doctor=_doctor(settings, preflight, models, ambient),
            model_allowed=lambda name: _allowed(settings, name),
            public_url=settings.server.public_url,
            support=Facts(settings, recent.lines),
            html_export=as_html,
            mcp_servers=mcp_servers(settings)(tuple(settings.mcp)),
            loopback=settings.server.host in LOOPBACK,
            credential_required=tuple(host.lower().removesuffix(":443") for host in settings.credential_required),
            work=KeptDesk(
                desk, environments, stores.environments, kept, [cls.id for cls in classes_of(settings)], ambient
            ),
        )
        workshop.of_project = partial(of_project, parts)
        yield Server(settings, home, build(parts, routes), desk, token)


def _lodge(settings: Settings, gateway: Gateway) -> Lodge:
    """Return where agents live in environments of this server."""

    def lodge(environment: str, execution: str) -> Lodging:
        if settings.sandbox == "none":
            raise FailedPrecondition("agents that live in an environment need a sandbox; sandbox is none here")
        home = f"{HOME}/.hostler/{execution}"
        return Lodging(WORK, home, f"{GATEWAY_URL}/v1", gateway.token(execution, environment))

    return lodge


def _allowed(settings: Settings, name: str) -> bool:
    """Return whether a caller may choose a model: any, unless the configuration lists what is allowed.

    A script in a file of this machine may be named by callers on this machine only.
    """
    if settings.allowed_models:
        return name in (*settings.allowed_models, model_name(settings))
    script = name.startswith("scripted:") and ("/" in name or name.endswith(".json"))
    return not script or settings.server.host in LOOPBACK


def _readiness(desk: Desk, preflight: Preflight, stores: Store) -> Callable[[], Awaitable[Health]]:
    async def ready() -> Health:
        if desk.draining:
            return Health(False, "the server is stopping")
        if preflight.verdict == "unusable":
            reasons = "; ".join(f"{f.problem} ({f.fix})" for f in preflight.findings)
            return Health(False, f"no sandbox: {reasons}")
        try:
            await stores.executions.row("none")
        except HostlerError as problem:
            return Health(False, f"the database does not answer: {problem.message}")
        return Health(True)

    return ready


def _doctor(
    settings: Settings, preflight: Preflight, models: Registry, ambient: Ambient
) -> Callable[[], Awaitable[Mapping[str, Any]]]:
    async def doctor() -> Mapping[str, Any]:
        return {
            "version": __version__,
            "now": ambient.now().isoformat(),
            "sandbox": {"kind": settings.sandbox, **asdict(preflight)},
            "model": model_name(settings),
            "slots": settings.turn_slots,
        }

    return doctor


@contextmanager
def _background(*work: Coroutine[Any, Any, None]) -> Generator[None]:
    """Do work beside the server until it closes."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()


async def _heartbeat(stores: Store, desk: Desk, ambient: Ambient) -> None:
    """Say every few seconds that this incarnation lives; one that was replaced takes nothing more."""
    while True:
        await ambient.until(ambient.now() + timedelta(seconds=HEARTBEAT))
        try:
            await stores.runners.heartbeat(ambient.now() + LEASE)
        except StaleFence:
            desk.draining = True
            log.error("another process has taken this runner's place; this one stops")
            signal.raise_signal(signal.SIGTERM)
            return
        except HostlerError as problem:
            log.warning("the heartbeat did not reach the database", problem=problem.message)


async def _idle_stop(environments: Environments, ambient: Ambient) -> None:
    """Stop idle environments."""
    while True:
        await ambient.until(ambient.now() + timedelta(seconds=IDLE_LOOK))
        try:
            await environments.stop_idle()
        except Exception as problem:  # noqa: BLE001 whatever it was, the next look is due all the same
            log.warning("idle environments could not be looked at", problem=str(problem))


async def _disk_watch(watch: disk.DiskWatch, environments: Environments, ambient: Ambient) -> None:
    """Stop environments that take more of the disk than they may."""
    while True:
        await ambient.until(ambient.now() + timedelta(seconds=DISK_LOOK))
        try:
            found = await watch.look()
            await asyncio.gather(*(environments.overfull(one.environment, disk.told(one)) for one in found))
        except Exception as problem:  # noqa: BLE001 as above
            log.warning("what environments take of the disk could not be looked at", problem=str(problem))


async def _expiry(keeping: Keeping, ambient: Ambient) -> None:
    """Remove kept work whose time is over."""
    while True:
        try:
            await keeping.expire()
        except Exception as problem:  # noqa: BLE001 as above
            log.warning("kept work could not be looked at", problem=str(problem))
        await ambient.until(ambient.now() + timedelta(seconds=EXPIRY_LOOK))


async def _owner_token(stores: Store, home: Home, ambient: Ambient) -> str | None:
    """Return a fresh owner's token on the first start, None later."""
    if home.token_file.exists() and await stores.tokens.by_sha256(home.token_sha256()):
        return None
    token = f"hostler_{ambient.token()}"
    home.write_token(token)
    await stores.tokens.add(ApiToken(ambient.new_id(), home.token_sha256(), OWNER, "owner", "all", ambient.now(), None))
    return token


class _Uvicorn(uvicorn.Server):
    """Uvicorn that lets Hostler drain as soon as it is told to stop."""

    def __init__(self, config: uvicorn.Config, server: Server, ready: Callable[[int], None]) -> None:
        super().__init__(config)
        self._hostler = server
        self._ready = ready

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready(self.servers[0].sockets[0].getsockname()[1])

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain and stop; unlike uvicorn's own, the signal is not raised again afterwards, so the exit code is ours."""
        self._hostler.drain()
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


async def run(settings: Settings, environ: Mapping[str, str], say: Callable[[str], None]) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code."""
    async with opened(settings, environ) as server:
        host = settings.server.host

        def ready(port: int) -> None:
            shown = f"[{host}]" if ":" in host else host
            url = f"http://{shown}:{port}"
            server.home.write_server(url)
            if server.new_token:
                say(f"API token of the owner, shown once and kept in {server.home.token_file}: {server.new_token}")
            say(f"Hostler is ready at {url}")

        config = uvicorn.Config(
            server.asgi,
            host=host,
            port=settings.server.port,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=2,
            timeout_keep_alive=75,
            ws="websockets-sansio",
            ws_max_size=1 << 20,
        )
        uvicorn_server = _Uvicorn(config, server, ready)
        idle = asyncio.create_task(_idle_exit(settings, server, uvicorn_server))
        try:
            await uvicorn_server.serve()
        finally:
            idle.cancel()
            server.home.remove_server()
        return 0 if uvicorn_server.started else 1


async def _idle_exit(settings: Settings, server: Server, uvicorn_server: uvicorn.Server) -> None:
    """Stop the server after it had nothing to do for as long as the settings say; 0 means never."""
    if not settings.idle_exit_minutes:
        return
    ambient = SystemAmbient()
    limit = settings.idle_exit_minutes * 60
    quiet_since = ambient.monotonic()
    while ambient.monotonic() - quiet_since < limit:
        await ambient.until(ambient.now() + timedelta(seconds=5))
        if server.desk.busy() or uvicorn_server.server_state.connections:
            quiet_since = ambient.monotonic()
    uvicorn_server.handle_exit(signal.SIGTERM, None)


def serve(settings: Settings, environ: Mapping[str, str]) -> int:
    """Run a server in this process; return its exit code and print why it could not start."""

    def say(text: str) -> None:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    try:
        with asyncio.Runner(loop_factory=_loop) as runner:
            return runner.run(run(settings, environ, say))
    except HostlerError as problem:
        sys.stderr.write(f"hostler: {problem.message}\n")
        return 1


def _loop() -> asyncio.AbstractEventLoop:
    import uvloop

    return uvloop.new_event_loop()
