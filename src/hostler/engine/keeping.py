"""Keeping work outside its environment: after a turn, and once more before an environment is removed."""

import asyncio
import posixpath
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any

import structlog

from hostler.core.ambient import Ambient
from hostler.core.errors import EnvironmentError_, EnvironmentFailed, MachineLost, StaleFence
from hostler.core.kept import WorkKept
from hostler.core.machines import Machine
from hostler.core.ports import EnvironmentRow, EnvironmentRows, Executions, Fact, Row
from hostler.core.providers import Handle, Provider
from hostler.core.redaction import Redactor
from hostler.environments.keeping import KeptWork, Record

log = structlog.get_logger(__name__)

SECONDS = 300.0
LEAVING_SECONDS = 60.0
"""How long the removal of an environment may be held up."""
ORIGIN = ("kind", "source", "setup", "project", "devcontainer", "variables")
"""What is noted of the environment's making, to make another one like it; never a secret."""
GONE = "the environment was deleted before its changes could be kept"
ABSENT = "the environment's files are not on this machine any more"


WORKSPACE = "/workspace"

Alone = Callable[[str, Callable[[], Awaitable[Record]]], Awaitable[Record]]
"""Does something with an environment when nothing else is done with it."""


class Keeping:
    """Keeps the work of executions."""

    def __init__(
        self,
        rows: EnvironmentRows,
        executions: Executions,
        provider: Provider,
        machine_of: Callable[[Handle], Machine],
        kept: KeptWork,
        ambient: Ambient,
        redactor: Redactor,
        *,
        days: float,
    ) -> None:
        self._rows = rows
        self._executions = executions
        self._provider = provider
        self._machine_of = machine_of
        self._kept = kept
        self._ambient = ambient
        self._redactor = redactor
        self.days = days

    async def keep(self, environment: str, execution: str, turn: int, alone: Alone) -> WorkKept:
        """Keep the work of a turn; raises EnvironmentError_ with the reason when it cannot be kept.

        An environment that is stopped is started for it, and stopped again. What was stored before a crash counts,
        also when the environment has gone meanwhile.
        """
        try:
            async with asyncio.timeout(SECONDS):
                row = await self._there(environment)
                try:
                    record = await self._taken(row, execution, turn, self._machine(row))
                except MachineLost:
                    awakened = partial(self._awakened, environment, execution, turn)
                    record = await alone(environment, awakened)
                return record.told(turn)
        except EnvironmentFailed:
            if record := await self._kept.record(execution, turn):
                return record.told(turn)
            raise
        except TimeoutError:
            raise EnvironmentFailed(f"its changes could not be kept within {SECONDS:.0f} seconds") from None

    async def _there(self, environment: str) -> EnvironmentRow:
        row = await self._rows.get(environment)
        if row is None or row.phase in ("deleting", "deleted") or row.handle is None:
            raise EnvironmentFailed(GONE)
        return row

    async def _awakened(self, environment: str, execution: str, turn: int) -> Record:
        """Take a snapshot of an environment whose supervisor does not answer, and leave it running or stopped."""
        row = await self._there(environment)
        handle = Handle.from_json(row.handle or {})
        if (await self._provider.observe(handle)).state == "absent":
            raise EnvironmentFailed(ABSENT)
        await self._provider.start(handle)
        try:
            return await self._taken(row, execution, turn, self._machine(row))
        finally:
            if row.phase != "running":
                await self._provider.stop(handle)

    async def _taken(self, row: EnvironmentRow, execution: str, turn: int, machine: Machine) -> Record:
        if not row.status.get("content"):
            raise EnvironmentFailed("the environment never got its content")
        base = str(row.status.get("base") or "")
        origin: Mapping[str, Any] = {
            "class": row.class_id,
            "name": row.name,
            "base": base,
            **{name: row.spec[name] for name in ORIGIN if name in row.spec},
        }
        anchor = str(row.status.get("anchor", base))
        return await self._kept.keep(machine, execution, turn, base, anchor, origin, secret_files(row))

    def _machine(self, row: EnvironmentRow) -> Machine:
        return self._machine_of(Handle.from_json(row.handle or {}))

    async def filled(self, row: EnvironmentRow, machine: Machine) -> None:
        """Have nothing to do with an environment that is being made."""

    async def ready(self, row: EnvironmentRow, machine: Machine) -> None:
        """Have nothing to do with an environment that is being made."""

    async def leaving(self, row: EnvironmentRow) -> None:
        """Keep what has changed since the last turn, for every execution that stays."""
        if row.handle is None or not row.status.get("content"):
            return
        users = [one for one in await self._staying(row) if one.view.get("hostler", {}).get("turn")]
        handle = Handle.from_json(row.handle)
        if not users or (await self._provider.observe(handle)).state == "absent":
            return
        async with asyncio.timeout(LEAVING_SECONDS):
            await self._provider.start(handle)
            for user in users:
                try:
                    record = await self._taken(row, user.id, user.turn, self._machine(row))
                    await self._tell(user, row.id, record)
                except EnvironmentError_ as problem:
                    log.warning("work could not be kept", execution=user.id, problem=problem.message)

    async def _staying(self, row: EnvironmentRow) -> list[Row]:
        users = [await self._executions.row(one) for one in await self._rows.users(row.id)]
        return [one for one in users if one is not None and one.deleted_at is None]

    async def _tell(self, user: Row, environment: str, record: Record) -> None:
        """Note in the log of an execution that rests what was kept at the last moment; a turn's end notes it itself.

        An agent with a program of its own is busy with it also between turns, so the phase alone says who rests.
        """
        known: Mapping[str, Any] | None = user.view.get("hostler", {}).get("kept")
        same = (known or {}).get("commit", "") == record.snapshot.commit
        if user.phase == "RUNNING" or same:
            return
        fact = Fact(f"leaving/{environment}", record.told(user.turn))
        try:
            await self._executions.append(user.id, user.position, self._ambient.now(), facts=(fact,))
        except StaleFence:
            log.info("an execution began a turn while its environment went", execution=user.id)

    async def forget(self, execution: str) -> None:
        """Keep nothing of an execution any more."""
        await self._kept.remove(execution)

    async def expire(self) -> None:
        """Remove what was kept for as long as the settings say, and say so."""
        for execution in await self._kept.expire(self._ambient.now() - timedelta(days=self.days)):
            log.warning("kept work has expired", execution=execution, days=self.days)


def secret_files(row: EnvironmentRow) -> tuple[str, ...]:
    """Return the paths in the workspace at which an environment's secrets lie: what is kept outlives them."""
    checkout = f"/workspaces/{row.spec.get('checkout', '')}"
    found: list[str] = []
    for path in (str(one["path"]) for one in row.spec.get("secrets", ()) if one["path"]):
        whole = posixpath.normpath(posixpath.join(WORKSPACE, path))
        found += [whole[len(top) + 1 :] for top in (WORKSPACE, checkout) if whole.startswith(f"{top}/")]
    return tuple(found)
