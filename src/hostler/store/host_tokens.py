"""Credentials for code hosts, each with its secret sealed; the key is not here."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from hostler.core.errors import AlreadyExists, NotFound
from hostler.core.hosts import HostToken
from hostler.store.columns import check_text, check_texts
from hostler.store.reading import Readers
from hostler.store.schema import host_token as table
from hostler.store.writer import Writer, Writing

COLUMNS = [table.c[field.name] for field in fields(HostToken)]


class StoredHostTokens:
    """The credentials; one for each host and subject of a runner."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def save(self, token: HostToken, *, new: bool) -> None:
        """Write a credential; AlreadyExists for a second one of the same subject and host, NotFound when it is gone."""
        values = {field.name: getattr(token, field.name) for field in fields(token)}
        for name, value in values.items():
            if isinstance(value, str):
                check_text(value, name)
        check_texts(token.scopes, "scopes")
        await self._writer.do(lambda writing: _save(writing, values, new=new))

    async def get(self, token: str) -> HostToken | None:
        """Return a credential."""
        found = await self._fetch(select(*COLUMNS).where(table.c.id == token))
        return found[0] if found else None

    async def find(
        self, *, runner: str = "", subject_id: str = "", before: str = "", limit: int = 0
    ) -> tuple[HostToken, ...]:
        """Return credentials, newest first."""
        check_texts((runner, subject_id), "filter")
        statement = select(*COLUMNS).order_by(table.c.id.desc())
        statement = statement.where(table.c.runner == runner) if runner else statement
        statement = statement.where(table.c.subject_id == subject_id) if subject_id else statement
        statement = statement.where(table.c.id < before) if before else statement
        return await self._fetch(statement.limit(limit) if limit else statement)

    async def delete(self, token: str) -> bool:
        """Remove a credential; return whether it was there."""
        statement = delete(table).where(table.c.id == token)
        return await self._writer.do(lambda writing: bool(writing.connection.execute(statement).rowcount))

    async def _fetch(self, statement: Any) -> tuple[HostToken, ...]:
        def read(connection: Connection) -> tuple[HostToken, ...]:
            return tuple(_token(found) for found in connection.execute(statement).mappings())

        return await self._readers.do(read)


def _token(found: Mapping[Any, Any]) -> HostToken:
    lists: dict[str, Any] = {"scopes": tuple(found["scopes"])}
    return HostToken(**{**found, **lists})


def _save(writing: Writing, values: Mapping[str, Any], *, new: bool) -> None:
    connection = writing.connection
    same = (table.c.runner == values["runner"], table.c.host == values["host"])
    clash = select(table.c.id).where(*same, table.c.subject_id == values["subject_id"], table.c.id != values["id"])
    if connection.execute(clash).first():
        raise AlreadyExists("there is a credential for this host already; update or delete it", field="host")
    if new:
        connection.execute(insert(table), values)
    elif not connection.execute(update(table).where(table.c.id == values["id"]).values(**values)).rowcount:
        raise NotFound("there is no such credential", field="id")
