"""Which incarnation of a runner lives; claims look here under the same lock that `boot` writes under."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, delete, select, text, update

from hostler.core.errors import StaleFence
from hostler.core.runners import RunnerSeen as Runner
from hostler.store.columns import from_ticks, to_ticks
from hostler.store.reading import Readers
from hostler.store.schema import runner as table
from hostler.store.writer import Writer, Writing


class Runners:
    """The runners of this database, and this process's own incarnation among them."""

    def __init__(self, writer: Writer, readers: Readers, row_lock: str) -> None:
        self._writer = writer
        self._readers = readers
        self._locked = text("SELECT id, incarnation, until FROM runner WHERE id = :id" + row_lock)
        self._mine = ("", "")

    async def boot(
        self,
        runner: str,
        incarnation: str,
        until: datetime,
        *,
        name: str = "",
        version: str = "",
        details: Mapping[str, Any] | None = None,
    ) -> Runner | None:
        """Make this incarnation the runner's only one; return the one before it, None at the very first boot.

        Where it is reached is not known yet, see `heartbeat`.
        """
        values = {"id": runner, "incarnation": incarnation, "until": to_ticks(until), "name": name, "version": version}
        values["details"] = json.dumps(details or {})

        def work(writing: Writing) -> Runner | None:
            before = writing.connection.execute(self._locked, {"id": runner}).one_or_none()
            statement = (
                "UPDATE runner SET incarnation = :incarnation, until = :until, name = :name, url = '', "
                "version = :version, details = :details WHERE id = :id"
                if before
                else "INSERT INTO runner (id, incarnation, until, name, version, details) "
                "VALUES (:id, :incarnation, :until, :name, :version, :details)"
            )
            writing.connection.execute(text(statement), values)
            return Runner(before.id, before.incarnation, from_ticks(before.until)) if before else None

        before = await self._writer.do(work)
        self._mine = (runner, incarnation)
        return before

    async def heartbeat(
        self, until: datetime, *, url: str | None = None, details: Mapping[str, Any] | None = None
    ) -> None:
        """Say that this incarnation lives, and where and how; StaleFence when another one has taken its place."""
        runner, incarnation = self._mine
        here = (table.c.id == runner, table.c.incarnation == incarnation)
        values: dict[str, Any] = {"until": until}
        values |= {} if url is None else {"url": url}
        values |= {} if details is None else {"details": json.dumps(details)}
        statement = update(table).where(*here).values(**values)
        if not await self._writer.do(lambda writing: writing.connection.execute(statement).rowcount):
            raise StaleFence("another process has taken over this runner")

    async def incarnation_of(self, runner: str) -> str | None:
        """Return the runner's present incarnation; None for a runner that never booted."""
        found = await self.get(runner)
        return found.incarnation if found else None

    async def get(self, runner: str) -> Runner | None:
        """Return a runner with its last sign of life."""
        return next((one for one in await self.find() if one.id == runner), None)

    async def find(self) -> tuple[Runner, ...]:
        """Return all runners that ever booted here and were not removed, by id."""
        statement = select(table).order_by(table.c.id)
        return await self._readers.do(
            lambda connection: tuple(_runner(row) for row in connection.execute(statement).mappings())
        )

    async def remove(self, runner: str) -> None:
        """Forget a runner; repeating it is fine."""
        await self._writer.do(lambda writing: writing.connection.execute(delete(table).where(table.c.id == runner)))


def _runner(row: RowMapping) -> Runner:
    return Runner(
        row["id"],
        row["incarnation"],
        row["until"],
        row["name"],
        row["url"],
        row["version"],
        json.loads(row["details"]),
    )
