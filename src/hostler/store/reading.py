"""Reads: a small pool of threads with connections of their own, and how rows become values."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any, TypeVar

from sqlalchemy import Connection, Select, select, text
from sqlalchemy.exc import DBAPIError

from hostler.core.errors import Unavailable
from hostler.core.events import Recorded, decode
from hostler.core.ports import Row
from hostler.store.columns import from_ticks, of_json
from hostler.store.database import WAITS, Database, is_away, refusal
from hostler.store.schema import execution

T = TypeVar("T")
Rows = Select[*tuple[Any, ...]]

THREADS = 4
LOG = "SELECT seq, at, kind, version, body FROM event WHERE execution_id = :id AND seq > :after ORDER BY seq"
ALL, SOME = text(LOG), text(f"{LOG} LIMIT :limit")


class Readers:
    """Runs functions that only read, outside the event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="store-reader")
        self._closed = False
        self._closing = Event()

    async def do(self, read: Callable[[Connection], T]) -> T:
        """Return what `read` returns; Unavailable when the database does not answer."""
        if self._closed:
            raise Unavailable("the store is closed")
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._read, read)

    async def close(self) -> None:
        """Wait for what runs and take nothing more."""
        self._closed = True
        self._closing.set()
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
    for seq, at, kind, version, body in connection.execute(
        statement, {"id": execution_id, "after": after} | ({"limit": limit} if limit else {})
    ):
        yield Recorded(seq, from_ticks(at), decode(kind, version, of_json(body)))


def rows() -> Rows:
    """Return the SELECT that `to_row` understands."""
    return select(*(execution.c[name] for name in Row.__dataclass_fields__))


def fetch_rows(connection: Connection, statement: Rows) -> tuple[Row, ...]:
    """Run a SELECT made with `rows`."""
    return tuple(Row(*found) for found in connection.execute(statement))
