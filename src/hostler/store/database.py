"""What the two databases do differently, and the one place where their errors become ours."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Protocol

from sqlalchemy import Connection, Engine, make_url
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, OperationalError, ProgrammingError

from hostler.core.errors import HostlerError, InvalidArgument, Unavailable

PATIENCE = timedelta(seconds=5)
"""How long a statement waits for a lock that somebody outside Hostler holds."""


COLLISIONS = ("40001", "40P01")
"""What Postgres says to the one of two transactions that has to make room: serialization failure, deadlock."""

WAITS = (0.05, 0.1, 0.2, 0.4)
"""Seconds between the attempts to bridge the restart of a database; who waits longer is told."""

Hear = Callable[[frozenset[str] | None], None]
"""Is told which ids another process changed; None when that is not known, so that everybody looks again."""


class Database(Protocol):
    """One database, open from the first `writer()` to `close()`."""

    shared: bool
    """Whether other processes may have it open too."""
    row_lock: str
    """What ends a SELECT that keeps its rows from being changed until the commit."""
    row_hold: str
    """What ends one that only keeps them from being locked like that, so that many may hold the same row."""
    text_type: str
    """The type of text that compares byte by byte."""

    def writer(self) -> Connection:
        """Return a new connection for the one writer; FailedPrecondition when another process keeps us out."""
        ...

    def hold_schema(self, connection: Connection) -> None:
        """Keep every other process from changing the schema until the transaction ends."""
        ...

    def announce(self, connection: Connection, changed: frozenset[str]) -> None:
        """Tell the other processes what the transaction changed, once it is committed and not before."""
        ...

    def listening(self, hear: Hear) -> AbstractAsyncContextManager[None]:
        """Hear, inside, what other processes announce; entering returns when nothing is missed any more."""
        ...

    @property
    def readers(self) -> Engine:
        """Return connections for single SELECTs, each seeing all that is committed."""
        ...

    @property
    def near(self) -> Engine | None:
        """Return connections like `readers`' that answer at once or fail; None where an answer comes over a network."""
        ...

    def close(self) -> None:
        """Close the readers' connections and let the database go; the writer's own connection is closed before."""
        ...


def database_of(url: str, patience: timedelta = PATIENCE) -> Database:
    """Return the database of a URL, sqlite:///PATH or postgresql://...; a driver is imported only when it is used."""
    parsed = make_url(url)
    match parsed.get_backend_name():
        case "sqlite":
            from hostler.store.sqlite import Sqlite

            return Sqlite(parsed, patience)
        case "postgresql" | "postgres":
            from hostler.store.postgres import Postgres

            return Postgres(parsed, patience)
        case other:
            raise InvalidArgument(f"{other} is not supported; use sqlite:///PATH or postgresql://...", field="database")


def is_fatal(error: DBAPIError) -> bool:
    """Return whether an error says something about the database rather than about the one statement."""
    return error.connection_invalidated or not isinstance(error, DataError | IntegrityError | ProgrammingError)


def is_collision(error: DBAPIError) -> bool:
    """Return whether another writer was in the way, so that the same work done again may well succeed."""
    return isinstance(error, IntegrityError) or getattr(error.orig, "sqlstate", "") in COLLISIONS


def is_away(error: DBAPIError) -> bool:
    """Return whether the database was not reached, or was lost; whether a commit took effect is not said by that."""
    return error.connection_invalidated or (isinstance(error, OperationalError) and error.statement is None)


def refusal(error: DBAPIError) -> HostlerError:
    """Return the error that the caller of the store gets for one of the driver's."""
    first_line = (str(error.orig).strip().splitlines() or [type(error.orig).__name__])[0]
    if isinstance(error, DataError):
        return InvalidArgument(f"the database cannot keep a value: {first_line}")
    return Unavailable(f"the database cannot be used at the moment: {first_line}")
