"""People and service accounts; whoever changes the last administrator is refused in the transaction itself."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from hostler.core.changes import ANYTHING
from hostler.core.errors import AlreadyExists, FailedPrecondition, NotFound
from hostler.core.people import PeopleQuery, Person, PersonChange
from hostler.store.columns import check_text
from hostler.store.reading import Readers
from hostler.store.schema import api_token
from hostler.store.schema import principal as table
from hostler.store.writer import Writer, Writing

COLUMNS = [table.c[field.name] for field in fields(Person)]
PEOPLE = select(*COLUMNS)


class StoredPeople:
    """The people of the organization; see the protocol for the promises."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def add(self, person: Person) -> None:
        """Keep a new person."""
        values = values_of(person)
        await self._writer.do(lambda writing: _add(writing, person, values))

    async def get(self, person: str) -> Person | None:
        """Return a person, also one who left."""
        found = await self._fetch(table.c.id == check_text(person, "id"))
        return found[0] if found else None

    async def by_subject(self, subject: str) -> Person | None:
        """Return who is known so to somebody else's sign-in."""
        found = await self._fetch(table.c.subject == check_text(subject, "subject"), table.c.subject != "")
        return found[0] if found else None

    async def find(self, query: PeopleQuery) -> tuple[Person, ...]:
        """Return people, the oldest first."""
        where = [] if query.left else [table.c.left_at.is_(None)]
        where += [table.c.kind == query.kind] if query.kind else []
        where += [table.c.id.in_([check_text(one, "ids") for one in query.ids])] if query.ids else []
        return await self._fetch(*where)

    async def change(self, person: str, change: PersonChange, now: datetime) -> Person:
        """Change a person; his tokens go when he leaves."""
        check_text(person, "id")
        return await self._writer.do(lambda writing: _change(writing, person, change, now))

    async def _fetch(self, *where: ColumnElement[bool]) -> tuple[Person, ...]:
        statement = PEOPLE.where(*where).order_by(table.c.made_at.is_not(None), table.c.made_at, table.c.id)

        def read(connection: Connection) -> tuple[Person, ...]:
            return tuple(Person(**dict(found)) for found in connection.execute(statement).mappings())

        return await self._readers.do(read)


def values_of(person: Person) -> Mapping[str, Any]:
    """Return the row of a person; InvalidArgument names a text that cannot be kept."""
    values = asdict(person)
    for name, value in values.items():
        if isinstance(value, str):
            check_text(value, name)
    return {**values, "admin": person.role == "admin"}


def _add(writing: Writing, person: Person, values: Mapping[str, Any]) -> None:
    there = table.c.id == person.id
    if person.subject:
        there |= table.c.subject == person.subject
    if writing.connection.execute(select(table.c.id).where(there)).first():
        raise AlreadyExists("this account is there already")
    writing.connection.execute(insert(table), dict(values))


def _change(writing: Writing, person: str, change: PersonChange, now: datetime) -> Person:
    connection = writing.connection
    looking_after = (table.c.role == "admin", table.c.kind == "user", table.c.suspended_at.is_(None))
    locked = select(table.c.id).where(*looking_after, table.c.left_at.is_(None)).order_by(table.c.id)
    admins = set(connection.execute(locked.with_for_update()).scalars())
    found = connection.execute(PEOPLE.where(table.c.id == person).with_for_update()).mappings().first()
    if found is None or found["left_at"] is not None:
        raise NotFound("there is no such account")
    changed = change.of(Person(**dict(found)), now)
    stays = changed.role == "admin" and changed.suspended_at is None and changed.left_at is None
    if admins == {person} and not stays:
        raise FailedPrecondition("this is the last administrator; make somebody else one first")
    connection.execute(update(table).where(table.c.id == person), dict(values_of(changed)))
    if changed.left_at:
        connection.execute(delete(api_token).where(api_token.c.principal_id == person))
    writing.changed.update((person, ANYTHING))
    return changed
