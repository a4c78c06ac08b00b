"""Whoever signs in elsewhere becomes somebody here: his account, a new one, or nobody."""

import structlog

from hostler.api.parts import ApiParts
from hostler.core.errors import AlreadyExists, FailedPrecondition, Unauthenticated
from hostler.core.outside import Accounts, Known
from hostler.core.people import PeopleQuery, Person, PersonChange
from hostler.core.roles import ROLES, Role

LONGEST_NAME = 100
log = structlog.get_logger(__name__)


class Newcomers:
    """Finds or makes accounts; `end` is told of those whose role is another one than before."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts

    async def person(self, known: Known, rules: Accounts) -> Person:
        """Return whose account this is; Unauthenticated when nobody's, or when he may not come in."""
        if rules.domains and known.email.rpartition("@")[2] not in rules.domains:
            raise Unauthenticated("only people with an address of this organization are let in")
        role = self._role(known, rules)
        person = await self._found(known) or await self._new(known, rules, role)
        if person.principal.suspended:
            raise Unauthenticated("this account is suspended")
        if role is not None and role != person.role:
            try:
                person = await self._parts.people.change(person.id, PersonChange(role=role), self._parts.ambient.now())
            except FailedPrecondition as problem:
                log.warning("a role is left as it is", principal=person.id, reason=problem.message)
        return person

    def _role(self, known: Known, rules: Accounts) -> Role | None:
        """Return the role that the claim gives, None where none is read; Unauthenticated when it gives none."""
        if not rules.role_claim:
            return None
        given = [rules.roles[value] for value in known.values if value in rules.roles]
        if not given:
            raise Unauthenticated("nothing that is known of this account lets it in")
        return next(role for role in reversed(ROLES) if role in given)

    async def _found(self, known: Known) -> Person | None:
        """Return the account that is known so, or which an administrator made for this address."""
        if person := await self._parts.people.by_subject(known.subject):
            return person
        if not known.email:
            return None
        everybody = await self._parts.people.find(PeopleQuery("user"))
        same = [one for one in everybody if one.email.lower() == known.email]
        if len(same) != 1 or same[0].subject:
            return None
        change = PersonChange(subject=known.subject)
        return await self._parts.people.change(same[0].id, change, self._parts.ambient.now())

    async def _new(self, known: Known, rules: Accounts, role: Role | None) -> Person:
        if not rules.create:
            raise Unauthenticated("there is no account for you here; ask an administrator for one")
        name = "".join(one for one in known.name if one.isprintable())[:LONGEST_NAME].strip() or "somebody"
        person = Person(
            self._parts.ambient.new_id(),
            "user",
            self._parts.redactor.text(name),
            role or rules.role,
            made_at=self._parts.ambient.now(),
            email=known.email,
            subject=known.subject,
        )
        try:
            await self._parts.people.add(person)
        except AlreadyExists:
            return await self._parts.people.by_subject(known.subject) or person
        return person
