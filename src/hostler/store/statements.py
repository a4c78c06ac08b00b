"""SQL of the path whose cost every step of every agent pays: the driver is given it as it is.

Between it and the driver, SQLAlchemy costs several times what SQLite itself does, and on Postgres as much as the way
there and back. What the driver raises is raised in SQLAlchemy's form, so that nobody has to know which way it went.

Nothing is pipelined on Postgres: a process that is paused between two statements of a pipeline keeps its locks for as
long as it sleeps, for its session is not idle in the sense of `idle_in_transaction_session_timeout`.
"""

import re
import sqlite3
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    import psycopg

SQLITE = SQLiteDialect_pysqlite()
Values = Mapping[str, Any]
ROWS = 64
"""Rows that are inserted with one statement."""
NAME = re.compile(r"(?<![:\w]):(\w+)")
ROW = re.compile(r"(?<=VALUES )\([^()]*\)")


class Statement:
    """One statement with named parameters, `:name`, and no other colon before a name."""

    def __init__(self, sql: str) -> None:
        self._sql = sql
        self._in_psycopg = _in_psycopg(sql)

    def rows(self, connection: Connection, values: Values) -> Sequence[tuple[Any, ...]]:
        """Run it and return the rows that it finds."""
        return self._run(connection, values).fetchall()

    def run(self, connection: Connection, values: Values) -> int:
        """Run it and return how many rows it changed."""
        return self._run(connection, values).rowcount

    def run_each(self, connection: Connection, rows: Sequence[Values]) -> None:
        """Run it, an INSERT of one row, for some rows of which no two have the same key."""
        if not _is_sqlite(connection):
            for first in range(0, len(rows), ROWS):
                self._insert(connection, rows[first : first + ROWS])
            return
        try:
            _sqlite(connection).executemany(self._sql, rows)
        except sqlite3.Error as error:
            raise self._said(error, rows) from error

    def _insert(self, connection: Connection, rows: Sequence[Values]) -> None:
        """Insert rows with one statement."""
        many = ROW.sub(lambda row: ", ".join(NAME.sub(rf":\1_{n}", row[0]) for n in range(len(rows))), self._sql)
        values = {f"{name}_{n}": value for n, row in enumerate(rows) for name, value in row.items()}
        with _told(connection, self._sql, values):
            _psycopg(connection).execute(_in_psycopg(many), values)

    def _run(self, connection: Connection, values: Values) -> "sqlite3.Cursor | psycopg.Cursor[Any]":
        if not _is_sqlite(connection):
            with _told(connection, self._sql, values):
                return _psycopg(connection).execute(self._in_psycopg, values)
        try:
            return _sqlite(connection).execute(self._sql, values)
        except sqlite3.Error as error:
            raise self._said(error, values) from error

    def _said(self, error: sqlite3.Error, values: Any) -> BaseException:
        return DBAPIError.instance(self._sql, values, error, sqlite3.Error, dialect=SQLITE)


@cache
def _in_psycopg(sql: str) -> bytes:
    """Return a statement as Postgres' driver wants it."""
    return NAME.sub(r"%(\1)s", sql.replace("%", "%%")).encode()


@contextmanager
def _told(connection: Connection, sql: str, values: Values) -> Generator[None]:
    """Raise what Postgres' driver raises in SQLAlchemy's form; a connection that is lost is given up, as it does."""
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        raw: Any = error
        lost = connection.dialect.is_disconnect(raw, connection.connection.dbapi_connection, None)
        if lost:
            connection.invalidate(error)
        raise DBAPIError.instance(
            sql, values, error, psycopg.Error, connection_invalidated=lost, dialect=connection.dialect
        ) from error


SAVE, BACK, RELEASE = Statement("SAVEPOINT one"), Statement("ROLLBACK TO one"), Statement("RELEASE one")


@contextmanager
def savepoint(connection: Connection) -> Generator[None]:
    """Take back what is done inside if it ends with an error; the rest of the transaction stays."""
    if not _is_sqlite(connection):
        with connection.begin_nested():
            yield
        return
    SAVE.run(connection, {})
    try:
        yield
    except BaseException:
        with suppress(DBAPIError):  # After the worst of errors there is no transaction left, which is told by that one.
            BACK.run(connection, {})
            RELEASE.run(connection, {})
        raise
    RELEASE.run(connection, {})


def _is_sqlite(connection: Connection) -> bool:
    return connection.dialect.name == "sqlite"


def _sqlite(connection: Connection) -> sqlite3.Connection:
    raw = connection.connection.dbapi_connection
    assert isinstance(raw, sqlite3.Connection)
    return raw


def _psycopg(connection: Connection) -> "psycopg.Connection[Any]":
    """Return the driver's connection, which its dialect knows by another type."""
    raw: Any = connection.connection.driver_connection
    return raw
