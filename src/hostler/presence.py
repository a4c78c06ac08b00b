"""How a server is known to the other processes of its database: its signs of life, and what it tells of itself."""

import platform
import signal
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any

import structlog

from hostler.api.parts import Health
from hostler.config import Settings
from hostler.core.ambient import Ambient
from hostler.core.errors import HostlerError, StaleFence
from hostler.core.lease import Lease
from hostler.definitions import classes_of
from hostler.engine.desk import Desk
from hostler.engine.engine import Engine
from hostler.engine.peers import Peers
from hostler.store.runners import Runners

log = structlog.get_logger(__name__)

BEATS = 4
"""Signs of life in one lease."""


def told_of(settings: Settings) -> dict[str, Any]:
    """Return what a server tells of itself that does not change while it runs."""
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "classes": [one.id for one in classes_of(settings)],
        "sandbox": settings.sandbox,
    }


def teller(settings: Settings, ready: Callable[[], Awaitable[Health]]) -> Callable[[], Awaitable[Mapping[str, Any]]]:
    """Return what a server tells of itself with every sign of life."""
    fixed = told_of(settings)

    async def tell() -> Mapping[str, Any]:
        health = await ready()
        return {**fixed, "ready": health.ready, "reason": health.reason}

    return tell


class Heartbeat:
    """Says every few seconds that this incarnation lives, and looks who else does.

    One that was replaced takes nothing more. Where the lease had run out, for instance because this process slept,
    all work is let go first and taken anew: somebody else may have decided for it.
    """

    def __init__(
        self,
        runners: Runners,
        peers: Peers,
        desk: Desk,
        engine: Engine,
        lease: Lease,
        ambient: Ambient,
        tell: Callable[[], Awaitable[Mapping[str, Any]]],
        seconds: float,
    ) -> None:
        self._runners = runners
        self._peers = peers
        self._desk = desk
        self._engine = engine
        self._lease = lease
        self._ambient = ambient
        self._tell = tell
        self._seconds = seconds
        self.url: str | None = None
        """Where this process is reached, once it listens."""

    async def run(self) -> None:
        """Beat until this process is replaced."""
        while True:
            await self._ambient.until(self._ambient.now() + timedelta(seconds=self._seconds / BEATS))
            try:
                await self.beat()
            except StaleFence:
                self._desk.draining = True
                log.error("another process has taken this runner's place; this one stops")
                signal.raise_signal(signal.SIGTERM)
                return
            except HostlerError as problem:
                log.warning("the heartbeat did not reach the database", problem=problem.message)
            except Exception:
                log.exception("the heartbeat failed")

    async def beat(self) -> None:
        """Renew the lease once; raises StaleFence when another process has taken this runner's place."""
        details = await self._tell()
        asked, until = self._ambient.boot(), self._ambient.now() + timedelta(seconds=self._seconds)
        await self._runners.heartbeat(until, url=self.url, details=details)
        slept = not self._lease.held
        if slept:
            await self._engine.let_go()
        self._lease.renewed(asked)
        if slept:
            await self._engine.sweep()
        await self._peers.look()
