"""Scrubbing the database: logs first, each with its row folded anew in the same commit, then every other table.

Sequence numbers, kinds and times of events stay as they are; only the strings in their bodies change.
"""

import json
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, Select, Table, Text, inspect, select, text
from sqlalchemy.exc import DBAPIError

from hostler.core.errors import FailedPrecondition
from hostler.core.state import State, evolve
from hostler.projections.row import project
from hostler.scrubbing.masking import Masking, places
from hostler.store.beside import columns_of, write_beside
from hostler.store.columns import digest, to_json, to_ticks
from hostler.store.copying import BLOB, KEEP_BLOB, hostlers_tables
from hostler.store.database import database_of, refusal
from hostler.store.folding import Fold, Remembered
from hostler.store.reading import read_log

FOLD: Fold[State] = Fold(State(), evolve, project)
APART = ("event",)
"""Tables that are not gone through column by column."""
EVENTS = text("SELECT seq, body FROM event WHERE execution_id = :id ORDER BY seq")
REWRITE = text("UPDATE event SET body = :body WHERE execution_id = :id AND seq = :seq")


@dataclass(frozen=True, slots=True)
class Moved:
    """A large output under its new name."""

    sha256: str
    size: int


def live_runners(connection: Connection, now: int, own: str) -> list[str]:
    """Return the other runners that gave a sign of life which still counts."""
    statement = text("SELECT id FROM runner WHERE until > :now AND id <> :own ORDER BY id")
    return list(connection.execute(statement, {"now": now, "own": own}).scalars())


@contextmanager
def rewriting(url: str, now: datetime, own: str) -> Generator[Connection]:
    """Yield the writer's connection; FailedPrecondition while a server has the database."""
    database = database_of(url)
    connection = database.writer()
    try:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA secure_delete = ON")
            connection.commit()
        with connection.begin():
            if others := live_runners(connection, to_ticks(now), own):
                raise FailedPrecondition(
                    f"a server of this database runs (runner {others[0]}): stop all of them; one that was just stopped"
                    " counts as running for 20 seconds"
                )
        yield connection
    except DBAPIError as error:
        raise refusal(error) from error
    finally:
        connection.close()
        database.close()


def scrub_log(connection: Connection, execution: str, masking: Masking, moved: Mapping[str, Moved]) -> int:
    """Mask an execution's events and fold its row anew; return in how many places."""
    found = 0
    for seq, body in connection.execute(EVENTS, {"id": execution}).all():
        masked = _renamed(masking.text(body), moved)
        if masked != body:
            found += places(body, masked)
            connection.execute(REWRITE, {"body": masked, "id": execution, "seq": seq})
    if found:
        projection = FOLD.project(FOLD.state(read_log(connection, execution)))
        columns = columns_of(projection)
        settings = ", ".join(f"{name} = :{name}" for name in columns)
        connection.execute(text(f"UPDATE execution SET {settings} WHERE id = :id"), {**columns, "id": execution})
        write_beside(connection, execution, projection, Remembered(0, None))
    return found


def _renamed(body: str, moved: Mapping[str, Moved]) -> str:
    """Return an event's body that names large outputs as they are now."""
    if not any(old in body for old in moved):
        return body
    return to_json(_walked(json.loads(body), moved))


def _walked(value: Any, moved: Mapping[str, Moved]) -> Any:
    if isinstance(value, dict):
        given: dict[str, Any] = {key: _walked(one, moved) for key, one in value.items()}  # pyright: ignore[reportUnknownVariableType]
        old = value.get("output")  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        if isinstance(old, str) and old in moved and "output_bytes" in given:
            given["output_bytes"] = moved[old].size
        return given
    if isinstance(value, list):
        return [_walked(one, moved) for one in value]  # pyright: ignore[reportUnknownVariableType]
    return moved[value].sha256 if isinstance(value, str) and value in moved else value


def scrub_tables(connection: Connection, masking: Masking) -> Counter[str]:
    """Mask every column of text of every other table; return the places by table."""
    found: Counter[str] = Counter()
    for table in hostlers_tables(connection):
        if table.name not in APART:
            found[table.name] += _scrub_table(connection, table, masking)
    return +found


def _scrub_table(connection: Connection, table: Table, masking: Masking) -> int:
    keys = list(table.primary_key.columns) or list(table.columns)
    found = 0
    for row in connection.execute(texts_of(table)).mappings().all():
        changed = masked_columns(table, dict(row), masking)
        if changed:
            found += sum(places(str(row[name]), str(value)) for name, value in changed.items())
            here = [column == row[column.name] for column in keys]
            connection.execute(table.update().where(*here).values(**changed, **_derived(table, dict(row), changed)))
    return found


def texts_of(table: Table) -> Select[Any]:
    """Return the SELECT of a table's keys and texts, without what is large and no text."""
    wanted = [column for column in table.columns if column.primary_key or isinstance(column.type, Text)]
    return select(*(wanted if table.primary_key.columns else table.columns))


def masked_columns(table: Table, row: Mapping[str, Any], masking: Masking) -> dict[str, str]:
    """Return the columns of a row that a secret stands in, masked."""
    columns = (column for column in table.columns if isinstance(column.type, Text))
    texts = {column.name: row[column.name] for column in columns}
    masked = {name: masking.text(value) for name, value in texts.items() if isinstance(value, str)}
    return {name: value for name, value in masked.items() if value != texts[name]}


def _derived(table: Table, row: Mapping[str, Any], changed: Mapping[str, str]) -> dict[str, str]:
    """Return what stands for a column in an index, where that column has changed."""
    if table.name == "project" and "repository" in changed:
        return {"repository_digest": digest(changed["repository"])}
    if table.name == "annotation":
        return {"digest": digest(changed.get("key", row["key"]), changed.get("value", row["value"]))}
    return {}


def rename_blob(connection: Connection, old: str, new: Moved) -> None:
    """Let the index name a large output by its new name."""
    here = {"old": old, "new": new.sha256, "size": new.size}
    connection.execute(
        text(
            "INSERT INTO blob (sha256, execution_id, size) SELECT :new, execution_id, :size FROM blob"
            " WHERE sha256 = :old ON CONFLICT DO NOTHING"
        ),
        here,
    )
    connection.execute(text("DELETE FROM blob WHERE sha256 = :old"), {"old": old})


def scrub_blob_rows(connection: Connection, masking: Masking) -> dict[str, Moved]:
    """Put the masked form beside each large output in the database that a secret stands in; return their new names."""
    moved: dict[str, Moved] = {}
    for name in connection.execute(text("SELECT sha256 FROM blob_data ORDER BY sha256")).scalars().all():
        data = bytes(connection.execute(BLOB, {"sha256": name}).scalar_one())
        if masking.in_data(data):
            masked = masking.data(data)
            moved[name] = Moved(sha256(masked).hexdigest(), len(masked))
            connection.execute(KEEP_BLOB, {"sha256": moved[name].sha256, "body": masked})
    return moved


def blob_rows_with(connection: Connection, masking: Masking) -> int:
    """Return in how many large outputs in the database a secret stands."""
    names = connection.execute(text("SELECT sha256 FROM blob_data")).scalars().all()
    return sum(bool(masking.in_data(bytes(connection.execute(BLOB, {"sha256": n}).scalar_one()))) for n in names)


def drop_blob_row(connection: Connection, name: str) -> None:
    """Remove a large output from the database."""
    connection.execute(text("DELETE FROM blob_data WHERE sha256 = :name"), {"name": name})


def drop_bundle(connection: Connection, execution: str) -> None:
    """Remove the kept work of an execution that other machines would find in the database."""
    for table in ("kept_part", "kept_bundle"):
        connection.execute(text(f"DELETE FROM {table} WHERE execution_id = :id"), {"id": execution})


def forget_pages(connection: Connection) -> None:
    """Write the database anew, so that no page that is free now holds what was there before."""
    connection.rollback()
    raw: Any = connection.connection.driver_connection
    if connection.dialect.name == "sqlite":
        raw.execute("VACUUM")
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return
    tables = inspect(connection).get_table_names()
    connection.rollback()
    raw.autocommit = True
    for name in tables:
        raw.execute(f'VACUUM FULL "{name}"')
    raw.autocommit = False
