"""People and service accounts: who may come in, in which role, until when; and what changes of them.

A principal in a log or a row is an id; this is what is known of it. Whoever left stays known by name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, Protocol

from hostler.core.ports import Principal
from hostler.core.roles import Role

Kind = Literal["user", "service_account"]


@dataclass(frozen=True, slots=True)
class Person:
    """A user or a service account."""

    id: str
    kind: Kind
    name: str
    role: Role = "run"
    made_at: datetime | None = None
    """None for those of older releases."""
    suspended_at: datetime | None = None
    left_at: datetime | None = None
    """When the account was removed; its name stays, for what it has left behind."""
    until: datetime | None = None
    """From when on a service account is let in no more."""
    email: str = ""
    subject: str = ""
    """As whom somebody else's sign-in knows this person, such as `oidc ISSUER SUB`; empty: nobody's does."""
    description: str = ""
    creator_id: str = ""
    creator_kind: str = ""
    git_name: str = ""
    git_email: str = ""

    @property
    def principal(self) -> Principal:
        """Return what requests carry of it."""
        suspended = self.suspended_at is not None or self.left_at is not None
        return Principal(self.id, self.kind, self.name, self.role, suspended, self.until)


def authorship(person: Person) -> Mapping[str, str]:
    """Return the variables by which git knows that a person commits; none where the person has not said as whom."""
    given = {"NAME": person.git_name, "EMAIL": person.git_email}
    return {f"GIT_{who}_{key}": value for key, value in given.items() if value for who in ("AUTHOR", "COMMITTER")}


@dataclass(frozen=True, slots=True)
class PersonChange:
    """What is to be different about a person; None leaves it as it is."""

    name: str | None = None
    role: Role | None = None
    suspended: bool | None = None
    left: bool = False
    email: str | None = None
    subject: str | None = None
    description: str | None = None
    git_name: str | None = None
    git_email: str | None = None

    def of(self, person: Person, now: datetime) -> Person:
        """Return the person as he is then; who leaves is known by no sign-in of others any more."""
        texts = {
            key: value
            for key in ("name", "role", "email", "subject", "description", "git_name", "git_email")
            if (value := getattr(self, key)) is not None
        }
        changed = replace(person, **texts)
        if self.suspended is not None and self.suspended != (person.suspended_at is not None):
            changed = replace(changed, suspended_at=now if self.suspended else None)
        return replace(changed, left_at=person.left_at or now, subject="") if self.left else changed


@dataclass(frozen=True, slots=True)
class PeopleQuery:
    """Which people are meant; an empty part matches everybody, and who left is asked for."""

    kind: str = ""
    ids: tuple[str, ...] = field(default_factory=tuple[str, ...])
    left: bool = False


class People(Protocol):
    """The people of the organization."""

    async def add(self, person: Person) -> None:
        """Keep a new person; AlreadyExists when the id or the subject is there."""
        ...

    async def get(self, person: str) -> Person | None:
        """Return a person, also one who left."""
        ...

    async def by_subject(self, subject: str) -> Person | None:
        """Return who is known so to somebody else's sign-in."""
        ...

    async def find(self, query: PeopleQuery) -> tuple[Person, ...]:
        """Return people, the oldest first."""
        ...

    async def change(self, person: str, change: PersonChange, now: datetime) -> Person:
        """Change a person and return him as he is then; his tokens go when he leaves.

        NotFound for nobody or who left, FailedPrecondition when the last administrator would be none any more.
        """
        ...
