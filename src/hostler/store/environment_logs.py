"""The logs of environments; they go with the environment's row."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, func, insert, select

from hostler.core.environment_log import LogEntry
from hostler.store.reading import Readers
from hostler.store.schema import environment
from hostler.store.schema import environment_log as table
from hostler.store.writer import Writer, Writing


class StoredEnvironmentLogs:
    """The logs of environments; a new entry is signalled like a change of the row."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def say(self, environment: str, text: str, at: datetime) -> None:
        """Keep a line of Hostler's own."""
        entry = {"step": "", "upto": 0, "body": _plain(text).rstrip("\n") + "\n", "at": at}

        def work(writing: Writing) -> None:
            if _held(writing.connection, environment):
                _add(writing, environment, entry)

        await self._writer.do(work)

    async def output(self, environment: str, step: str, upto: int, text: str, at: datetime) -> None:
        """Keep output of a step that ends at byte `upto` of what it has said."""
        entry = {"step": step, "upto": upto, "body": _plain(text), "at": at}

        def work(writing: Writing) -> None:
            if _held(writing.connection, environment) and _upto(writing.connection, environment, step) < upto:
                _add(writing, environment, entry)

        await self._writer.do(work)

    async def upto(self, environment: str, step: str) -> int:
        """Return how many bytes of a step's output are kept already."""
        return await self._readers.do(lambda connection: _upto(connection, environment, step))

    async def read(self, environment: str, after: int = 0, limit: int = 1000) -> tuple[LogEntry, ...]:
        """Return entries behind a seq, oldest first."""
        columns = select(table.c.seq, table.c.at, table.c.step, table.c.body.label("text"))
        statement = columns.where(table.c.environment_id == environment, table.c.seq > after)
        statement = statement.order_by(table.c.seq).limit(limit)

        def read(connection: Connection) -> tuple[LogEntry, ...]:
            return tuple(LogEntry(**found) for found in connection.execute(statement).mappings())

        return await self._readers.do(read)


def _upto(connection: Connection, environment: str, step: str) -> int:
    here = (table.c.environment_id == environment, table.c.step == step)
    return connection.execute(select(func.coalesce(func.max(table.c.upto), 0)).where(*here)).scalar_one()


def _held(connection: Connection, owner: str) -> bool:
    """Keep the environment, and so the end of its log, for this transaction; False when it is gone."""
    held = select(environment.c.id).where(environment.c.id == owner).with_for_update()
    return connection.execute(held).first() is not None


def _add(writing: Writing, owner: str, entry: Mapping[str, object]) -> None:
    """Add an entry behind all others."""
    connection = writing.connection
    last = select(func.coalesce(func.max(table.c.seq), 0)).where(table.c.environment_id == owner)
    seq = connection.execute(last).scalar_one() + 1
    connection.execute(insert(table), {"environment_id": owner, "seq": seq, **entry})
    writing.changed.add(owner)


def _plain(text: str) -> str:
    """Return a text that both databases can keep."""
    return text.replace("\0", "\N{SYMBOL FOR NULL}").encode(errors="replace").decode()
