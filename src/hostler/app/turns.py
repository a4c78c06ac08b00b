"""What turns run with: the effects, the engine, the desk, and everything that wakes, bounds or keeps them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from hostler.agents.registry import DRIVERS, missing
from hostler.api.parts import Health
from hostler.app.ground import Ground
from hostler.app.housing import Housing
from hostler.config import Settings
from hostler.core.ambient import Ambient
from hostler.core.errors import FailedPrecondition, HostlerError
from hostler.core.ports import Dispatch
from hostler.core.providers import Preflight
from hostler.definitions import Definitions, classes_of
from hostler.dispatch.local import LocalDispatch
from hostler.engine import approving, compacting, judging
from hostler.engine import modes as looking
from hostler.engine.admission import Admission
from hostler.engine.agents import Agents, Lodge, Lodging
from hostler.engine.calls import Calls
from hostler.engine.desk import Desk
from hostler.engine.effects import Effects
from hostler.engine.engine import Engine
from hostler.engine.environments.hosts import Hosts
from hostler.engine.family import Families
from hostler.engine.forge import ForgeEffects, MakingEnvironments
from hostler.engine.keeping import Keeping
from hostler.engine.likeness import Likeness
from hostler.engine.offering import LibraryOffers
from hostler.engine.policing import Policing
from hostler.engine.retention import Retention
from hostler.engine.setups import Setups
from hostler.engine.waking import Waking
from hostler.environments.forges import Api
from hostler.environments.local import GATEWAY_URL, HOME, WORK
from hostler.environments.overlays import Overlays
from hostler.models.gateway.gateway import Gateway
from hostler.presence import Heartbeat, teller
from hostler.retaining import retaining
from hostler.store.opening import Store


@dataclass(frozen=True, slots=True)
class Turns:
    """What runs executions, and what the API needs of it."""

    offers: LibraryOffers
    policing: Policing
    engine: Engine
    desk: Desk
    ready: Callable[[], Awaitable[Health]]
    heart: Heartbeat
    definitions: Definitions
    workshop: MakingEnvironments
    hosts: Hosts
    keeping: Keeping
    retention: Retention


async def set_up(ground: Ground, housing: Housing) -> Turns:
    """Make the engine and what it performs; nothing runs before it is opened."""
    settings, stores, ambient = ground.settings, ground.stores, ground.ambient
    environments, places = housing.environments, housing.places
    agents = Agents(
        DRIVERS,
        environments,
        _lodge(settings, housing.gateway),
        housing.live,
        ground.redactor,
        housing.gateway,
        servers=housing.servers.given,
    )
    effects, offers = _effects(ground, housing, agents), LibraryOffers(stores.prompts)
    effects.services.offers = offers
    policing = await _policing(ground, housing)
    dispatch = _dispatch(settings, ground.home.runner, ambient, shared=stores.shared)
    engine = Engine(
        ground.identity,
        stores.executions,
        effects,
        dispatch,
        ambient,
        slots=settings.turn_slots,
        settle=settings.settle_seconds,
        most=policing.turns_of,
        lease=ground.lease,
    )
    housing.gateway.ledger = Calls(engine, agents, ambient)
    desk = Desk(
        ground.identity,
        stores.executions,
        environments,
        engine,
        dispatch,
        housing.live,
        ground.redactor,
        ambient,
        policing,
        ground.peers,
    )
    ready, seconds = _readiness(desk, housing.preflight, stores), settings.server.lease_seconds
    tell = teller(settings, ready)
    heart = Heartbeat(stores.runners, ground.peers, desk, engine, ground.lease, ambient, tell, seconds)
    definitions = Definitions(settings, ground.models, missing)
    workshop = _learn(ground, housing, effects, desk, definitions)
    hosts = environments.hosts(stores.class_hosts, stores.executions, desk.command)
    places.on_refusal, places.more = desk.refused, hosts.patterns
    environments.works, environments.admit = engine.works, policing.admit_environment
    environments.elsewhere = ground.peers.here_or_away
    keeping = _keeping(ground, housing)
    retention = retaining(settings, ground.home.folder, stores, desk, keeping, ambient)
    return Turns(offers, policing, engine, desk, ready, heart, definitions, workshop, hosts, keeping, retention)


def _effects(ground: Ground, housing: Housing, agents: Agents) -> Effects:
    """Return what performs effects that need nothing of a desk."""
    environments, redactor = housing.environments, ground.redactor
    effects = Effects(
        ground.models,
        environments,
        ground.stores.blobs,
        housing.live,
        redactor,
        ground.ambient,
        agents,
        servers=housing.servers,
    )
    effects.performers.learn(housing.servers.performers())
    effects.performers.learn(compacting.performers(effects))
    effects.performers.learn(judging.performers(ground.models, redactor))
    effects.performers.learn(looking.performers(environments, redactor))
    return effects


def _learn(
    ground: Ground, housing: Housing, effects: Effects, desk: Desk, definitions: Definitions
) -> MakingEnvironments:
    """Teach the effects what goes by way of the desk: waits, sub-agents, approvals, pull requests."""
    settings, stores, ambient, redactor = ground.settings, ground.stores, ground.ambient, ground.redactor
    environments, executions = housing.environments, stores.executions
    admission, longest = Admission(stores.maintenance, ambient), timedelta(hours=settings.wait_hours)
    waking = Waking(desk, executions, environments, admission, ambient, redactor, longest=longest)
    families = Families(desk, executions, definitions, Likeness(stores.environments), redactor)
    forges = housing.places.code_hosts(
        ground.home.runner, {host.lower(): Api(one.kind, one.api) for host, one in settings.forges.items()}
    )
    workshop = MakingEnvironments(environments, executions, classes_of(settings))
    forging = ForgeEffects(forges, housing.logins, environments, desk.command, redactor, admission)
    effects.services.waits, effects.services.kin = waking, families
    effects.services.forges, effects.services.workshop = forges, workshop
    effects.performers.learn(waking.performers())
    effects.performers.learn(families.performers())
    effects.performers.learn(approving.performers(desk.command, admission, ambient))
    effects.performers.learn(forging.performers())
    return workshop


async def _policing(ground: Ground, housing: Housing) -> Policing:
    """Return what holds the organization's policy and the caps of its people against what is asked."""
    stores = ground.stores
    policing = Policing(
        stores.policies,
        stores.spending,
        stores.executions,
        stores.environments,
        stores.people,
        housing.places.disk.used,
        ground.ambient,
    )
    housing.places.denied = policing.denies
    await policing.refresh()
    return policing


def _keeping(ground: Ground, housing: Housing) -> Keeping:
    """Return what keeps work outside its environment; what setup commands made is kept for the next one as well."""
    settings, stores, environments = ground.settings, ground.stores, housing.environments
    keeping = Keeping(
        stores.environments,
        stores.executions,
        housing.places.provider,
        housing.places.machine,
        housing.kept,
        ground.ambient,
        ground.redactor,
        days=settings.keep_days,
    )
    environments.keeper = keeping
    environments.follow(keeping)
    overlays, classes = Overlays(ground.home.folder / "setups", settings.setup_cache_gib << 30), classes_of(settings)
    logs = stores.environment_logs
    environments.follow(Setups(stores.environments, logs, overlays, classes, ground.ambient, ground.redactor))
    return keeping


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


def _readiness(desk: Desk, preflight: Preflight, stores: Store) -> Callable[[], Awaitable[Health]]:
    """Return what says whether this server takes work, and why not."""

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
