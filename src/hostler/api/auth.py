"""Who sends a request: API tokens by their hash, and short signed tokens for one execution or environment."""

import contextlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import jwt
from jwt.types import Options
from starlette.requests import HTTPConnection

from hostler.api.call import Caller, CredentialKind, current, meant_for
from hostler.core.ambient import Ambient
from hostler.core.errors import HostlerError, PermissionDenied, Unauthenticated
from hostler.core.ports import ApiToken, Principal, Tokens

LIFETIME = timedelta(hours=24)
"""How long conversation and environment tokens are good for."""
NOTED = timedelta(minutes=1)
"""How exactly it is kept when an API token was last used."""
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

    def sign(self, kind: CredentialKind, subject: str, principal: Principal) -> str:
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

    def read(self, token: str, kind: CredentialKind) -> Caller | None:
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
    """Turns a token into a caller."""

    def __init__(self, tokens: Tokens, signer: Signer, ambient: Ambient) -> None:
        self._tokens = tokens
        self._signer = signer
        self._ambient = ambient

    async def api(self, token: str) -> Caller:
        """Return who an API token belongs to; Unauthenticated when it is unknown or has expired."""
        known = await self._tokens.by_sha256(hashed(token))
        if known is None or _expired(known.expires_at, self._ambient.now()):
            raise Unauthenticated("this API token is unknown, revoked or expired")
        await self._note_use(known)
        expires = known.expires_at.timestamp() if known.expires_at else 0.0
        return Caller(known.principal, scope=known.scope, expires_at=expires)

    async def _note_use(self, known: ApiToken) -> None:
        """Keep when a token was last used, to the minute; a database that cannot write refuses nobody."""
        now = self._ambient.now()
        if known.last_used_at is None or now - known.last_used_at >= NOTED:
            with contextlib.suppress(HostlerError):
                await self._tokens.used(known.id, now)

    async def short(self, token: str, kind: CredentialKind) -> Caller:
        """Return who a short token, or else an API token, speaks for."""
        return self._signer.read(token, kind) or await self.api(token)

    async def viewer(self, request: HTTPConnection, execution: str, *, change: bool = False) -> Caller:
        """Return who reads or changes something of one execution, and keep it as the call's caller.

        Unauthenticated without a credential, NotFound when it is for another execution, PermissionDenied when it does
        not reach for a change.
        """
        reading = not change and request.scope.get("method", "") in SAFE
        query = request.query_params.get("token", "") if reading else ""
        caller = await self.short(bearer(request.headers.get("authorization", ""), query), "conversation")
        meant_for(caller, execution, "agent execution")
        return _let_in(caller, reading)

    async def person(self, request: HTTPConnection, *, change: bool = False) -> Caller:
        """Return who asks for what is not bound to one execution, and keep it as the call's caller."""
        reading = not change and request.scope.get("method", "") in SAFE
        return _let_in(await self.api(bearer(request.headers.get("authorization", ""))), reading)


def _let_in(caller: Caller, reading: bool) -> Caller:
    current().caller = caller
    if not reading and caller.scope == "read":
        raise PermissionDenied("this token may only read")
    return caller


def _expired(at: datetime | None, now: datetime) -> bool:
    return at is not None and at <= now
