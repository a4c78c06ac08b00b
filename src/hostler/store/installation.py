"""What all processes of one database must agree on: whoever needs it first decides it, for good."""

from sqlalchemy import Connection, select, text

from hostler.store.reading import Readers
from hostler.store.schema import installation as table
from hostler.store.writer import Writer, Writing

PUT = text("INSERT INTO installation (name, value) VALUES (:name, :value) ON CONFLICT (name) DO NOTHING")


class Installation:
    """Names and values that never change."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def agreed(self, name: str, otherwise: str) -> str:
        """Return the value of a name, which is `otherwise` where nobody has needed it before."""

        def find(connection: Connection) -> str | None:
            return connection.execute(select(table.c.value).where(table.c.name == name)).scalar_one_or_none()

        def work(writing: Writing) -> str:
            writing.connection.execute(PUT, {"name": name, "value": otherwise})
            return find(writing.connection) or otherwise

        known = await self._readers.do(find)
        return known if known is not None else await self._writer.do(work)
