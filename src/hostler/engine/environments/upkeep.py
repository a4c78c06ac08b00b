"""Rows and world are kept together: at boot what a crash left half done is finished, later what idles is stopped."""

import contextlib
from collections.abc import Awaitable, Callable

import structlog

from hostler.core.ambient import Ambient
from hostler.core.errors import EnvironmentFailed, HostlerError
from hostler.core.ports import EnvironmentRow
from hostler.core.providers import Handle, Provider
from hostler.core.redaction import Redactor
from hostler.core.vault import Vault
from hostler.engine.environments.journal import Journal
from hostler.engine.environments.lives import Lives
from hostler.engine.environments.rows import Ledger
from hostler.engine.environments.shape import Shapes

log = structlog.get_logger(__name__)

TOUCH = 30.0
"""Seconds after which the use of an environment is noted again."""


class Upkeep:
    """Looks after every environment of this runner."""

    def __init__(
        self,
        runner: str,
        ledger: Ledger,
        provider: Provider,
        vault: Vault,
        shapes: Shapes,
        journal: Journal,
        lives: Lives,
        ambient: Ambient,
        redactor: Redactor,
        works: Callable[[str], bool],
    ) -> None:
        self._runner = runner
        self._ledger = ledger
        self._provider = provider
        self._vault = vault
        self._shapes = shapes
        self._journal = journal
        self._lives = lives
        self._ambient = ambient
        self._redactor = redactor
        self._works = works

    def idle(self, row: EnvironmentRow) -> float:
        """Return for how many seconds nobody is known to have used an environment."""
        return (self._ambient.now() - row.last_used_at).total_seconds()

    async def reconcile(self, exists: Callable[[str], Awaitable[bool]]) -> None:
        """Bring rows and world together after a crash; `exists` says whether an execution is still there."""
        known = {row.id: row for row in await self._ledger.rows.find(runner=self._runner)}
        for environment in await self._vault.environments():
            if environment in known:
                self._redactor.add((await self._vault.get(environment)).values())
            else:
                await self._vault.remove(environment)
        async for handle in self._provider.list():
            if handle.environment not in known:
                # A row is written before and removed after its environment, so this is another database's.
                log.warning(
                    "an environment that this database does not know is stopped", environment=handle.environment
                )
                with contextlib.suppress(EnvironmentFailed):
                    await self._provider.stop(handle)
        for row in known.values():
            try:
                await self._reconcile(row, exists)
            except HostlerError as problem:
                log.warning("an environment could not be looked at", environment=row.id, problem=problem.message)

    async def _reconcile(self, row: EnvironmentRow, exists: Callable[[str], Awaitable[bool]]) -> None:
        if row.phase == "deleting" or (row.owner_execution and not await self._wanted_by_any(row, exists)):
            self._lives.spawn(row.id, self._lives.remove)
        elif row.phase == "starting" or (row.phase == "creating" and not row.owner_execution):
            self._lives.begin(row.id)
        elif row.phase == "stopping":
            self._lives.spawn(row.id, lambda one: self._lives.stop(one, "stopped"))
        elif row.phase == "running" and row.handle is not None:
            if await self._runs(row):
                self._lives.begin(row.id)
            else:
                await self._ledger.change(row.id, phase="stopped")
                await self._journal.say(row.id, "it was found stopped when the server started")
        elif row.phase == "stopped" and row.handle is not None and await self._runs(row):
            # A server that was killed had started it for a moment, to keep its work.
            await self._provider.stop(Handle.from_json(row.handle))

    async def _wanted_by_any(self, row: EnvironmentRow, exists: Callable[[str], Awaitable[bool]]) -> bool:
        """Return whether the execution that an environment was made for, or any of its users, is still there."""
        users = await self._ledger.rows.users(row.id)
        return any([await exists(one) for one in (row.owner_execution, *users)])

    async def _runs(self, row: EnvironmentRow) -> bool:
        return (await self._provider.observe(Handle.from_json(row.handle or {}))).state == "running"

    async def look(self) -> None:
        """Stop what idles, note what ended by itself, and go on with deletions that did not come true."""
        for row in await self._ledger.rows.find(runner=self._runner, phases=("deleting",)):
            self._lives.spawn(row.id, self._lives.remove)
        for row in await self._ledger.rows.find(runner=self._runner, phases=("running",)):
            await self._lives.quietly(row.id, lambda _, row=row: self._look(row))

    async def _look(self, row: EnvironmentRow) -> None:
        if await self._is_worked_in(row):
            if self.idle(row) > TOUCH:
                await self._ledger.change(row.id, used=True, quiet=True)
        elif await self._idles(row):
            log.info("an idle environment is stopped", environment=row.id, idle_seconds=round(self.idle(row)))
            why = f"stopped after {self._shapes.idle_seconds(row) / 60:g} minutes without use"
            await self._lives.rest(row.id, self._idles, why, {"timed_out": why})
        elif row.handle is not None and not await self._runs(row):
            await self._lives.work.alone(row.id, lambda: self._note_end(row.id))

    async def _is_worked_in(self, row: EnvironmentRow) -> bool:
        return any(self._works(user) for user in await self._ledger.rows.users(row.id))

    async def _idles(self, row: EnvironmentRow) -> bool:
        """Return whether an environment has been idle for longer than it may; work may begin at any time."""
        longest = self._shapes.idle_seconds(row)
        return bool(longest) and self.idle(row) > longest and not await self._is_worked_in(row)

    async def _note_end(self, environment: str) -> None:
        """Note that an environment ended by itself, if that is still so when it is nobody else's turn."""
        row = await self._ledger.rows.get(environment)
        if row is not None and row.phase == "running" and row.handle is not None and not await self._runs(row):
            await self._ledger.change(environment, phase="stopped")
            await self._journal.say(environment, "it has ended by itself")
