"""Reads: a small pool of threads with connections of their own, and how rows become values.

What finds a few rows by their key in a database that is a file here takes a few microseconds, and handing it to a
thread takes many times that, most of all when much is going on: such a read is done where it is asked for.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any, TypeVar

from sqlalchemy import Connection, Select, select
from sqlalchemy.exc import DBAPIError

from hostler.core.errors import Unavailable
from hostler.core.events import Recorded, decode
from hostler.core.ports import Row
from hostler.store.columns import from_ticks, of_json
from hostler.store.database import WAITS, Database, is_away, refusal
from hostler.store.schema import execution
from hostler.store.statements import Statement

T = TypeVar("T")
Rows = Select[*tuple[Any, ...]]

THREADS = 4
FEW = 64
"""Events that are read where they are asked for."""
LOG = "SELECT seq, at, kind, version, body FROM event WHERE execution_id = :id AND seq > :after ORDER BY seq"
ALL, SOME = Statement(LOG), Statement(f"{LOG} LIMIT :limit")
COLUMNS = tuple(Row.__dataclass_fields__)
ONE = Statement(f"SELECT {', '.join(COLUMNS)} FROM execution WHERE id = :id")


class Readers:
    """Runs functions that only read, outside the event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="store-reader")
        self._closed = False
        self._closing = Event()
        self._near: Connection | None = None

    @property
    def near(self) -> bool:
        """Return whether few rows are read at once."""
        return self._database.near is not None

    async def few(self, read: Callable[[Connection], T]) -> T:
        """Return what `read` returns, which finds a few rows by their key and reads them all.

        It is done at once where the database is a file here; what goes wrong there is tried again like any other read.
        """
        if self._database.near is None or self._closed:
            return await self.do(read)
        try:
            if self._near is None:
                self._near = self._database.near.connect()
            return read(self._near)
        except DBAPIError:
            self._leave()
            return await self.do(read)

    def _leave(self) -> None:
        if self._near is not None:
            self._near.close()
            self._near = None

    async def do(self, read: Callable[[Connection], T]) -> T:
        """Return what `read` returns; Unavailable when the database does not answer."""
        if self._closed:
            raise Unavailable("the store is closed")
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._read, read)

    async def close(self) -> None:
        """Wait for what runs and take nothing more."""
        self._closed = True
        self._closing.set()
        self._leave()
        await asyncio.to_thread(self._threads.shutdown)

    def _read(self, read: Callable[[Connection], T]) -> T:
        """Read, and again while the database is away for a moment: reading twice does no harm."""
        for wait in (0.0, *(WAITS if self._database.shared else ())):
            try:
                return self._read_once(read)
            except DBAPIError as error:
                if not is_away(error) or self._closing.wait(wait):
                    raise refusal(error) from error
        try:
            return self._read_once(read)
        except DBAPIError as error:
            raise refusal(error) from error

    def _read_once(self, read: Callable[[Connection], T]) -> T:
        with self._database.readers.connect() as connection:
            return read(connection)


def read_log(connection: Connection, execution_id: str, after: int = 0, limit: int = 0) -> Iterator[Recorded]:
    """Yield the events behind a seq, brought up to today's version."""
    statement = SOME if limit else ALL
    values = {"id": execution_id, "after": after, **({"limit": limit} if limit else {})}
    for seq, at, kind, version, body in statement.rows(connection, values):
        yield Recorded(seq, from_ticks(at), decode(kind, version, of_json(body)))


def read_row(connection: Connection, execution_id: str) -> Row | None:
    """Return the row of an execution."""
    found = ONE.rows(connection, {"id": execution_id})
    return _row(found[0]) if found else None


def _row(found: Sequence[Any]) -> Row:
    *plain, busy, due, created, updated, deleted, view = found
    return Row(
        *plain,
        busy=bool(busy),
        due_at=None if due is None else from_ticks(due),
        created_at=from_ticks(created),
        updated_at=from_ticks(updated),
        deleted_at=None if deleted is None else from_ticks(deleted),
        view=of_json(view),
    )


def rows() -> Rows:
    """Return the SELECT that `fetch_rows` understands."""
    return select(*(execution.c[name] for name in COLUMNS))


def fetch_rows(connection: Connection, statement: Rows) -> tuple[Row, ...]:
    """Run a SELECT made with `rows`."""
    return tuple(Row(*found) for found in connection.execute(statement))
