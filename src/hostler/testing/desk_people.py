"""People in memory, over the tokens in memory: what changes of a person, his tokens show at once."""

from dataclasses import replace
from datetime import datetime

from hostler.core.errors import AlreadyExists, FailedPrecondition, NotFound
from hostler.core.people import PeopleQuery, Person, PersonChange
from hostler.testing.desk import MemoryTokens


class MemoryPeople:
    """Those that were added, and those that tokens brought along."""

    def __init__(self, tokens: MemoryTokens) -> None:
        self._tokens = tokens
        self._kept: dict[str, Person] = {}

    async def add(self, person: Person) -> None:
        """Keep a new person."""
        everybody = self._all()
        taken = any(person.subject and one.subject == person.subject for one in everybody.values())
        if person.id in everybody or taken:
            raise AlreadyExists("this account is there already")
        self._kept[person.id] = person

    async def get(self, person: str) -> Person | None:
        """Return a person, also one who left."""
        return self._all().get(person)

    async def by_subject(self, subject: str) -> Person | None:
        """Return who is known so to somebody else's sign-in."""
        return next((one for one in self._all().values() if subject and one.subject == subject), None)

    async def find(self, query: PeopleQuery) -> tuple[Person, ...]:
        """Return people, the oldest first."""
        return tuple(
            one
            for one in self._all().values()
            if (query.left or one.left_at is None)
            and query.kind in ("", one.kind)
            and (not query.ids or one.id in query.ids)
        )

    async def change(self, person: str, change: PersonChange, now: datetime) -> Person:
        """Change a person; his tokens go when he leaves."""
        everybody = self._all()
        found = everybody.get(person)
        if found is None or found.left_at is not None:
            raise NotFound("there is no such account")
        changed = change.of(found, now)
        others = [one for one in everybody.values() if one.id != person and _looks_after(one)]
        if _looks_after(found) and not others and not _looks_after(changed):
            raise FailedPrecondition("this is the last administrator; make somebody else one first")
        self._kept[person] = changed
        tokens = self._tokens.kept
        self._tokens.kept = [
            replace(one, principal=changed.principal) if one.principal.id == person else one
            for one in tokens
            if changed.left_at is None or one.principal.id != person
        ]
        return changed

    def _all(self) -> dict[str, Person]:
        owners = {one.principal.id: (one.principal, one.created_at) for one in reversed(self._tokens.kept)}
        brought = {id_: Person(id_, one.kind, one.name, one.role, made_at=at) for id_, (one, at) in owners.items()}
        return {**brought, **self._kept}


def _looks_after(one: Person) -> bool:
    return one.kind == "user" and one.role == "admin" and one.suspended_at is None and one.left_at is None
