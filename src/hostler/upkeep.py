"""What a server does beside its requests until it closes: looks at what is idle, full or too old."""

import asyncio
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import structlog

from hostler.core.ambient import Ambient
from hostler.engine.desk import Desk
from hostler.engine.engine import Engine
from hostler.engine.environments import Environments
from hostler.engine.keeping import Keeping
from hostler.engine.policing import Policing
from hostler.environments import disk

log = structlog.get_logger(__name__)

IDLE_LOOK = 20.0
DISK_LOOK = 1.0
POLICY_LOOK = 5.0
EXPIRY_LOOK = 3600.0


@contextmanager
def background(*work: Coroutine[Any, Any, None]) -> Generator[None]:
    """Do work beside the server until it closes."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()


async def idle_stop(environments: Environments, ambient: Ambient) -> None:
    """Stop idle environments."""
    while True:
        await ambient.until(ambient.now() + timedelta(seconds=IDLE_LOOK))
        try:
            await environments.stop_idle()
        except Exception as problem:  # noqa: BLE001 whatever it was, the next look is due all the same
            log.warning("idle environments could not be looked at", problem=str(problem))


async def disk_watch(watch: disk.DiskWatch, environments: Environments, ambient: Ambient) -> None:
    """Stop environments that take more of the disk than they may."""
    while True:
        await ambient.until(ambient.now() + timedelta(seconds=DISK_LOOK))
        try:
            found = await watch.look()
            await asyncio.gather(*(environments.overfull(one.environment, disk.told(one)) for one in found))
        except Exception as problem:  # noqa: BLE001 as above
            log.warning("what environments take of the disk could not be looked at", problem=str(problem))


async def expiry(keeping: Keeping, ambient: Ambient) -> None:
    """Remove kept work whose time is over."""
    while True:
        try:
            await keeping.expire()
        except Exception as problem:  # noqa: BLE001 as above
            log.warning("kept work could not be looked at", problem=str(problem))
        await ambient.until(ambient.now() + timedelta(seconds=EXPIRY_LOOK))


async def policy_watch(policing: Policing, desk: Desk, engine: Engine, ambient: Ambient) -> None:
    """Look at the policy again, which another process may have changed, and stop who is beyond a cap."""
    while True:
        await ambient.until(ambient.now() + timedelta(seconds=POLICY_LOOK))
        try:
            await policing.enforce(desk.command)
            engine.slots.look_again()
        except Exception as problem:  # noqa: BLE001 as above
            log.warning("the organization's policy could not be looked at", problem=str(problem))
