"""The only wiring: settings become objects, objects become the server. Everything is opened and closed here."""

import asyncio
import math
import platform
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import unquote, urlsplit

import structlog

from hostler import __version__
from hostler.agents.registry import DRIVERS, missing, programs
from hostler.api.parts import ApiParts, Health
from hostler.api.recipes import of_project
from hostler.api.server import build
from hostler.config import Settings
from hostler.core.ambient import Ambient, SystemAmbient
from hostler.core.errors import FailedPrecondition, HostlerError
from hostler.core.lease import Lease
from hostler.core.ports import ApiToken, Dispatch, Principal
from hostler.core.providers import Preflight
from hostler.core.redaction import Redactor
from hostler.core.state import State, evolve
from hostler.definitions import (
    Definitions,
    classes_of,
    mcp_servers,
    model_name,
    overrides,
    stand_ins,
    truthful,
    ways_in,
)
from hostler.dispatch.local import LocalDispatch
from hostler.engine import approving, compacting, judging
from hostler.engine import modes as looking
from hostler.engine.admission import Admission
from hostler.engine.agents import Agents, Lodge, Lodging
from hostler.engine.away import Away
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
from hostler.engine.peers import Peers
from hostler.engine.policing import Policing
from hostler.engine.project_use import CountedRows
from hostler.engine.restoring import KeptDesk
from hostler.engine.retention import daily
from hostler.engine.setups import Setups
from hostler.engine.waking import Waking
from hostler.environments.credentials import GitLogins
from hostler.environments.forges import Api
from hostler.environments.keeping import KeptWork
from hostler.environments.local import GATEWAY_URL, HOME, WORK
from hostler.environments.overlays import Overlays
from hostler.environments.registry import Outside
from hostler.environments.restoring import Restoring
from hostler.environments.shelf import Shelf
from hostler.home import Home
from hostler.learned import learned
from hostler.logs import Lines, configure, is_json
from hostler.mcp.connector import Connector
from hostler.models.gateway.gateway import Gateway
from hostler.models.gateway.tokens import GatewayTokens
from hostler.models.registry import Registry
from hostler.operating import operating
from hostler.presence import Heartbeat, teller, told_of
from hostler.projections.row import project
from hostler.reloading import Load, Reloading, change_with
from hostler.retaining import retaining
from hostler.store.folding import Fold
from hostler.store.opening import Store, open_store
from hostler.store.spoken import SpokenFiles
from hostler.store.vault import FileVault
from hostler.support import Facts
from hostler.upkeep import background, disk_watch, expiry, idle_stop, policy_watch
from hostler.web.exporting import as_html
from hostler.web.routes import routes

log = structlog.get_logger(__name__)

OWNER = Principal("00000000-0000-0000-0000-000000000001", "user", "owner", "admin")
ORGANIZATION = "00000000-0000-0000-0000-0000000000a0"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(slots=True)
class Server:
    """A wired server: its ASGI application, and how to let it drain."""

    settings: Settings
    home: Home
    asgi: Any
    desk: Desk
    heart: Heartbeat
    new_token: str | None
    reloading: Reloading

    async def reached_at(self, url: str) -> None:
        """Tell other processes where this one is reached, now that it listens."""
        self.heart.url = self.settings.server.peer_url.rstrip("/") or url
        try:
            await self.heart.beat()
        except HostlerError as problem:
            log.warning("other processes do not know yet where this one is", problem=problem.message)

    def drain(self) -> None:
        """Take no new work from now on."""
        self.desk.draining = True


@asynccontextmanager
async def opened(settings: Settings, environ: Mapping[str, str], load: Load | None = None) -> AsyncGenerator[Server]:
    """Yield a server that takes work; raises HostlerError with the reason when it cannot.

    `load` reads the settings again, where that is possible.
    """
    ambient = SystemAmbient()
    async with AsyncExitStack() as stack:
        home = stack.enter_context(Home.locked(settings.home, ambient))
        models = Registry(environ, overrides=overrides(settings), stand_ins=stand_ins(settings), ambient=ambient)
        stack.push_async_callback(models.close)
        password = urlsplit(settings.database).password or ""
        redactor = Redactor(
            [*models.secrets(), *settings.hidden, unquote(password), *learned(home.folder, home.secret_key)]
        )
        redactor.add(settings.telemetry.headers.values())
        recent = configure(redactor, json=is_json(settings.log_format), level=settings.log_level)
        lines = Lines(redactor, recent, json=is_json(settings.log_format))
        reloading = Reloading(settings, load)
        stack.callback(lines.flush)
        stores = await stack.enter_async_context(
            open_store(settings.database, blobs=home.folder / "blobs", fold=Fold(State(), evolve, project))
        )
        incarnation = ambient.new_id()
        seconds = settings.server.lease_seconds
        lease = Lease(ambient.boot, seconds if stores.shared else math.inf)
        held, asked = timedelta(seconds=seconds), ambient.boot()
        before = await stores.runners.boot(
            home.runner,
            incarnation,
            ambient.now() + held,
            name=settings.server.name or platform.node(),
            version=__version__,
            details=told_of(settings),
        )
        lease.renewed(asked)
        peers = Peers(home.runner, stores.runners, ambient, lease=seconds, alone=not stores.shared)
        await peers.look()
        signing_key = bytes.fromhex(await stores.installation.agreed("signing_key", home.signing_key.hex()))
        installation = await stores.installation.agreed("id", home.runner)
        identity = Identity(home.runner, incarnation)
        if before:
            identity = replace(identity, predecessor=before.incarnation, alive_until=before.until - held)
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
        places.provider.lease_end = (lambda: lease.end) if stores.shared else None
        kept = KeptWork(home.folder / "kept", settings.keep_mib << 20, Shelf(stores.bundles) if stores.shared else None)
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
        policing = Policing(
            stores.policies,
            stores.spending,
            stores.executions,
            stores.environments,
            stores.people,
            places.disk.used,
            ambient,
        )
        places.denied = policing.denies
        await policing.refresh()
        dispatch = _dispatch(settings, home.runner, ambient, shared=stores.shared)
        engine = Engine(
            identity,
            stores.executions,
            effects,
            dispatch,
            ambient,
            slots=settings.turn_slots,
            settle=settings.settle_seconds,
            most=policing.turns_of,
            lease=lease,
        )
        gateway.ledger = Calls(engine, agents, ambient)
        desk = Desk(
            identity, stores.executions, environments, engine, dispatch, live, redactor, ambient, policing, peers
        )
        ready = _readiness(desk, preflight, stores)
        tell = teller(settings, ready)
        heart = Heartbeat(stores.runners, peers, desk, engine, lease, ambient, tell, seconds)
        admission, longest = Admission(stores.maintenance, ambient), timedelta(hours=settings.wait_hours)
        waking = Waking(desk, stores.executions, environments, admission, ambient, redactor, longest=longest)
        effects.performers.learn(waking.performers())
        effects.services.waits = waking
        definitions = Definitions(settings, models, missing)
        families = Families(desk, stores.executions, definitions, Likeness(stores.environments), redactor)
        effects.performers.learn(families.performers())
        effects.performers.learn(approving.performers(desk.command, admission, ambient))
        effects.services.kin = families
        places.on_refusal = desk.refused
        forges = places.code_hosts(
            identity.runner, {host.lower(): Api(one.kind, one.api) for host, one in settings.forges.items()}
        )
        workshop = MakingEnvironments(environments, stores.executions, classes_of(settings))
        effects.services.forges, effects.services.workshop = forges, workshop
        forging = ForgeEffects(forges, logins, environments, desk.command, redactor, admission)
        effects.performers.learn(forging.performers())
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

        retention = retaining(settings, home.folder, stores, desk, keeping, ambient)

        async def exists(execution: str) -> bool:
            return await stores.executions.row(execution) is not None

        environments.elsewhere = peers.here_or_away
        environments.admit = policing.admit_environment
        await environments.reconcile(exists)
        await engine.open()
        stack.push_async_callback(engine.close)
        # Agents inside wait at closed doors for the next server; what was under way gets its end while there is one.
        stack.push_async_callback(places.close)
        stack.enter_context(
            background(
                heart.run(),
                idle_stop(environments, ambient),
                disk_watch(places.disk, environments, ambient),
                expiry(keeping, ambient),
                daily(retention, ambient),
                policy_watch(policing, desk, engine, ambient),
            )
        )
        change_with(reloading, models, redactor, definitions, environments, servers, engine, keeping)

        async def reach(host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            return await places.reach(host, port, tuple(reloading.current().private_hosts))

        operated = await operating(
            settings, environ, stores, engine, reach, signing_key, ambient, redactor, reloading, home.runner
        )
        stack.enter_context(background(*operated.beside))
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
            people=stores.people,
            outside=ways_in(settings),
            attempts=stores.attempts,
            projects=stores.projects,
            project_use=stores.project_use,
            host_tokens=stores.host_tokens,
            sign_ins=stores.sign_ins,
            shares=stores.shares,
            spending=stores.spending,
            policies=stores.policies,
            policing=policing,
            tidying=retention,
            logins=logins,
            agents=definitions,
            classes=truthful(classes_of(settings), preflight),
            models=models,
            redactor=redactor,
            ambient=ambient,
            signing_key=signing_key,
            installation=installation,
            peers=peers,
            away=Away(desk, peers, stores.runners, stores.environments, stores.executions, stores.blobs, ambient),
            organization_id=ORGANIZATION,
            runner_id=identity.runner,
            version=__version__,
            draining=lambda: desk.draining,
            changes=stores.changes,
            write_line=lines.add,
            operations=operated.operations,
            ready=ready,
            doctor=_doctor(reloading.current, preflight, models, ambient),
            model_allowed=lambda name: _allowed(reloading.current(), name),
            public_url=settings.server.public_url,
            support=Facts(settings, recent.lines, reloading.current),
            html_export=as_html,
            mcp_servers=mcp_servers(settings)(tuple(settings.mcp)),
            loopback=settings.server.host in LOOPBACK,
            credential_required=tuple(host.lower().removesuffix(":443") for host in settings.credential_required),
            work=KeptDesk(
                desk,
                environments,
                stores.environments,
                kept,
                [cls.id for cls in classes_of(settings)],
                ambient,
                peers=peers,
                moves=stores.executions,
            ),
        )
        workshop.of_project = partial(of_project, parts)
        access = build(parts, routes)
        if access.keep_up is not None:
            stack.enter_context(background(access.keep_up()))
        yield Server(settings, home, access, desk, heart, token, reloading)


def _dispatch(settings: Settings, runner: str, ambient: Ambient, *, shared: bool) -> Dispatch:
    """Return what wakes owners: in this process, or in all that share the database."""
    if not shared:
        return LocalDispatch(ambient)
    from hostler.dispatch.procrastinate import ProcrastinateDispatch

    return ProcrastinateDispatch(settings.database, runner, ambient)


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
    now: Callable[[], Settings], preflight: Preflight, models: Registry, ambient: Ambient
) -> Callable[[], Awaitable[Mapping[str, Any]]]:
    async def doctor() -> Mapping[str, Any]:
        settings = now()
        return {
            "version": __version__,
            "now": ambient.now().isoformat(),
            "sandbox": {"kind": settings.sandbox, **asdict(preflight)},
            "model": model_name(settings),
            "slots": settings.turn_slots,
        }

    return doctor


async def _owner_token(stores: Store, home: Home, ambient: Ambient) -> str | None:
    """Return a fresh owner's token on the first start, None later."""
    if home.token_file.exists() and await stores.tokens.by_sha256(home.token_sha256()):
        return None
    token = f"hostler_{ambient.token()}"
    home.write_token(token)
    await stores.tokens.add(ApiToken(ambient.new_id(), home.token_sha256(), OWNER, "owner", "all", ambient.now(), None))
    return token
