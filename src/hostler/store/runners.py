"""Which incarnation of a runner lives; claims look here under the same lock that `boot` writes under."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, text, update

from hostler.core.errors import StaleFence
from hostler.store.columns import from_ticks, to_ticks
from hostler.store.reading import Readers
from hostler.store.schema import runner as table
from hostler.store.writer import Writer, Writing


@dataclass(frozen=True, slots=True)
class Runner:
    """A runner's incarnation; `until` is when its last sign of life stops counting."""

    id: str
    incarnation: str
    until: datetime


class Runners:
    """The runners of this database, and this process's own incarnation among them."""

    def __init__(self, writer: Writer, readers: Readers, row_lock: str) -> None:
        self._writer = writer
        self._readers = readers
        self._locked = text("SELECT id, incarnation, until FROM runner WHERE id = :id" + row_lock)
        self._mine = ("", "")

    async def boot(self, runner: str, incarnation: str, until: datetime) -> Runner | None:
        """Make this incarnation the runner's only one; return the one before it, None at the very first boot."""
        values = {"id": runner, "incarnation": incarnation, "until": to_ticks(until)}

        def work(writing: Writing) -> Runner | None:
            before = writing.connection.execute(self._locked, {"id": runner}).one_or_none()
            statement = (
                "UPDATE runner SET incarnation = :incarnation, until = :until WHERE id = :id"
                if before
                else "INSERT INTO runner (id, incarnation, until) VALUES (:id, :incarnation, :until)"
            )
            writing.connection.execute(text(statement), values)
            return Runner(before.id, before.incarnation, from_ticks(before.until)) if before else None

        before = await self._writer.do(work)
        self._mine = (runner, incarnation)
        return before

    async def heartbeat(self, until: datetime) -> None:
        """Say that this incarnation lives; StaleFence when another one has taken its place."""
        runner, incarnation = self._mine
        here = (table.c.id == runner, table.c.incarnation == incarnation)
        statement = update(table).where(*here).values(until=until)
        if not await self._writer.do(lambda writing: writing.connection.execute(statement).rowcount):
            raise StaleFence("another process has taken over this runner")

    async def incarnation_of(self, runner: str) -> str | None:
        """Return the runner's present incarnation; None for a runner that never booted."""
        found = await self.get(runner)
        return found.incarnation if found else None

    async def get(self, runner: str) -> Runner | None:
        """Return a runner with its last sign of life."""
        statement = select(table).where(table.c.id == runner)
        found = await self._readers.do(lambda connection: connection.execute(statement).one_or_none())
        return Runner(found.id, found.incarnation, found.until) if found else None
