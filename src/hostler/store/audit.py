"""The audit log: entries in the order of their ids, which are those of their times."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, select, text

from hostler.core.audit import AuditQuery, Entry
from hostler.store.columns import check_texts, to_json, to_ticks
from hostler.store.reading import Readers
from hostler.store.schema import audit as table
from hostler.store.writer import Writer, Writing

WRITE = text("""
    INSERT INTO audit (id, at, actor_id, actor_kind, actor_name, action, outcome, subject_kind, subject_id, details)
    VALUES (:id, :at, :actor_id, :actor_kind, :actor_name, :action, :outcome, :subject_kind, :subject_id, :details)
    ON CONFLICT (id) DO UPDATE SET outcome = excluded.outcome, subject_kind = excluded.subject_kind,
        subject_id = excluded.subject_id, details = excluded.details""")


class StoredAudit:
    """See the protocol for the promises."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def write(self, entry: Entry) -> None:
        """Keep an entry, or its end."""
        values = {
            "id": entry.id,
            "at": to_ticks(entry.at),
            "actor_id": entry.actor_id,
            "actor_kind": entry.actor_kind,
            "actor_name": entry.actor_name,
            "action": entry.action,
            "outcome": entry.outcome,
            "subject_kind": entry.subject_kind,
            "subject_id": entry.subject_id,
            "details": to_json(entry.details),
        }
        check_texts((value for value in values.values() if isinstance(value, str)), "audit")

        def work(writing: Writing) -> None:
            writing.connection.execute(WRITE, values)

        await self._writer.do(work)

    async def find(
        self, query: AuditQuery, *, beyond: str = "", limit: int = 100, oldest_first: bool = False
    ) -> tuple[Entry, ...]:
        """Return entries."""
        order = table.c.id if oldest_first else table.c.id.desc()
        statement = select(table).order_by(order).limit(limit)
        if beyond:
            statement = statement.where(table.c.id > beyond if oldest_first else table.c.id < beyond)
        named = (
            (table.c.actor_id, query.actors),
            (table.c.actor_kind, query.actor_kinds),
            (table.c.subject_id, query.subjects),
            (table.c.subject_kind, query.subject_kinds),
        )
        for column, values in named:
            check_texts(values, "filter")
            statement = statement.where(column.in_(values)) if values else statement
        statement = statement.where(table.c.at >= query.since) if query.since else statement
        statement = statement.where(table.c.at < query.until) if query.until else statement

        def read(connection: Connection) -> tuple[Entry, ...]:
            return tuple(_entry(row) for row in connection.execute(statement).mappings())

        return await self._readers.do(read)

    async def expire(self, before: datetime) -> int:
        """Remove what is older."""
        statement = delete(table).where(table.c.at < before)
        return await self._writer.do(lambda writing: writing.connection.execute(statement).rowcount)


def _entry(row: Any) -> Entry:
    return Entry(**row)
