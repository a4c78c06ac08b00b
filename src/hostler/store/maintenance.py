"""Whether maintenance mode is on: one row while it is."""

from sqlalchemy import Connection, text

from hostler.core.maintenance import Maintenance
from hostler.store.columns import check_texts, from_ticks, to_ticks
from hostler.store.reading import Readers
from hostler.store.schema import maintenance as table
from hostler.store.statements import Statement
from hostler.store.writer import Writer, Writing

ON = text("""
    INSERT INTO maintenance (number, since, message, by_id, by_name) VALUES (1, :since, :message, :by_id, :by_name)
    ON CONFLICT (number) DO UPDATE SET message = excluded.message, by_id = excluded.by_id, by_name = excluded.by_name
    """)
CURRENT = Statement("SELECT since, message, by_id, by_name FROM maintenance")


class StoredMaintenance:
    """See the protocol for the promises."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def current(self) -> Maintenance | None:
        """Return it; None while it is off."""

        def read(connection: Connection) -> Maintenance | None:
            found = CURRENT.rows(connection, {})
            return Maintenance(from_ticks(found[0][0]), *found[0][1:]) if found else None

        return await self._readers.few(read)

    async def turn_on(self, maintenance: Maintenance) -> None:
        """Turn it on, or change its message."""
        values = {
            "since": to_ticks(maintenance.since),
            "message": maintenance.message,
            "by_id": maintenance.by_id,
            "by_name": maintenance.by_name,
        }
        check_texts((maintenance.message, maintenance.by_id, maintenance.by_name), "message")

        def work(writing: Writing) -> None:
            writing.connection.execute(ON, values)

        await self._writer.do(work)

    async def turn_off(self) -> bool:
        """Turn it off."""
        return await self._writer.do(lambda writing: bool(writing.connection.execute(table.delete()).rowcount))
