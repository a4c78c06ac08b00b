"""The only wiring: settings become objects, objects become the server. Everything is opened and closed here.

It is done in four steps, each of which needs the ones before: the ground (folder, database, the place among other
servers), housing (environments), turns (engine and desk), and parts (what the API is made of).
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from hostler.api.recipes import of_project
from hostler.api.server import build
from hostler.app.ground import Ground, laid
from hostler.app.housing import Housing, housed
from hostler.app.parts import parts_of
from hostler.app.turns import Turns, set_up
from hostler.config import Settings
from hostler.core.errors import HostlerError
from hostler.core.ports import ApiToken, Principal
from hostler.engine.desk import Desk
from hostler.engine.retention import daily
from hostler.home import Home
from hostler.operating import Operated, operating
from hostler.presence import Heartbeat
from hostler.reloading import Load, Reloading, change_with
from hostler.upkeep import background, disk_watch, expiry, idle_stop, policy_watch
from hostler.web.routes import routes

log = structlog.get_logger(__name__)

OWNER = Principal("00000000-0000-0000-0000-000000000001", "user", "owner", "admin")


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
    async with AsyncExitStack() as stack:
        ground = await laid(settings, environ, load, stack)
        housing = await housed(ground, stack)
        turns = await set_up(ground, housing)
        await _begin(ground, housing, turns, stack)
        operated = await _operated(ground, housing, turns)
        stack.enter_context(background(*operated.beside))
        token = await _owner_token(ground)
        ground.redactor.add([ground.home.token_file.read_text().strip()])
        parts = parts_of(ground, housing, turns, operated)
        turns.workshop.of_project = partial(of_project, parts)
        access = build(parts, routes)
        if access.keep_up is not None:
            stack.enter_context(background(access.keep_up()))
        yield Server(settings, ground.home, access, turns.desk, turns.heart, token, ground.reloading)


async def _begin(ground: Ground, housing: Housing, turns: Turns, stack: AsyncExitStack) -> None:
    """Find what environments and turns there are and go on with them, and do what is to be done beside requests."""
    environments, ambient = housing.environments, ground.ambient

    async def exists(execution: str) -> bool:
        return await ground.stores.executions.row(execution) is not None

    await environments.reconcile(exists)
    await turns.engine.open()
    stack.push_async_callback(turns.engine.close)
    # Agents inside wait at closed doors for the next server; what was under way gets its end while there is one.
    stack.push_async_callback(housing.places.close)
    stack.enter_context(
        background(
            turns.heart.run(),
            idle_stop(environments, ambient),
            disk_watch(housing.places.disk, environments, ambient),
            expiry(turns.keeping, ambient),
            daily(turns.retention, ambient),
            policy_watch(turns.policing, turns.desk, turns.engine, ambient),
        )
    )
    change_with(
        ground.reloading,
        ground.models,
        ground.redactor,
        turns.definitions,
        environments,
        housing.servers,
        turns.engine,
        turns.keeping,
    )


async def _operated(ground: Ground, housing: Housing, turns: Turns) -> Operated:
    """Return what is measured, limited, written down and told to others."""

    async def reach(host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await housing.places.reach(host, port, tuple(ground.reloading.current().private_hosts))

    return await operating(
        ground.settings,
        ground.environ,
        ground.stores,
        turns.engine,
        reach,
        ground.signing_key,
        ground.ambient,
        ground.redactor,
        ground.reloading,
        ground.home.runner,
    )


async def _owner_token(ground: Ground) -> str | None:
    """Return a fresh owner's token on the first start, None later."""
    stores, home, ambient = ground.stores, ground.home, ground.ambient
    if home.token_file.exists() and await stores.tokens.by_sha256(home.token_sha256()):
        return None
    token = f"hostler_{ambient.token()}"
    home.write_token(token)
    await stores.tokens.add(ApiToken(ambient.new_id(), home.token_sha256(), OWNER, "owner", "all", ambient.now(), None))
    return token
