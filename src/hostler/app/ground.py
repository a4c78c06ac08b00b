"""What a server stands on: its folder, its log of lines, its database, and its place among other servers."""

import math
import platform
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from urllib.parse import unquote, urlsplit

from hostler import __version__
from hostler.config import Settings
from hostler.core.ambient import Ambient, SystemAmbient
from hostler.core.lease import Lease
from hostler.core.redaction import Redactor
from hostler.core.state import State, evolve
from hostler.definitions import overrides, stand_ins
from hostler.engine.engine import Identity
from hostler.engine.peers import Peers
from hostler.home import Home
from hostler.learned import learned
from hostler.logs import Lines, Recent, configure, is_json
from hostler.models.registry import Registry
from hostler.presence import told_of
from hostler.projections.row import project
from hostler.reloading import Load, Reloading
from hostler.store.folding import Fold
from hostler.store.opening import Store, open_store


@dataclass(frozen=True, slots=True)
class Ground:
    """What everything else is made of."""

    settings: Settings
    environ: Mapping[str, str]
    ambient: Ambient
    home: Home
    models: Registry
    redactor: Redactor
    recent: Recent
    lines: Lines
    reloading: Reloading
    stores: Store
    lease: Lease
    identity: Identity
    peers: Peers
    signing_key: bytes
    installation: str


async def laid(settings: Settings, environ: Mapping[str, str], load: Load | None, stack: AsyncExitStack) -> Ground:
    """Take the data folder and the database, and this server's place as its runner's only incarnation."""
    ambient = SystemAmbient()
    home = stack.enter_context(Home.locked(settings.home, ambient))
    models = Registry(environ, overrides=overrides(settings), stand_ins=stand_ins(settings), ambient=ambient)
    stack.push_async_callback(models.close)
    redactor = _redactor(settings, home, models)
    recent = configure(redactor, json=is_json(settings.log_format), level=settings.log_level)
    lines = Lines(redactor, recent, json=is_json(settings.log_format))
    stack.callback(lines.flush)
    stores = await stack.enter_async_context(
        open_store(settings.database, blobs=home.folder / "blobs", fold=Fold(State(), evolve, project))
    )
    lease, identity = await _place(settings, home, stores, ambient)
    peers = Peers(home.runner, stores.runners, ambient, lease=settings.server.lease_seconds, alone=not stores.shared)
    await peers.look()
    return Ground(
        settings,
        environ,
        ambient,
        home,
        models,
        redactor,
        recent,
        lines,
        Reloading(settings, load),
        stores,
        lease,
        identity,
        peers,
        signing_key=bytes.fromhex(await stores.installation.agreed("signing_key", home.signing_key.hex())),
        installation=await stores.installation.agreed("id", home.runner),
    )


def _redactor(settings: Settings, home: Home, models: Registry) -> Redactor:
    """Return what takes every secret that is known so far out of whatever is written."""
    password = unquote(urlsplit(settings.database).password or "")
    redactor = Redactor([*models.secrets(), *settings.hidden, password, *learned(home.folder, home.secret_key)])
    redactor.add(settings.telemetry.headers.values())
    return redactor


async def _place(settings: Settings, home: Home, stores: Store, ambient: Ambient) -> tuple[Lease, Identity]:
    """Become the runner's present incarnation, under a lease where other processes wait for its end."""
    seconds = settings.server.lease_seconds
    lease = Lease(ambient.boot, seconds if stores.shared else math.inf)
    held, asked = timedelta(seconds=seconds), ambient.boot()
    identity = Identity(home.runner, ambient.new_id())
    before = await stores.runners.boot(
        home.runner,
        identity.incarnation,
        ambient.now() + held,
        name=settings.server.name or platform.node(),
        version=__version__,
        details=told_of(settings),
    )
    lease.renewed(asked)
    if before:
        identity = replace(identity, predecessor=before.incarnation, alive_until=before.until - held)
    return lease, identity
