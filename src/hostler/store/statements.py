"""SQL of the path whose cost every step of every agent pays: SQLite's driver is given it as it is.

Between it and the driver, SQLAlchemy costs several times what SQLite itself does. What the driver raises is raised in
SQLAlchemy's form, so that nobody has to know which way a statement went.
"""

import sqlite3
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.exc import DBAPIError

SQLITE = SQLiteDialect_pysqlite()
Values = Mapping[str, Any]


class Statement:
    """One statement with named parameters, `:name`."""

    def __init__(self, sql: str) -> None:
        self._sql = sql
        self._text = text(sql)

    def rows(self, connection: Connection, values: Values) -> Sequence[tuple[Any, ...]]:
        """Run it and return the rows that it finds."""
        if connection.dialect.name != "sqlite":
            return [tuple(row) for row in connection.execute(self._text, values)]
        return self._in_sqlite(connection, values).fetchall()

    def run(self, connection: Connection, values: Values) -> int:
        """Run it and return how many rows it changed."""
        if connection.dialect.name != "sqlite":
            return connection.execute(self._text, values).rowcount
        return self._in_sqlite(connection, values).rowcount

    def run_each(self, connection: Connection, rows: Sequence[Values]) -> None:
        """Run it once for each of some rows."""
        if connection.dialect.name != "sqlite":
            connection.execute(self._text, rows)
            return
        try:
            _driver(connection).executemany(self._sql, rows)
        except sqlite3.Error as error:
            raise self._said(error, rows) from error

    def _in_sqlite(self, connection: Connection, values: Values) -> sqlite3.Cursor:
        try:
            return _driver(connection).execute(self._sql, values)
        except sqlite3.Error as error:
            raise self._said(error, values) from error

    def _said(self, error: sqlite3.Error, values: Any) -> BaseException:
        return DBAPIError.instance(self._sql, values, error, sqlite3.Error, dialect=SQLITE)


SAVE, BACK, RELEASE = Statement("SAVEPOINT one"), Statement("ROLLBACK TO one"), Statement("RELEASE one")


@contextmanager
def savepoint(connection: Connection) -> Generator[None]:
    """Take back what is done inside if it ends with an error; the rest of the transaction stays."""
    if connection.dialect.name != "sqlite":
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


def _driver(connection: Connection) -> sqlite3.Connection:
    raw = connection.connection.dbapi_connection
    assert isinstance(raw, sqlite3.Connection)
    return raw
