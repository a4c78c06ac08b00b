"""One environment's comings and goings: brought up, stopped, removed, each in its turn."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import structlog

from hostler.core.errors import EnvironmentError_, EnvironmentFailed, Fenced, HostlerError
from hostler.core.ports import EnvironmentRow
from hostler.engine.environments.journal import Journal
from hostler.engine.environments.making import Maker
from hostler.engine.environments.rows import Ledger
from hostler.engine.environments.work import Works

log = structlog.get_logger(__name__)


class Lives:
    """Begins and ends the lives of environments."""

    def __init__(self, ledger: Ledger, maker: Maker, journal: Journal) -> None:
        self._ledger = ledger
        self._maker = maker
        self._journal = journal
        self._removing: dict[str, asyncio.Task[None]] = {}
        self.work = Works()

    async def up(self, environment: str, *, keep: bool = False) -> EnvironmentRow:
        """Make an environment run, from wherever it is; raises EnvironmentFailed."""
        row = await self.work.make(environment, lambda: self._maker.up(environment), keep=keep)
        if row is None:
            left = await self._ledger.rows.get(environment)
            ended = (left.status.get("overfull") if left else "") or "stopped or deleted"
            raise EnvironmentFailed(f"while it came up, the environment was {ended}")
        return row

    async def rebuild(self, environment: str, name: str) -> Sequence[str]:
        """Run the lifecycle commands of an environment again, which is brought up first; return what went wrong."""
        return await self._maker.rebuild(await self.up(environment), name)

    def begin(self, environment: str) -> None:
        """Make an environment run in the background; a failure is in its status."""
        self.spawn(environment, lambda one: self.up(one, keep=True))

    async def stop(self, environment: str, why: str, status: Mapping[str, Any] | None = None) -> EnvironmentRow:
        """End every process of an environment and keep its files; what is being made of it is called off."""

        async def stop() -> EnvironmentRow:
            row = await self._ledger.staying(environment)
            if row.phase != "stopped":
                await self._maker.stop(row)
                await self._journal.say(environment, why)
            return await self._ledger.change(environment, status=status or {})

        return await self.work.end(environment, stop)

    async def rest(
        self, environment: str, holds: Callable[[EnvironmentRow], Awaitable[bool]], why: str, status: Mapping[str, Any]
    ) -> None:
        """Stop a running environment if something holds of it when it is nobody else's turn."""

        async def stop() -> None:
            row = await self._ledger.rows.get(environment)
            if row is not None and row.phase == "running" and await holds(row):
                await self._maker.stop(row)
                await self._journal.say(environment, why)
                await self._ledger.change(environment, status=status)

        await self.work.alone(environment, stop)

    async def remove(self, environment: str) -> None:
        """Remove an environment for good; repeating it is fine, and joins a removal under way."""
        task = self._removing.get(environment)
        if task is None:
            task = self._removing[environment] = self.work.spawn(self._remove(environment))
            task.add_done_callback(lambda _: self._removing.pop(environment, None))
        await asyncio.shield(task)

    async def _remove(self, environment: str) -> None:
        if await self._ledger.rows.get(environment) is None:
            return
        with contextlib.suppress(EnvironmentFailed):
            await self._ledger.change(environment, phase="deleting")

        async def remove() -> None:
            row = await self._ledger.rows.get(environment)
            if row is None:
                return
            for hooks in self._maker.hooks:
                try:
                    await hooks.leaving(row)
                except (HostlerError, OSError) as problem:
                    log.warning("what precedes a removal failed", environment=environment, problem=str(problem))
                except Exception:  # A fault of ours, which would keep the environment for ever.
                    log.exception("what precedes a removal failed", environment=environment)
            await self._maker.delete(row)

        await self.work.end(environment, remove)
        self.work.forget(environment)

    def spawn(self, environment: str, work: Callable[[str], Awaitable[object]]) -> None:
        """Do something with an environment in the background."""
        self.work.spawn(self.quietly(environment, work))

    async def quietly(self, environment: str, work: Callable[[str], Awaitable[object]]) -> None:
        """Do something with an environment; what goes wrong is said in the server's log."""
        try:
            await work(environment)
        except (EnvironmentFailed, Fenced) as problem:
            log.info("an environment is not as it should be", environment=environment, problem=problem.message)
        except (EnvironmentError_, OSError) as problem:
            log.warning("work on an environment failed", environment=environment, problem=str(problem))
        except HostlerError:
            log.exception("work on an environment failed", environment=environment)
