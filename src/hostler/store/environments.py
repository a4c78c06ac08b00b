"""The rows of environments and who uses them; every write raises the row's version, a use taken or released too.

Every change is signalled like that of an execution, to whoever watches all of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, delete, insert, select, text, update

from hostler.core.errors import Conflict, FailedPrecondition, NotFound
from hostler.core.ports import EnvironmentRow
from hostler.store.columns import check_text, from_ticks, of_json
from hostler.store.reading import Readers
from hostler.store.schema import environment as table
from hostler.store.schema import environment_use as use
from hostler.store.statements import Statement
from hostler.store.writer import Writer, Writing

COLUMNS = [table.c[field.name] for field in fields(EnvironmentRow)]
ONE = Statement(f"SELECT {', '.join(field.name for field in fields(EnvironmentRow))} FROM environment WHERE id = :id")
LEAVING = ("deleting", "deleted")
"""Phases in which nobody can begin to use an environment."""


class StoredEnvironments:
    """The rows of environments and who uses them."""

    def __init__(self, writer: Writer, readers: Readers, row_lock: str) -> None:
        self._writer = writer
        self._readers = readers
        self._locked = text("SELECT phase FROM environment WHERE id = :id" + row_lock)

    async def save(self, row: EnvironmentRow) -> EnvironmentRow:
        """Write a row whose version is the one that was read; Conflict when somebody else wrote it meanwhile."""
        check_text(row.name, "name")
        after = replace(row, version=row.version + 1)
        await self._writer.do(lambda writing: _save(writing, row.version, after))
        return after

    async def get(self, environment: str) -> EnvironmentRow | None:
        """Return a row."""

        def read(connection: Connection) -> EnvironmentRow | None:
            found = ONE.rows(connection, {"id": environment})
            return _row(found[0]) if found else None

        return await self._readers.few(read)

    async def find(
        self, *, runner: str = "", phases: Sequence[str] = (), before: str = "", limit: int = 0, creator: str = ""
    ) -> tuple[EnvironmentRow, ...]:
        """Return rows, newest first."""
        statement = select(*COLUMNS).order_by(table.c.id.desc())
        statement = statement.where(table.c.runner == runner) if runner else statement
        statement = statement.where(table.c.phase.in_(phases)) if phases else statement
        statement = statement.where(table.c.creator_id == creator) if creator else statement
        statement = statement.where(table.c.id < before) if before else statement
        return await self._fetch(statement.limit(limit) if limit else statement)

    async def remove(self, environment: str) -> None:
        """Remove a row, and its uses with it."""
        statement = delete(table).where(table.c.id == environment)

        def work(writing: Writing) -> None:
            if writing.connection.execute(statement).rowcount:
                writing.changed.add(environment)

        await self._writer.do(work)

    async def use(self, environment: str, execution: str, since: datetime) -> None:
        """Note a use; NotFound without the environment, FailedPrecondition when it is being deleted."""
        await self._writer.do(lambda writing: self._use(writing, environment, execution, since))

    async def release(self, environment: str, execution: str) -> None:
        """Note that it does not use it any more."""
        statement = delete(use).where(use.c.environment_id == environment, use.c.execution_id == execution)

        def work(writing: Writing) -> None:
            writing.connection.execute(self._locked, {"id": environment})
            if writing.connection.execute(statement).rowcount:
                _raise_version(writing, environment)

        await self._writer.do(work)

    async def users(self, environment: str) -> tuple[str, ...]:
        """Return the executions that use an environment, oldest first."""
        statement = select(use.c.execution_id).where(use.c.environment_id == environment).order_by(use.c.execution_id)
        return await self._readers.do(lambda connection: tuple(connection.execute(statement).scalars()))

    def _use(self, writing: Writing, environment: str, execution: str, since: datetime) -> None:
        connection = writing.connection
        phase = connection.execute(self._locked, {"id": environment}).scalar_one_or_none()
        if phase is None:
            raise NotFound("there is no such environment", field="environment_id")
        key = {"environment_id": environment, "execution_id": execution}
        if connection.execute(select(use.c.since).filter_by(**key)).first():
            return
        if phase in LEAVING:
            raise FailedPrecondition("the environment is being deleted", field="environment_id")
        connection.execute(insert(use), {**key, "since": since})
        _raise_version(writing, environment)

    async def _fetch(
        self, statement: Select[Any], values: Mapping[str, Any] | None = None
    ) -> tuple[EnvironmentRow, ...]:
        def read(connection: Connection) -> tuple[EnvironmentRow, ...]:
            return tuple(EnvironmentRow(**found) for found in connection.execute(statement, values or {}).mappings())

        return await self._readers.do(read)


def _row(found: Sequence[Any]) -> EnvironmentRow:
    *plain, created, used, spec, handle, status, owner = found
    return EnvironmentRow(
        *plain,
        created_at=from_ticks(created),
        last_used_at=from_ticks(used),
        spec=of_json(spec),
        handle=None if handle is None else of_json(handle),
        status=of_json(status),
        owner_execution=owner,
    )


def _raise_version(writing: Writing, environment: str) -> None:
    writing.connection.execute(update(table).where(table.c.id == environment).values(version=table.c.version + 1))
    writing.changed.add(environment)


def _save(writing: Writing, seen: int, after: EnvironmentRow) -> None:
    values: Mapping[str, Any] = {column.name: getattr(after, column.name) for column in COLUMNS}
    connection = writing.connection
    if seen:
        here = (table.c.id == after.id, table.c.version == seen)
        written = connection.execute(update(table).where(*here).values(**values)).rowcount
    else:
        there = connection.execute(select(table.c.id).where(table.c.id == after.id)).first()
        written = 0 if there else connection.execute(insert(table).values(**values)).rowcount
    if not written:
        raise Conflict("somebody else wrote the environment's row meanwhile")
    writing.changed.add(after.id)
