"""Where agents work: environments with their ways out, and what is kept of them outside."""

from contextlib import AsyncExitStack
from dataclasses import dataclass

import structlog

from hostler.agents.registry import programs
from hostler.app.ground import Ground
from hostler.core.providers import Preflight
from hostler.definitions import classes_of, mcp_servers
from hostler.engine.environments import Environments
from hostler.engine.livetext import LiveText
from hostler.engine.mcp import McpServers
from hostler.engine.project_use import CountedRows
from hostler.environments.credentials import GitLogins
from hostler.environments.keeping import KeptWork
from hostler.environments.registry import Outside
from hostler.environments.restoring import Restoring
from hostler.environments.shelf import Shelf
from hostler.mcp.connector import Connector
from hostler.models.gateway.gateway import Gateway
from hostler.models.gateway.tokens import GatewayTokens
from hostler.store.spoken import SpokenFiles
from hostler.store.vault import FileVault

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Housing:
    """The environments of this machine, and what belongs to them."""

    gateway: Gateway
    logins: GitLogins
    places: Outside
    kept: KeptWork
    preflight: Preflight
    environments: Environments
    servers: McpServers
    live: LiveText


async def housed(ground: Ground, stack: AsyncExitStack) -> Housing:
    """Make the environments' side of a server; no environment is touched yet."""
    settings, home, stores, ambient = ground.settings, ground.home, ground.stores, ground.ambient
    gateway = Gateway(None, ground.models, GatewayTokens(home.signing_key, ambient), ambient)
    stack.push_async_callback(gateway.close)
    logins = GitLogins(home.secret_key, ambient, ground.redactor.add)
    logins.load(await stores.host_tokens.find(runner=home.runner))
    places = _places(ground, gateway, logins)
    stack.push_async_callback(places.close)
    shelf = Shelf(stores.bundles) if stores.shared else None
    kept = KeptWork(home.folder / "kept", settings.keep_mib << 20, shelf)
    environments = Environments(
        home.runner,
        CountedRows(stores.environments, stores.project_use, ambient),
        places.provider,
        places.machine,
        Restoring(places.bring, kept).bring,
        classes_of(settings),
        settings.allow,
        settings.private_hosts,
        ambient,
        ground.redactor,
        logs=stores.environment_logs,
        vault=FileVault(home.folder / "secrets"),
    )
    preflight = await _preflight(places)
    stack.push_async_callback(environments.close)
    live = LiveText(ground.redactor, SpokenFiles(home.folder / "said"))
    servers = McpServers(Connector(places.dial), environments, ground.redactor, ambient, mcp_servers(settings))
    stack.push_async_callback(servers.close_all)
    return Housing(gateway, logins, places, kept, preflight, environments, servers, live)


def _places(ground: Ground, gateway: Gateway, logins: GitLogins) -> Outside:
    """Return the provider of sandboxes with its ways out."""
    settings, lease = ground.settings, ground.lease

    async def creator_of(environment: str) -> str:
        row = await ground.stores.environments.get(environment)
        return row.creator_id if row else ""

    places = Outside(
        settings.sandbox,
        ground.home.folder / "environments",
        ground.environ,
        gateway.serve,
        logins=logins,
        subject_of=creator_of,
        programs=programs(),
        ambient=ground.ambient,
        mirror_bytes=settings.mirror_gib << 30,
    )
    places.provider.lease_end = (lambda: lease.end) if ground.stores.shared else None
    return places


async def _preflight(places: Outside) -> Preflight:
    """Return whether sandboxes can be made here, and say loudly why not."""
    preflight = await places.provider.preflight()
    if preflight.verdict == "unusable":
        for finding in preflight.findings:
            log.error("no sandbox can be made", problem=finding.problem, mend=finding.fix)
    return preflight
