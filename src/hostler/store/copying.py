"""A whole database out, as lines of JSON under one snapshot, and in again: the same form for both databases.

Reading needs no lock and keeps nobody from writing: it is one transaction that sees what was committed when it began.
"""

import base64
import json
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, MetaData, NullPool, Table, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from hostler.core.errors import FailedPrecondition, HostlerError, Unavailable
from hostler.store.database import PATIENCE, database_of, refusal
from hostler.store.migrations import STEPS, migrate

LEFT_OUT = ("schema_step", "runner")
"""Tables that are made anew: what the schema is stands in a backup's header, and who lives is not for a copy."""
QUEUES = "procrastinate_"
"""Begins the tables of the dispatcher, which rebuilds them from the rows."""
BLOB = text("SELECT body FROM blob_data WHERE sha256 = :sha256")
KEEP_BLOB = text("INSERT INTO blob_data (sha256, body) VALUES (:sha256, :body) ON CONFLICT DO NOTHING")
ROWS = 500
"""Rows that are read or written at a time."""


@dataclass(frozen=True, slots=True)
class Copied:
    """A database as one snapshot shows it."""

    kind: str
    step: int
    connection: Connection
    tables: tuple[Table, ...]
    """In an order in which each may refer to those before it."""

    def lines(self, table: Table, leave_out: Sequence[str] = ()) -> Iterator[bytes]:
        """Yield a table: its columns' names, then its rows, each a line of JSON; rows named in `leave_out` not."""
        yield _line([column.name for column in table.columns])
        order = list(table.primary_key.columns) or list(table.columns)
        statement = table.select().order_by(*order)
        if leave_out:
            statement = statement.where(table.c.name.not_in(leave_out))
        for row in self.connection.execution_options(yield_per=ROWS).execute(statement):
            yield _line([_plain(value) for value in row])


@contextmanager
def reading(url: str) -> Generator[Copied]:
    """Yield a database as it is now; FailedPrecondition when Hostler never wrote it, Unavailable when it is away."""
    engine = _engine(url)
    try:
        with engine.connect() as connection:
            if engine.dialect.name == "sqlite":
                connection.exec_driver_sql("PRAGMA query_only = ON")
                connection.exec_driver_sql("BEGIN")
            else:
                connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            if not inspect(connection).has_table("schema_step"):
                raise FailedPrecondition("there is no database of Hostler's there")
            step = connection.execute(text("SELECT coalesce(max(number), 0) FROM schema_step")).scalar_one()
            yield Copied(engine.dialect.name, step, connection, hostlers_tables(connection))
    except DBAPIError as error:
        raise refusal(error) from error
    except SQLAlchemyError as error:
        raise Unavailable(f"the database cannot be read: {error}") from error
    finally:
        engine.dispose()


@contextmanager
def writing(url: str, step: int) -> Generator["Filling"]:
    """Yield an empty database with the schema of a step; all of it is committed at the end, or nothing.

    FailedPrecondition when there is something in it already.
    """
    engine = _engine(url)
    try:
        with engine.connect() as connection:
            if engine.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            if found := inspect(connection).get_table_names():
                raise FailedPrecondition(f"the database is not empty: it has a table {found[0]}")
            migrate(connection, database_of(url, PATIENCE).text_type, STEPS[:step])
            yield Filling(connection, {table.name: table for table in hostlers_tables(connection)})
            if engine.dialect.name == "sqlite" and connection.exec_driver_sql("PRAGMA foreign_key_check").first():
                raise FailedPrecondition("rows of the backup refer to rows that it does not have")
            connection.commit()
    except DBAPIError as error:
        raise refusal(error) from error
    finally:
        engine.dispose()


@dataclass(frozen=True, slots=True)
class Filling:
    """A database on its way in."""

    connection: Connection
    tables: dict[str, Table]

    def order(self, names: Iterable[str]) -> list[str]:
        """Return tables in the order in which they can be filled; FailedPrecondition for one that is not known."""
        given = set(names)
        if unknown := sorted(given - self.tables.keys()):
            raise FailedPrecondition(f"the backup has a table that this release does not know: {unknown[0]}")
        return [name for name in self.tables if name in given]

    def fill(self, name: str, lines: Iterable[bytes], runner: str, own: str) -> int:
        """Write a table's lines; rows of any runner become those of `runner`. Return how many.

        Credentials of code hosts are sealed with the key of the runner that keeps them: those of others than `own`
        are of no use, and left out.
        """
        table, coming, written = self.tables[name], iter(lines), 0
        columns: list[str] = json.loads(next(coming))
        if unknown := [column for column in columns if column not in table.c]:
            raise FailedPrecondition(f"the backup has a column that this release does not know: {name}.{unknown[0]}")
        while batch := tuple(islice(coming, ROWS)):
            rows = [dict(zip(columns, map(_value, json.loads(line)), strict=True)) for line in batch]
            if name == "host_token":
                rows = [row for row in rows if row["runner"] == own]
            for row in rows if "runner" in columns else ():
                row["runner"] = runner
            if rows:
                self.connection.execute(table.insert(), rows)
            written += len(rows)
        return written

    def blobs_to_files(self, folder: Path) -> None:
        """Let large outputs lie in files, as SQLite's servers have them."""
        for name in self.connection.execute(text("SELECT sha256 FROM blob_data ORDER BY sha256")).scalars().all():
            body = self.connection.execute(BLOB, {"sha256": name}).scalar_one()
            path = folder / name[:2] / name
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.write_bytes(body)
        self.connection.execute(text("DELETE FROM blob_data"))

    def blobs_to_rows(self, folder: Path) -> None:
        """Let large outputs lie in the database, where several machines share it."""
        for path in sorted(folder.glob("*/*")):
            self.connection.execute(KEEP_BLOB, {"sha256": path.name, "body": path.read_bytes()})
            path.unlink()


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(parsed, poolclass=NullPool)
        event.listen(engine, "connect", _by_hand)
        return engine
    arguments = {"connect_timeout": 10, "application_name": "hostler-backup", "client_encoding": "utf8"}
    return create_engine(parsed.set(drivername="postgresql+psycopg"), poolclass=NullPool, connect_args=arguments)


def _by_hand(connection: Any, _: object) -> None:
    """Leave the beginning of transactions to us: Python's driver begins them too late for a snapshot."""
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {PATIENCE.seconds * 1000}")


def hostlers_tables(connection: Connection) -> tuple[Table, ...]:
    """Return the tables that hold what is Hostler's own, each behind those that it refers to."""
    found = MetaData()
    found.reflect(connection, only=lambda name, _: not name.startswith((QUEUES, "sqlite_")))
    return tuple(table for table in found.sorted_tables if table.name not in LEFT_OUT)


def _line(values: list[Any]) -> bytes:
    return json.dumps(values, separators=(",", ":")).encode() + b"\n"


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    if value is None or isinstance(value, str | int | float):
        return value
    raise HostlerError(f"a column holds a {type(value).__name__}, which a backup has no form for")


def _value(value: Any) -> Any:
    return base64.b64decode(str(value["base64"])) if isinstance(value, dict) else value  # pyright: ignore[reportUnknownArgumentType]
