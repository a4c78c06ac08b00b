"""Who sends a request: API tokens by their hash, short signed tokens for one execution or environment, and cookies."""

import contextlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from weakref import WeakSet

import jwt
from jwt.types import Options
from starlette.requests import HTTPConnection

from hostler.api.call import Caller, Power, ShortKind, Validity, current, meant_for
from hostler.api.cookies import CookieNames, check_ours, cookies_of
from hostler.api.parts import ApiParts
from hostler.core.admission import LONGEST
from hostler.core.ambient import Ambient
from hostler.core.errors import HostlerError, NotFound, PermissionDenied, Unauthenticated
from hostler.core.ports import ApiToken, Principal

LIFETIME = timedelta(hours=24)
"""How long conversation and environment tokens are good for."""
NOTED = timedelta(minutes=1)
"""How exactly it is kept when an API token was last used."""
SEEN = timedelta(hours=1)
"""How exactly it is kept when a browser that is signed in was last used."""
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
        """Return a token for one execution or environment, in the name of who asked for it."""
        now = self._ambient.now()
        claims = {
            "kind": kind,
            "sub": subject,
            "by": principal.id,
            "by_kind": principal.kind,
            "by_name": principal.name,
            "iat": int(now.timestamp()),
            "exp": int((now + LIFETIME).timestamp()),
        }
        return jwt.encode(claims, self._key, algorithm=ALGORITHM)  # pyright: ignore[reportUnknownMemberType]

    def read(self, token: str, kind: ShortKind) -> Caller | None:
        """Return who a token speaks for; None when it is not one of ours, Unauthenticated when it has expired."""
        try:
            read = jwt.decode(token, self._key, algorithms=[ALGORITHM], options=UNCLOCKED)  # pyright: ignore[reportUnknownMemberType]
        except jwt.InvalidTokenError:
            return None
        claims: Mapping[str, Any] = read
        if claims["kind"] != kind:
            return None
        if self._ambient.now().timestamp() >= claims["exp"]:
            raise Unauthenticated("the token has expired; ask for a new one")
        principal = Principal(claims["by"], claims["by_kind"], claims["by_name"])
        return Caller(principal, kind, only=claims["sub"], expires_at=claims["exp"])


class Credentials:
    """Turns what a request brings into a caller."""

    def __init__(self, parts: ApiParts, signer: Signer) -> None:
        self._tokens = parts.tokens
        self._sign_ins = parts.sign_ins
        self._shares = parts.shares
        self._signer = signer
        self._ambient = parts.ambient
        self._validities: WeakSet[Validity] = WeakSet()
        self.cookies = CookieNames(parts.runner_id)

    async def api(self, token: str) -> Caller:
        """Return who an API token belongs to; Unauthenticated when it is unknown or has expired."""
        known = await self._tokens.by_sha256(hashed(token))
        if known is None or _expired(known.expires_at, self._ambient.now()):
            raise Unauthenticated("this API token is unknown, revoked or expired")
        await self._note_use(known)
        expires = known.expires_at.timestamp() if known.expires_at else 0.0
        validity = self._validity(known.id)
        return Caller(known.principal, scope=known.scope, expires_at=expires, grant=known.id, validity=validity)

    async def _note_use(self, known: ApiToken) -> None:
        """Keep when a token was last used, to the minute; a database that cannot write refuses nobody."""
        now = self._ambient.now()
        if known.last_used_at is None or now - known.last_used_at >= NOTED:
            with contextlib.suppress(HostlerError):
                await self._tokens.used(known.id, now)

    async def short(self, token: str, kind: ShortKind) -> Caller:
        """Return who a short token, or else an API token, speaks for."""
        return self._signer.read(token, kind) or await self.api(token)

    async def signed_in(self, cookie: str) -> Caller | None:
        """Return who is signed in; None when the sign-in or its API token has ended."""
        found = await self._sign_ins.by_sha256(hashed(cookie))
        now = self._ambient.now()
        if found is None or not found[0].holds(now) or _expired(found[1].expires_at, now):
            return None
        sign_in, token = found
        await self._note_use(token)
        if now - sign_in.used_at >= SEEN:
            with contextlib.suppress(HostlerError):
                await self._sign_ins.used(sign_in.id, now)
        ends = min(sign_in.created_at + LONGEST, token.expires_at or sign_in.created_at + LONGEST)
        validity = self._validity(token.id, sign_in.sha256)
        return Caller(token.principal, "sign_in", token.scope, "", ends.timestamp(), token.id, validity)

    async def visiting(self, cookie: str, execution: str) -> Caller | None:
        """Return the visitor with a share of an execution; None when the share has ended."""
        share = await self._shares.by_sha256(hashed(cookie))
        if share is None or share.execution_id != execution or not share.holds(self._ambient.now()):
            return None
        principal = Principal(share.id, "user", f"visitor ({share.name})" if share.name else "visitor")
        scope = "all" if share.may == "send" else "read"
        ends = share.expires_at.timestamp()
        return Caller(principal, "share", scope, execution, ends, share.id, self._validity(share.id))

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

        A token wins over a cookie, a sign-in over a share; shares count where an execution is named. Unauthenticated
        without any of them, NotFound when a share has ended, PermissionDenied when a change is asked for by cookie
        and not by a page of ours.
        """
        header = headers.get("authorization", "")
        if query or _is_bearer(header):
            token = bearer(header, query)
            return await (self.short(token, kind) if kind else self.api(token))
        caller = await self._by_cookie(cookies_of(headers), execution)
        if caller is None:
            raise Unauthenticated()
        if changing:
            check_ours(headers)
        return caller

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
        current().caller = caller
        if not caller.may(needs or ("control" if changing else "inspect")):
            raise PermissionDenied(_short_of(caller))
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
        return _let_in(caller, changing)

    def end(self, what: str) -> None:
        """Tell open streams that an API token or share was taken back, by its id, or a sign-in, by its sha256."""
        for validity in list(self._validities):
            if what in validity.rests_on:
                validity.end()

    def _validity(self, *rests_on: str) -> Validity:
        validity = Validity(rests_on)
        self._validities.add(validity)
        return validity


def _changing(request: HTTPConnection, change: bool) -> bool:
    """Return whether a request may change something; what goes over a WebSocket may."""
    return change or request.scope.get("method", "") not in SAFE


def _let_in(caller: Caller, changing: bool) -> Caller:
    current().caller = caller
    if changing and caller.scope == "read":
        raise PermissionDenied(_short_of(caller))
    return caller


def _short_of(caller: Caller) -> str:
    """Return what is said to a caller whose credential does not reach so far."""
    if caller.kind == "share":
        return "this share does not reach so far"
    return "this token may only read" if caller.scope == "read" else "this token does not reach so far"


def _is_bearer(header: str) -> bool:
    return header.strip().partition(" ")[0].lower() == "bearer"


def _expired(at: datetime | None, now: datetime) -> bool:
    return at is not None and at <= now
