"""The log and the row of every execution: the port, over the writer, the readers and the watches."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Generic, TypeVar

from sqlalchemy import Connection, text

from hostler.core.errors import NotFound
from hostler.core.events import Event, Recorded
from hostler.core.ports import Appended, ExecutionQuery, Fact, Idempotency, Position, Projection, Row
from hostler.store.folding import Fold
from hostler.store.lists import counted, page
from hostler.store.log import Appending, Log, line
from hostler.store.reading import FEW, Readers, fetch_rows, read_log, read_row, rows
from hostler.store.schema import execution as table
from hostler.store.watch import StoreWatch, Watches
from hostler.store.writer import Writer

S = TypeVar("S")

HEADS = 8192
"""Executions of which it is remembered how long their logs are; of others it is read."""
BEHIND = "~"
"""Sorts behind every character of an id."""


class StoredExecutions(Generic[S]):
    """The log and the row of every execution."""

    def __init__(self, writer: Writer, readers: Readers, watches: Watches, log: Log[S], fold: Fold[S]) -> None:
        self._writer = writer
        self._readers = readers
        self._watches = watches
        self._log = log
        self._fold = fold
        self.heard: Callable[[str, Sequence[Recorded]], None] | None = None
        """Is told what this process has appended, once it is on the disk."""
        self._heads: OrderedDict[str, int] = OrderedDict()

    async def create(
        self, execution: str, runner: str, events: Sequence[Event], at: datetime, once: Idempotency | None = None
    ) -> tuple[str, bool]:
        """Write a new execution, or return the one that this key started."""
        lines, at = [line(event) for event in events], at.astimezone(UTC)

        def note(made: tuple[str, bool]) -> None:
            if made[1]:
                self._note(execution, [Recorded(seq, at, line.event) for seq, line in enumerate(lines, start=1)])

        return await self._writer.do(
            lambda writing: self._log.create(writing, execution, runner, lines, at, once), note
        )

    async def append(
        self,
        execution: str,
        position: Position,
        at: datetime,
        *,
        facts: Sequence[Fact] = (),
        decisions: Sequence[Event] = (),
        own: str | None = None,
        new_fence: bool = False,
        progress: bool = False,
    ) -> Appended:
        """Append facts by fence and decisions by compare-and-set."""
        asked = Appending(
            execution=execution,
            position=position,
            at=at.astimezone(UTC),
            facts=[line(fact.event, fact.effect) for fact in facts],
            decisions=[line(event) for event in decisions],
            own=own,
            new_fence=new_fence,
            progress=progress,
        )
        return await self._writer.do(
            lambda writing: self._log.append(writing, asked), lambda appended: self._note(execution, appended.recorded)
        )

    def _note(self, execution: str, recorded: Sequence[Recorded]) -> None:
        """Know how long a log is now, and tell who listens to this process."""
        if recorded:
            self._heads[execution] = recorded[-1].seq
            self._heads.move_to_end(execution)
            if len(self._heads) > HEADS:
                self._heads.popitem(last=False)
        if self.heard is not None:
            self.heard(execution, recorded)

    def head(self, execution: str) -> int | None:
        """Return the last seq that this process appended, if it has heard of no other one."""
        return self._heads.get(execution)

    def elsewhere(self, changed: frozenset[str] | None) -> None:
        """Hear what other processes changed; None: anything."""
        if changed is None:
            self._heads.clear()
        for execution in changed or ():
            self._heads.pop(execution, None)

    async def claim(self, execution: str, seen_fence: int, owner: str) -> Position | None:
        """Take the execution for this incarnation of its runner."""
        return await self._writer.do(lambda writing: self._log.claim(writing, execution, seen_fence, owner))

    async def move(self, execution: str, seen_fence: int, runner: str) -> Position | None:
        """Give the execution to another runner."""
        return await self._writer.do(lambda writing: self._log.move(writing, execution, seen_fence, runner))

    async def read(self, execution: str, after: int = 0, limit: int = 0) -> tuple[Recorded, ...]:
        """Return the events behind a seq."""

        def few(connection: Connection) -> tuple[Recorded, ...]:
            return tuple(read_log(connection, execution, after, limit if 0 < limit < FEW else FEW))

        if self._readers.near and len(found := await self._readers.few(few)) < FEW:
            return found
        return await self._readers.do(lambda connection: tuple(read_log(connection, execution, after, limit)))

    async def row(self, execution: str) -> Row | None:
        """Return the row, also of a deleted execution."""
        return await self._readers.few(lambda connection: read_row(connection, execution))

    async def find(self, query: ExecutionQuery, before: str = "", limit: int = 25) -> tuple[Row, ...]:
        """Return rows that are not deleted, newest first."""
        statement = page(query, before, limit)
        return await self._readers.do(lambda connection: fetch_rows(connection, statement))

    async def count(self, query: ExecutionQuery, most: int) -> int:
        """Return how many rows a filter finds, up to a bound."""
        statement = counted(query, most)
        return await self._readers.do(lambda connection: connection.execute(statement).scalar_one())

    async def with_prefix(self, prefix: str, limit: int = 2, creator: str = "") -> tuple[Row, ...]:
        """Return rows whose id begins with `prefix`."""
        here = (table.c.deleted_at.is_(None), table.c.id >= prefix, table.c.id < prefix + BEHIND)
        here = (*here, table.c.creator_id == creator) if creator else here
        statement = rows().where(*here).order_by(table.c.id).limit(limit)
        return await self._readers.do(lambda connection: fetch_rows(connection, statement))

    async def busy(self, runner: str) -> tuple[Row, ...]:
        """Return the runner's rows that have something to do, oldest first."""
        here = (table.c.runner == runner, text("execution.busy"))  # as the index has it, not `busy = 1`
        statement = rows().where(*here).order_by(table.c.id)
        return await self._readers.do(lambda connection: fetch_rows(connection, statement))

    async def purge(self, execution: str) -> None:
        """Remove every trace of an execution."""
        await self._writer.do(lambda writing: self._log.purge(writing, execution))
        self._heads.pop(execution, None)

    async def rebuild(self, execution: str) -> Projection:
        """Return the projection folded from the first event on, whatever the row says; NotFound without a log."""
        log = await self.read(execution)
        if not log:
            raise NotFound("there is no such execution", field="agent_execution_id")
        return self._fold.project(self._fold.state(log))

    def watch(self, execution: str | None = None) -> AbstractAsyncContextManager[StoreWatch]:
        """Watch one execution, or all of them."""
        return self._watches.watch(execution)
