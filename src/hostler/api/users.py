"""Accounts and API tokens below /api/hostler/v1: what administrators do to people, and everybody to his own tokens."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hostler.api.accounts import LONGEST_NAME, Accounts, role_of
from hostler.api.auth import Credentials
from hostler.api.bodies import body_of
from hostler.api.call import current, only_admins
from hostler.api.parts import ApiParts
from hostler.core.errors import InvalidArgument, NotFound
from hostler.core.people import Kind, Person, PersonChange
from hostler.core.ports import ApiToken
from hostler.core.roles import SCOPES, Scope
from hostler.projections.status import stamp

Handler = Callable[[Request], Awaitable[Response]]
ROOMS: tuple[tuple[str, Kind], ...] = (("users", "user"), ("service-accounts", "service_account"))
TEXTS = ("name", "email", "description", "git_name", "git_email")
OF_ADMINS = frozenset({"role", "suspended", "stop", "email"})
"""What nobody changes of his own account."""
LONGEST_TEXT = 500
GIFTS = ("token", "link", "none")


class Users:
    """The handlers; authenticated by whoever serves them."""

    def __init__(self, parts: ApiParts, credentials: Credentials) -> None:
        self._parts = parts
        self._accounts = Accounts(parts, credentials)

    def routes(self) -> list[tuple[str, str, Handler]]:
        """Return (method, path, handler)."""
        table: list[tuple[str, str, Handler]] = [
            ("GET", "/tokens", self.tokens),
            ("POST", "/tokens", self.create_token),
            ("DELETE", "/tokens/{token}", self.revoke_token),
        ]
        for room, kind in ROOMS:
            table += [
                ("GET", f"/{room}", self._of(self.list, kind)),
                ("POST", f"/{room}", self._of(self.create, kind)),
                ("GET", f"/{room}/{{account}}", self.show),
                ("PATCH", f"/{room}/{{account}}", self.change),
                ("DELETE", f"/{room}/{{account}}", self.remove),
            ]
        return table

    def _of(self, handler: Callable[[Request, Kind], Awaitable[Response]], kind: Kind) -> Handler:
        async def handle(request: Request) -> Response:
            return await handler(request, kind)

        return handle

    async def list(self, request: Request, kind: Kind) -> Response:
        """List the accounts of a kind, with when they were last seen."""
        only_admins()
        seen = await self._last_seen()
        return JSONResponse({"accounts": [person_json(one, seen) for one in await self._accounts.find(kind)]})

    async def show(self, request: Request) -> Response:
        """Return an account; everybody may see his own."""
        account = _account(request)
        if account != current().principal.id:
            only_admins()
        return JSONResponse(person_json(await self._accounts.get(account), await self._last_seen(account)))

    async def create(self, request: Request, kind: Kind) -> Response:
        """Make an account, and a first token or a link to sign in with; either is in this answer and nowhere else."""
        only_admins()
        asked = await body_of(request)
        _known(asked, {*TEXTS, "role", "give", "days", "account_days"})
        texts = _texts(asked)
        if not texts.get("name"):
            raise InvalidArgument(f"1 to {LONGEST_NAME} printable characters are needed", field="name")
        give = asked.get("give", "token")
        if give not in GIFTS or (kind == "service_account" and give == "link"):
            raise InvalidArgument("token, link (for people) or none", field="give")
        now = self._parts.ambient.now()
        until, expires = _expiry(asked, now, "account_days"), _expiry(asked, now, "days")
        new = replace(Person("", kind, "", role_of(asked.get("role")), until=until), **texts)
        person = await self._accounts.create(new)
        told = person_json(person)
        if give == "token":
            text, token = await self._accounts.token(person.principal, "first", "all", expires)
            told |= {"token": text, "tokenId": token.id}
        elif give == "link":
            url, ends = await self._accounts.invitation(person)
            told |= {"url": url, "urlExpiresAt": stamp(ends)}
        return JSONResponse(told, 201)

    async def change(self, request: Request) -> Response:
        """Change an account; everybody may change his own name, and what his commits carry.

        Not his address: whoever proves it elsewhere is taken for him, and an account that waited for somebody else
        under his address would get his role.
        """
        account, asked = _account(request), await body_of(request)
        _known(asked, {*TEXTS, "role", "suspended", "stop"})
        if account != current().principal.id or OF_ADMINS & asked.keys():
            only_admins()
        suspended, stop = asked.get("suspended"), asked.get("stop", False)
        if suspended is not None and not isinstance(suspended, bool):
            raise InvalidArgument("true or false", field="suspended")
        if not isinstance(stop, bool):
            raise InvalidArgument("true or false", field="stop")
        texts = {name: self._parts.redactor.text(text) for name, text in _texts(asked).items()}
        if texts.get("name") == "":
            raise InvalidArgument("a name is needed", field="name")
        role = role_of(asked["role"]) if asked.get("role") else None
        change = replace(PersonChange(role=role, suspended=suspended), **texts)
        return JSONResponse(person_json(await self._accounts.change(account, change, stop=stop)))

    async def remove(self, request: Request) -> Response:
        """Remove an account with its tokens; what it has started stays."""
        only_admins()
        account = _account(request)
        await self._accounts.change(account, PersonChange(left=True))
        return JSONResponse({})

    async def tokens(self, request: Request) -> Response:
        """List one's own API tokens, or for administrators all of them; never their text."""
        me = current().principal
        found = await self._parts.tokens.find("" if me.admin else me.id)
        return JSONResponse({"tokens": [token_json(token) for token in found]})

    async def create_token(self, request: Request) -> Response:
        """Make an API token for oneself, or as an administrator for somebody; its text is in this answer only."""
        asked = await body_of(request)
        now, name = self._parts.ambient.now(), _text(asked, "name")
        scope, expires = _scope(asked), _expiry(asked, now, "days")
        owner = await self._owner(asked)
        text, token = await self._accounts.token(owner.principal, name, scope, expires)
        return JSONResponse({"token": text, **token_json(token)}, 201)

    async def _owner(self, asked: Mapping[str, Any]) -> Person:
        """Return whom a new token is for: the caller, an account by id, or a service account by its name."""
        if account := asked.get("account", ""):
            if account != current().principal.id:
                only_admins()
            return await self._accounts.get(str(account))
        given = {"name": asked.get("service_account", asked.get("serviceAccount", ""))}
        if not given["name"]:
            return await self._me()
        only_admins()
        name = _text(given, "name", field="service_account")
        role = role_of("admin" if asked.get("admin", False) is True else None)
        there = [one for one in await self._accounts.find("service_account") if one.name.casefold() == name.casefold()]
        return there[0] if there else await self._accounts.create(Person("", "service_account", name, role))

    async def _me(self) -> Person:
        me = current().principal
        return await self._parts.people.get(me.id) or Person(me.id, me.kind, me.name, me.role)

    async def revoke_token(self, request: Request) -> Response:
        """Take back a token of one's own, or as an administrator any; it is refused from now on."""
        token, me = str(request.path_params["token"]).lower(), current().principal
        if not me.admin and token not in {one.id for one in await self._parts.tokens.find(me.id)}:
            raise NotFound("there is no such token")
        await self._accounts.revoke(token)
        return JSONResponse({})

    async def _last_seen(self, of: str = "") -> Mapping[str, datetime]:
        seen = dict[str, datetime]()
        for token in await self._parts.tokens.find(of):
            if token.last_used_at:
                owner = token.principal.id
                seen[owner] = max(token.last_used_at, seen.get(owner, token.last_used_at))
        return seen


def person_json(person: Person, seen: Mapping[str, datetime] | None = None) -> dict[str, Any]:
    """Return what is shown of an account."""
    return {
        "id": person.id,
        "kind": person.kind,
        "name": person.name,
        "role": person.role,
        "email": person.email,
        "description": person.description,
        "suspended": person.suspended_at is not None,
        "suspendedAt": stamp(person.suspended_at),
        "createdAt": stamp(person.made_at),
        "until": stamp(person.until),
        "lastSeenAt": stamp((seen or {}).get(person.id)),
        "signIn": person.subject.partition(" ")[0],
        "gitName": person.git_name,
        "gitEmail": person.git_email,
    }


def token_json(token: ApiToken) -> dict[str, Any]:
    """Return what is shown of a token."""
    owner = token.principal
    return {
        "id": token.id,
        "name": token.name,
        "scope": token.scope,
        "purpose": token.purpose,
        "principal": {"id": owner.id, "kind": owner.kind, "name": owner.name, "role": owner.role},
        "createdAt": stamp(token.created_at),
        "expiresAt": stamp(token.expires_at),
        "lastUsedAt": stamp(token.last_used_at),
    }


def _account(request: Request) -> str:
    given = str(request.path_params["account"]).lower()
    return current().principal.id if given == "me" else given


def _known(asked: Mapping[str, Any], names: set[str]) -> None:
    if unknown := sorted(set(asked) - names):
        raise InvalidArgument(f"known are {', '.join(sorted(names))}", field=unknown[0])


def _texts(asked: Mapping[str, Any]) -> dict[str, str]:
    """Return the texts that are given, checked; a name may not be empty where one is asked for."""
    return {name: _text(asked, name, least=0) for name in TEXTS if asked.get(name) is not None}


def _text(asked: Mapping[str, Any], name: str, *, least: int = 1, field: str = "") -> str:
    value, most = asked.get(name, ""), LONGEST_TEXT if name == "description" else LONGEST_NAME
    if not isinstance(value, str) or not least <= len(value) <= most or not value.isprintable():
        raise InvalidArgument(f"{least} to {most} printable characters are needed", field=field or name)
    return value.strip()


def _scope(asked: Mapping[str, Any]) -> Scope:
    given = asked.get("scope") or "all"
    for scope in SCOPES:
        if given == scope:
            return scope
    raise InvalidArgument(" or ".join(SCOPES), field="scope")


def _expiry(asked: Mapping[str, Any], now: datetime, name: str) -> datetime | None:
    days = asked.get(name)
    if days is None:
        return None
    if isinstance(days, bool) or not isinstance(days, int | float) or not 0 < days <= 36_500:
        raise InvalidArgument("a number of days above 0 is needed", field=name)
    return now + timedelta(days=days)
