"""SQL of the path whose cost every step of every agent pays: the driver is given it as it is.

Between it and the driver, SQLAlchemy costs several times what SQLite itself does, and on Postgres as much again as the
way there and back, of which a driver can save most: what needs no answer goes out together. What the driver raises is
raised in SQLAlchemy's form, so that nobody has to know which way a statement went.
"""

import re
import sqlite3
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    import psycopg

SQLITE = SQLiteDialect_pysqlite()
Values = Mapping[str, Any]
Rows = Sequence[tuple[Any, ...]]
NAME = re.compile(r"(?<![:\w]):(\w+)")


class Statement:
    """One statement with named parameters, `:name`, and no other colon before a name."""

    def __init__(self, sql: str) -> None:
        self._sql = sql
        self._in_psycopg = NAME.sub(r"%(\1)s", sql.replace("%", "%%")).encode()

    def rows(self, connection: Connection, values: Values) -> Rows:
        """Run it and return the rows that it finds."""
        return ask(connection, (self, values))[0]

    def run(self, connection: Connection, values: Values) -> int:
        """Run it and return how many rows it changed."""
        return self.begun(connection, values).rowcount

    def run_each(self, connection: Connection, rows: Sequence[Values]) -> None:
        """Run it once for each of some rows."""
        if _is_sqlite(connection):
            try:
                _sqlite(connection).executemany(self._sql, rows)
            except sqlite3.Error as error:
                raise self._said(error, rows) from error
            return
        with together(connection):
            for values in rows:
                self.begun(connection, values)

    def begun(self, connection: Connection, values: Values) -> "sqlite3.Cursor | psycopg.Cursor[Any]":
        """Run it and return the driver's cursor, which knows nothing before the end of a block of `together`."""
        if not _is_sqlite(connection):
            with _told(connection, self._sql, values):
                return _psycopg(connection).execute(self._in_psycopg, values)
        try:
            return _sqlite(connection).execute(self._sql, values)
        except sqlite3.Error as error:
            raise self._said(error, values) from error

    def _said(self, error: sqlite3.Error, values: Any) -> BaseException:
        return DBAPIError.instance(self._sql, values, error, sqlite3.Error, dialect=SQLITE)


def ask(connection: Connection, *questions: tuple[Statement, Values]) -> list[Rows]:
    """Run statements one after the other and return the rows of each; it is one way there and back, however many."""
    if len(questions) == 1 or _is_sqlite(connection):
        return [statement.begun(connection, values).fetchall() for statement, values in questions]
    with together(connection):
        cursors = [statement.begun(connection, values) for statement, values in questions]
    return [cursor.fetchall() for cursor in cursors]


@contextmanager
def together(connection: Connection) -> Generator[None]:
    """Send what is begun inside without waiting for answers, and wait for them all at the end; it may be nested.

    What goes wrong is raised there, and nothing that was sent after it has happened. Nothing inside may read.
    """
    if _is_sqlite(connection) or _psycopg(connection).info.pipeline_status:
        yield
        return
    with _told(connection, "", {}), _psycopg(connection).pipeline():
        yield


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
