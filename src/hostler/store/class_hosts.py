"""Hosts that were allowed for environment classes."""

from sqlalchemy import Connection, delete, insert, select

from hostler.core.egress import ClassHost
from hostler.store.columns import check_text
from hostler.store.reading import Readers
from hostler.store.schema import class_host as table
from hostler.store.writer import Writer, Writing


class StoredClassHosts:
    """What is allowed for each class; see the protocol for the promises."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def add(self, host: ClassHost) -> bool:
        """Allow a host for a class."""
        check_text(host.class_id, "class")
        check_text(host.host, "host")
        return await self._writer.do(lambda writing: _add(writing, host))

    async def remove(self, class_id: str, host: str) -> bool:
        """Allow it no more."""
        check_text(class_id, "class")
        check_text(host, "host")
        statement = delete(table).where(table.c.class_id == class_id, table.c.host == host)
        return await self._writer.do(lambda writing: bool(writing.connection.execute(statement).rowcount))

    async def find(self, class_id: str) -> tuple[ClassHost, ...]:
        """Return what is allowed for a class."""
        check_text(class_id, "class")
        columns = (table.c.class_id, table.c.host, table.c.by_name, table.c.at)
        statement = select(*columns).where(table.c.class_id == class_id)

        def read(connection: Connection) -> tuple[ClassHost, ...]:
            found = (ClassHost(*row) for row in connection.execute(statement))
            return tuple(sorted(found, key=lambda one: one.host))

        return await self._readers.do(read)


def _add(writing: Writing, host: ClassHost) -> bool:
    here = (table.c.class_id == host.class_id, table.c.host == host.host)
    if writing.connection.execute(select(table.c.at).where(*here)).first():
        return False
    values = {"class_id": host.class_id, "host": host.host, "by_name": host.by, "at": host.at}
    writing.connection.execute(insert(table), values)
    return True
