"""What is done to accounts and their tokens, whoever asks: our own routes, the contract's services, a sign-in.

A change holds from the next request on: whoever is suspended, or has another role, is cut off from what he has open.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from hostler.api.auth import Credentials, hashed
from hostler.api.call import current
from hostler.api.newcomers import LONGEST_NAME as LONGEST_NAME
from hostler.api.parts import ApiParts
from hostler.core.admission import LONGEST, Link
from hostler.core.commands import Stop
from hostler.core.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, PermissionDenied
from hostler.core.people import Kind, PeopleQuery, Person, PersonChange
from hostler.core.ports import ApiToken, ExecutionQuery, Principal
from hostler.core.roles import ROLES, Role, Scope, least

INVITED = timedelta(hours=72)
"""How long the link of a new account can be opened."""
PAGE = 100
UNDER_WAY = ("PENDING", "RUNNING")
CALLED: dict[Kind, str] = {"user": "user", "service_account": "service account"}


class Accounts:
    """Changes accounts; who may ask for it is decided by whoever calls."""

    def __init__(self, parts: ApiParts, credentials: Credentials) -> None:
        self._parts = parts
        self._credentials = credentials

    async def find(self, kind: Kind | None = None) -> tuple[Person, ...]:
        """Return the accounts, the oldest first."""
        return await self._parts.people.find(PeopleQuery(kind or ""))

    async def get(self, id_: str, kind: Kind | None = None) -> Person:
        """Return an account; NotFound without it, or when it is of another kind or was removed."""
        found = await self._parts.people.get(id_.lower())
        if found is None or found.left_at is not None or (kind and found.kind != kind):
            raise NotFound(f"there is no such {CALLED[kind] if kind else 'account'}")
        return found

    async def create(self, person: Person) -> Person:
        """Keep a new account, with an id and a time of its own; AlreadyExists when the name is taken."""
        if any(one.name.casefold() == person.name.casefold() for one in await self.find(person.kind)):
            raise AlreadyExists(f"there is a {CALLED[person.kind]} {person.name!r}", field="name")
        made = self._new(person)
        await self._parts.people.add(made)
        return made

    def _new(self, person: Person) -> Person:
        caller = current().caller
        by = caller.principal if caller else None
        texts = {name: self._parts.redactor.text(getattr(person, name)) for name in ("name", "email", "description")}
        return replace(
            person,
            id=self._parts.ambient.new_id(),
            made_at=self._parts.ambient.now(),
            creator_id=by.id if by else "",
            creator_kind=by.kind if by else "",
            **texts,
        )

    async def change(self, id_: str, change: PersonChange, *, stop: bool = False) -> Person:
        """Change an account; with `stop` the turns of whoever is suspended or leaves end, otherwise they go on."""
        before = await self.get(id_)
        if change.name is not None and change.name.casefold() != before.name.casefold():
            others = [one for one in await self.find(before.kind) if one.id != before.id]
            if any(one.name.casefold() == change.name.casefold() for one in others):
                raise AlreadyExists(f"there is a {CALLED[before.kind]} {change.name!r}", field="name")
        changed = await self._parts.people.change(before.id, change, self._parts.ambient.now())
        if changed.role != before.role or changed.principal.suspended:
            self._credentials.end(changed.id)
        if stop and changed.principal.suspended:
            await self._stop(changed.id)
        return changed

    async def _stop(self, person: str) -> None:
        query, before = ExecutionQuery(creator_ids=(person,), phases=UNDER_WAY), ""
        while rows := await self._parts.executions.find(query, before, PAGE):
            before = rows[-1].id
            for row in rows:
                try:
                    await self._parts.desk.command(row.id, Stop())
                except (NotFound, FailedPrecondition):
                    continue

    async def token(
        self, principal: Principal, name: str, scope: Scope, expires_at: datetime | None
    ) -> tuple[str, ApiToken]:
        """Make a token and return its text, which is kept nowhere; it reaches no further than who makes it.

        PermissionDenied when the scope does.
        """
        me = current().principal
        if me.id == principal.id:
            scope = await self._narrowed(me, scope)
        if scope != "all" and ROLES.index(scope) > ROLES.index(principal.role):
            raise InvalidArgument(f"no more than the account's role, {principal.role}", field="scope")
        text = f"hostler_{self._parts.ambient.token()}"
        token = ApiToken(
            id=self._parts.ambient.new_id(),
            sha256=hashed(text),
            principal=principal,
            name=self._parts.redactor.text(name),
            scope=scope,
            created_at=self._parts.ambient.now(),
            expires_at=expires_at,
            creator_id=me.id,
        )
        await self._parts.tokens.add(token)
        self._parts.redactor.add([text])
        return text, token

    async def _narrowed(self, me: Principal, scope: Scope) -> Scope:
        """Return a scope for a token of one's own that is no wider than the credential it is asked for with."""
        whole = await self._parts.people.get(me.id)
        if whole is None or whole.role == me.role:
            return scope
        if scope == "all":
            return me.role
        if least(me.role, scope) != scope:
            raise PermissionDenied("a token makes no token that reaches further than itself")
        return scope

    async def invitation(self, person: Person) -> tuple[str, datetime]:
        """Return an address that signs a person in, once, and until when it does."""
        return await self.link(person.principal, "/", INVITED, "invited")

    async def link(self, principal: Principal, path: str, lasts: timedelta, name: str) -> tuple[str, datetime]:
        """Return an address that signs somebody in once and leads to a path of this server."""
        now, code = self._parts.ambient.now(), self._parts.ambient.token()
        token = await self.browser(principal, name)
        link = Link(hashed(code), token, path, now + lasts)
        await self._parts.sign_ins.add_link(link, now)
        return f"{current().origin}/open/{code}", link.expires_at

    async def browser(self, principal: Principal, name: str) -> str:
        """Make the token behind a sign-in that nobody has the text of, and return its id."""
        now = self._parts.ambient.now()
        token = ApiToken(
            id=self._parts.ambient.new_id(),
            sha256=hashed(self._parts.ambient.token()),
            principal=principal,
            name=name,
            scope="all",
            created_at=now,
            expires_at=now + LONGEST,
            creator_id=principal.id,
            purpose="sign_in",
        )
        await self._parts.tokens.add(token)
        return token.id

    async def revoke(self, token: str) -> None:
        """Take a token back; NotFound when it is not there."""
        if not await self._parts.tokens.revoke(token):
            raise NotFound("there is no such token")
        self._credentials.end(token)


def role_of(given: object, usual: Role = "run") -> Role:
    """Return a role as it was asked for; InvalidArgument for a word that is none."""
    if given in (None, ""):
        return usual
    for role in ROLES:
        if given == role:
            return role
    raise InvalidArgument(" or ".join(ROLES), field="role")
