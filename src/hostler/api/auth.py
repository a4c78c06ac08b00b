"""Who sends a request: API tokens by their hash, short signed tokens for one execution or environment, and cookies."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import sha256
from typing import Any
from weakref import WeakSet

import jwt
from jwt.types import Options
from starlette.requests import HTTPConnection

from hostler.api.call import Caller, Power, ShortKind, Validity, among, current, meant_for
from hostler.api.cookies import CookieNames, check_ours, cookies_of
from hostler.api.newcomers import Newcomers
from hostler.api.parts import ApiParts
from hostler.api.sight import Sight
from hostler.core.admission import LONGEST
from hostler.core.ambient import Ambient
from hostler.core.errors import HostlerError, NotFound, PermissionDenied, Unauthenticated
from hostler.core.outside import Known
from hostler.core.ports import EVERYTHING, ApiToken, Principal
from hostler.core.roles import ROLES, Scope, least

LIFETIME = timedelta(hours=24)
"""How long conversation and environment tokens are good for."""
NOTED = timedelta(minutes=1)
"""How exactly it is kept when an API token was last used."""
SEEN = timedelta(hours=1)
"""How exactly it is kept when a browser that is signed in was last used."""
LOOK_AGAIN = 5.0
"""Seconds after which open streams are looked at although nothing was signalled."""
ALGORITHM = "HS256"
SAFE = ("GET", "HEAD")
"""Methods that change nothing."""
UNCLOCKED: Options = {"verify_exp": False, "verify_iat": False, "require": ["kind", "sub", "by", "exp"]}
"""Expiry is judged by our own clock."""


def hashed(token: str) -> str:
    """Return what is kept of an API token."""
    return sha256(token.encode()).hexdigest()


def bearer(header: str, query: str = "") -> str:
    """Return the token of an Authorization header or else of the query; Unauthenticated when there is none."""
    scheme, _, token = header.strip().partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    if header or not query:
        raise Unauthenticated()
    return query


class Signer:
    """Makes and reads the short tokens."""

    def __init__(self, key: bytes, ambient: Ambient) -> None:
        self._key = key
        self._ambient = ambient

    def sign(self, kind: ShortKind, subject: str, principal: Principal) -> str:
        """Return a token for one execution or environment, in the name of who asked for it and in his role of now."""
        now = self._ambient.now()
        claims = {
            "kind": kind,
            "sub": subject,
            "by": principal.id,
            "by_kind": principal.kind,
            "by_name": principal.name,
            "scope": principal.role,
            "iat": int(now.timestamp()),
            "exp": int((now + LIFETIME).timestamp()),
        }
        return jwt.encode(claims, self._key, algorithm=ALGORITHM)  # pyright: ignore[reportUnknownMemberType]

    def read(self, token: str, kind: ShortKind) -> "Signed | None":
        """Return what a token says; None when it is not one of ours, Unauthenticated when it has expired."""
        try:
            read = jwt.decode(token, self._key, algorithms=[ALGORITHM], options=UNCLOCKED)  # pyright: ignore[reportUnknownMemberType]
        except jwt.InvalidTokenError:
            return None
        claims: Mapping[str, Any] = read
        if claims["kind"] != kind:
            return None
        if self._ambient.now().timestamp() >= claims["exp"]:
            raise Unauthenticated("the token has expired; ask for a new one")
        scope: Scope = claims.get("scope", "run")
        return Signed(claims["by"], claims["sub"], scope if scope in ROLES else "read", claims["exp"])


@dataclass(frozen=True, slots=True)
class Signed:
    """What a short token says: in whose name, for what, in which role at most, until when."""

    by: str
    subject: str
    scope: Scope
    expires_at: float


class Credentials:
    """Turns what a request brings into a caller."""

    def __init__(self, parts: ApiParts, signer: Signer) -> None:
        self.sight = Sight(parts.policies, parts.executions, parts.environment_rows)
        self._tokens = parts.tokens
        self._sign_ins = parts.sign_ins
        self._shares = parts.shares
        self._people = parts.people
        self._proxy = parts.outside.proxy
        self._newcomers = Newcomers(parts)
        self._executions = parts.executions
        self._signer = signer
        self._ambient = parts.ambient
        self._validities: WeakSet[Validity] = WeakSet()
        self.cookies = CookieNames(parts.installation or parts.runner_id)

    async def api(self, token: str) -> Caller:
        """Return who an API token belongs to; Unauthenticated when it is unknown, has expired or lets nobody in."""
        known = await self._tokens.by_sha256(hashed(token))
        if known is None or not known.holds(self._ambient.now()):
            raise Unauthenticated("this API token is unknown, revoked or expired")
        await self._note_use(known)
        expires = known.ends_at.timestamp() if known.ends_at else 0.0
        return Caller(known.bearer, expires_at=expires, grant=known.id, validity=self._validity(known))

    async def _note_use(self, known: ApiToken) -> None:
        """Keep when a token was last used, to the minute; a database that cannot write refuses nobody."""
        now = self._ambient.now()
        if known.last_used_at is None or now - known.last_used_at >= NOTED:
            with contextlib.suppress(HostlerError):
                await self._tokens.used(known.id, now)

    async def short(self, token: str, kind: ShortKind) -> Caller:
        """Return who a short token, or else an API token, speaks for; it holds while whoever asked for it may come."""
        signed = self._signer.read(token, kind)
        if signed is None:
            return await self.api(token)
        person = await self._person(signed.by)
        if person is None:
            raise Unauthenticated("whoever asked for this token is let in no more")
        now_may = replace(person, role=least(person.role, signed.scope))
        validity = self._watched(Validity((person.id,), now_may.role))
        return Caller(now_may, kind, signed.subject, signed.expires_at, validity=validity)

    async def _person(self, id_: str) -> Principal | None:
        """Return a principal that is let in."""
        found = await self._people.get(id_)
        principal = found.principal if found else None
        if principal is None or principal.suspended:
            return None
        return principal if principal.until is None or self._ambient.now() < principal.until else None

    async def signed_in(self, cookie: str) -> Caller | None:
        """Return who is signed in; None when the sign-in or its API token has ended."""
        found = await self._sign_ins.by_sha256(hashed(cookie))
        now = self._ambient.now()
        if found is None or not found[0].holds(now) or not found[1].holds(now):
            return None
        sign_in, token = found
        await self._note_use(token)
        if now - sign_in.used_at >= SEEN:
            with contextlib.suppress(HostlerError):
                await self._sign_ins.used(sign_in.id, now)
        ends = min(sign_in.created_at + LONGEST, token.ends_at or sign_in.created_at + LONGEST)
        validity = self._validity(token, sign_in.sha256)
        validity.sign_in = sign_in.sha256
        return Caller(token.bearer, "sign_in", "", ends.timestamp(), token.id, validity)

    async def visiting(self, cookie: str, execution: str) -> Caller | None:
        """Return the visitor with a share of an execution; None when the share has ended.

        It ends with the account of who made it and with his sight of the execution, and lets visitors write only
        while he may.
        """
        share = await self._shares.by_sha256(hashed(cookie))
        if share is None or share.execution_id != execution or not share.holds(self._ambient.now()):
            return None
        lender = await self._person(share.creator_id)
        if lender is None:
            return None
        role = "run" if share.may == "send" and lender.role != "read" else "read"
        named = f"visitor ({share.name})" if share.name else "visitor"
        principal = Principal(share.id, "user", named, role)
        validity = self._watched(Validity((share.id, lender.id), lender.role, share=share.sha256))
        visitor = Caller(
            principal, "share", execution, share.expires_at.timestamp(), share.id, validity, lent_by=lender
        )
        return visitor if await self.sight.sees_execution(visitor, execution) else None

    async def of(
        self,
        headers: Mapping[str, str],
        kind: ShortKind | None = None,
        *,
        query: str = "",
        execution: str = "",
        changing: bool = True,
    ) -> Caller:
        """Return who calls: by a short token of this kind, an API token, the cookie of a sign-in, or of a share.

        A token wins over a proxy that is believed, that over a cookie, a sign-in over a share; shares count where an
        execution is named. Unauthenticated without any of them, NotFound when a share has ended, PermissionDenied when
        a change is asked for by cookie and not by a page of ours. What has to come before anything is done comes here.
        """
        caller = await self._found(headers, kind, query, execution, changing=changing)
        if admit := current().admit:
            await admit(caller)
        return caller

    async def _found(
        self, headers: Mapping[str, str], kind: ShortKind | None, query: str, execution: str, *, changing: bool
    ) -> Caller:
        header = headers.get("authorization", "")
        if query or _is_bearer(header):
            token = bearer(header, query)
            return await (self.short(token, kind) if kind else self.api(token))
        if caller := await self._by_proxy(headers):
            if changing:
                check_ours(headers)
            return caller
        caller = await self._by_cookie(cookies_of(headers), execution)
        if caller is None:
            raise Unauthenticated()
        if changing:
            check_ours(headers)
        return caller

    async def _by_proxy(self, headers: Mapping[str, str]) -> Caller | None:
        """Return whom a proxy names that is believed; None without such a proxy, or when it names nobody."""
        proxy = self._proxy
        named = headers.get(proxy.header, "").strip() if proxy else ""
        if proxy is None or not named or not among(current().peer, proxy.addresses):
            return None
        email = named.lower() if "@" in named else ""
        known = Known(f"proxy {proxy.header} {named}", named, email)
        person = await self._newcomers.person(known, proxy.accounts)
        if person.until is not None and person.until <= self._ambient.now():
            raise Unauthenticated("this account is over")
        validity = self._watched(Validity((person.id,), person.role))
        return Caller(person.principal, "sign_in", validity=validity)

    async def _by_cookie(self, cookies: Mapping[str, str], execution: str) -> Caller | None:
        """Return who is signed in, or else visits the execution."""
        if (cookie := cookies.get(self.cookies.sign_in, "")) and (caller := await self.signed_in(cookie)):
            return caller
        if not execution or not (cookie := cookies.get(self.cookies.share(execution), "")):
            return None
        if caller := await self.visiting(cookie, execution):
            return caller
        raise NotFound("this share was taken back or has expired; ask for another one")

    async def viewer(
        self, request: HTTPConnection, execution: str, *, change: bool = False, needs: Power | None = None
    ) -> Caller:
        """Return who reads or changes something of one execution, and keep it as the call's caller.

        `needs` is what the caller must be able to do: to inspect, or for a change to control, unless it is named; so
        what is open to visitors says so. Unauthenticated without a credential, NotFound when it is for another
        execution or has ended, PermissionDenied when it does not reach so far.
        """
        changing = _changing(request, change)
        query = "" if changing else request.query_params.get("token", "")
        caller = await self.of(request.headers, "conversation", query=query, execution=execution, changing=changing)
        meant_for(caller, execution, "agent execution")
        await self.sight.check_execution(execution, caller)
        caller.validity.of_execution = execution
        current().caller = caller
        current().about(execution)
        if not caller.may(needs or ("control" if changing else "inspect")):
            raise PermissionDenied(short_of(caller))
        return caller

    async def person(self, request: HTTPConnection, *, change: bool = False) -> Caller:
        """Return who asks for what is not bound to one execution, and keep it as the call's caller."""
        changing = _changing(request, change)
        return _let_in(await self.of(request.headers, changing=changing), changing)

    async def insider(
        self, request: HTTPConnection, environment: str, *, change: bool = False, kind: ShortKind = "environment"
    ) -> Caller:
        """Return who asks for something of one environment, and keep it as the call's caller."""
        changing = _changing(request, change)
        query = "" if changing else request.query_params.get("token", "")
        caller = await self.of(request.headers, kind, query=query, changing=changing)
        meant_for(caller, environment, "environment")
        await self.sight.check_environment(environment, caller)
        caller.validity.of_environment = environment
        return _let_in(caller, changing)

    def end(self, what: str) -> None:
        """Tell open streams that what they rest on was taken back: the id of an API token, of a share, of a person
        who was suspended or has another role, or the sha256 of a sign-in."""
        for validity in list(self._validities):
            if what in validity.rests_on:
                validity.end()

    forget = end
    """What else remembers callers: it asks `caller.validity.over`, which is true from here on."""

    async def keep_up(self) -> None:
        """End what stays open when anybody, also another process, takes back what it rests on; runs for ever."""
        async with self._executions.watch() as watch:
            while True:
                changed = await watch.changed(LOOK_AGAIN)
                every = not changed or EVERYTHING in changed
                for validity in list(self._validities):
                    if not validity.over and (every or changed.intersection(validity.rests_on)):
                        with contextlib.suppress(HostlerError):
                            if not await self.still_holds(validity):
                                validity.end()

    async def still_holds(self, validity: Validity) -> bool:
        """Return whether a caller who came in some time ago would come in again."""
        if validity.sign_in and await self._sign_ins.by_sha256(validity.sign_in) is None:
            return False
        if validity.share and await self._shares.by_sha256(validity.share) is None:
            return False
        if validity.token:
            token = await self._tokens.by_sha256(validity.token)
            if token is None or not token.holds(self._ambient.now()) or token.bearer.role != validity.role:
                return False
            person = token.bearer
        else:
            found = await self._person(validity.rests_on[-1]) if validity.rests_on else None
            if found is None or least(found.role, validity.role) != validity.role:
                return False
            person = replace(found, role=validity.role)
        caller = Caller(person)
        if validity.of_execution and not await self.sight.sees_execution(caller, validity.of_execution):
            return False
        return not validity.of_environment or await self.sight.sees_environment(caller, validity.of_environment)

    def _validity(self, token: ApiToken, *more: str) -> Validity:
        return self._watched(Validity((token.id, token.principal.id, *more), token.bearer.role, token.sha256))

    def _watched(self, validity: Validity) -> Validity:
        self._validities.add(validity)
        return validity


def _changing(request: HTTPConnection, change: bool) -> bool:
    """Return whether a request may change something; what goes over a WebSocket may."""
    return change or request.scope.get("method", "") not in SAFE


def _let_in(caller: Caller, changing: bool) -> Caller:
    current().caller = caller
    if changing and not caller.may_change:
        raise PermissionDenied(short_of(caller))
    return caller


def short_of(caller: Caller) -> str:
    """Return what is said to a caller whose credential does not reach so far."""
    if caller.kind == "share":
        return "this share does not reach so far"
    return "this token does not reach so far" if caller.may_change else "this token may only read"


def _is_bearer(header: str) -> bool:
    return header.strip().partition(" ")[0].lower() == "bearer"
