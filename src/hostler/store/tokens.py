"""API tokens, of which only the sha256 is kept, and the principals behind them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Select, bindparam, delete, insert, or_, select, update

from hostler.core.changes import ANYTHING
from hostler.core.errors import AlreadyExists
from hostler.core.people import Person
from hostler.core.ports import ApiToken, Principal
from hostler.store.columns import check_text
from hostler.store.principals import values_of
from hostler.store.reading import Readers
from hostler.store.schema import api_token, principal
from hostler.store.writer import Writer, Writing

TOKENS = select(
    api_token,
    principal.c.kind.label("principal_kind"),
    principal.c.name.label("principal_name"),
    principal.c.role.label("principal_role"),
    principal.c.suspended_at.label("principal_suspended_at"),
    principal.c.left_at.label("principal_left_at"),
    principal.c.until.label("principal_until"),
).join(principal, principal.c.id == api_token.c.principal_id)
BY_SHA256 = TOKENS.where(api_token.c.sha256 == bindparam("of"))
"""Made once: every request asks for it, and making a statement takes longer than running it."""


class StoredTokens:
    """API tokens and the principals behind them."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def add(self, token: ApiToken) -> None:
        """Keep a token, and its principal if it is new; AlreadyExists for a token that is there."""
        check_text(token.name, "name")
        check_text(token.principal.name, "principal.name")
        await self._writer.do(lambda writing: _add(writing, token))

    async def by_sha256(self, sha256: str) -> ApiToken | None:
        """Return the token with this hash, expired or not."""

        def read(connection: Connection) -> ApiToken | None:
            found = connection.execute(BY_SHA256, {"of": sha256}).one_or_none()
            return token_of(found) if found else None

        return await self._readers.few(read)

    async def find(self, of: str = "") -> tuple[ApiToken, ...]:
        """Return all tokens, or those of one principal, newest first."""
        statement = TOKENS.order_by(api_token.c.created_at.desc(), api_token.c.id.desc())
        return await self._fetch(statement.where(api_token.c.principal_id == of) if of else statement)

    async def used(self, token: str, at: datetime) -> None:
        """Note when a token was used."""
        statement = update(api_token).where(api_token.c.id == token).values(last_used_at=at.astimezone(UTC))

        def work(writing: Writing) -> None:
            writing.connection.execute(statement)
            writing.changed.add(token)

        await self._writer.do(work)

    async def revoke(self, token: str) -> bool:
        """Remove a token by id; return whether it was there."""
        statement = delete(api_token).where(api_token.c.id == token)

        def work(writing: Writing) -> bool:
            gone = bool(writing.connection.execute(statement).rowcount)
            if gone:
                writing.changed.update((token, ANYTHING))
            return gone

        return await self._writer.do(work)

    async def _fetch(self, statement: Select[Any], values: Mapping[str, Any] | None = None) -> tuple[ApiToken, ...]:
        def read(connection: Connection) -> tuple[ApiToken, ...]:
            return tuple(token_of(found) for found in connection.execute(statement, values or {}))

        return await self._readers.do(read)


def _add(writing: Writing, token: ApiToken) -> None:
    connection, owner = writing.connection, token.principal
    there = select(api_token.c.id).where(or_(api_token.c.id == token.id, api_token.c.sha256 == token.sha256))
    if connection.execute(there).first():
        raise AlreadyExists("this token is there already")
    if not connection.execute(select(principal.c.id).where(principal.c.id == owner.id)).first():
        new = Person(owner.id, owner.kind, owner.name, owner.role, made_at=token.created_at, until=owner.until)
        connection.execute(insert(principal), dict(values_of(new)))
    if token.purpose:
        old = (api_token.c.purpose == token.purpose, api_token.c.expires_at <= token.created_at)
        connection.execute(delete(api_token).where(*old))
    connection.execute(
        insert(api_token),
        {
            "id": token.id,
            "sha256": token.sha256,
            "principal_id": owner.id,
            "name": token.name,
            "scope": token.scope,
            "created_at": token.created_at,
            "expires_at": token.expires_at,
            "last_used_at": token.last_used_at,
            "creator_id": token.creator_id,
            "purpose": token.purpose,
        },
    )


def token_of(found: Any) -> ApiToken:
    """Return the token of a row of `TOKENS`."""
    suspended = found.principal_suspended_at is not None or found.principal_left_at is not None
    owner = Principal(
        found.principal_id,
        found.principal_kind,
        found.principal_name,
        found.principal_role,
        suspended,
        found.principal_until,
    )
    return ApiToken(
        id=found.id,
        sha256=found.sha256,
        principal=owner,
        name=found.name,
        scope=found.scope,
        created_at=found.created_at,
        expires_at=found.expires_at,
        last_used_at=found.last_used_at,
        creator_id=found.creator_id,
        purpose=found.purpose,
    )
