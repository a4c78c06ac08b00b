"""Sign-ins, links that open once, and shares; only hashes of their secrets are here."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, delete, insert, select, update

from hostler.core.admission import LONGEST, Link, Share, SignIn
from hostler.core.errors import NotFound
from hostler.core.ports import ApiToken
from hostler.store.columns import check_text
from hostler.store.reading import Readers
from hostler.store.schema import api_token, execution, share, sign_in, sign_in_link
from hostler.store.tokens import TOKENS, token_of
from hostler.store.writer import Writer, Writing

MINE = [sign_in.c[field.name].label(f"mine_{field.name}") for field in fields(SignIn)]
SIGNED_IN = TOKENS.add_columns(*MINE).join(sign_in, sign_in.c.token_id == api_token.c.id)
SHARES = select(*(share.c[field.name] for field in fields(Share)))


class StoredSignIns:
    """Sign-ins and the links that lead to one; both go with their API token."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def add(self, new: SignIn) -> None:
        """Keep a sign-in and forget those that are too old; NotFound when its API token is gone."""
        old = delete(sign_in).where(sign_in.c.created_at < new.created_at - LONGEST)

        def work(writing: Writing) -> None:
            writing.connection.execute(old)
            _hang(writing.connection, sign_in, asdict(new), api_token, new.token_id)

        await self._writer.do(work)

    async def by_sha256(self, sha256: str) -> tuple[SignIn, ApiToken] | None:
        """Return the sign-in with this hash and its API token, expired or not; None when either is gone."""
        statement = SIGNED_IN.where(sign_in.c.sha256 == sha256)

        def read(connection: Connection) -> tuple[SignIn, ApiToken] | None:
            found = connection.execute(statement).first()
            if found is None:
                return None
            mine = {field.name: getattr(found, f"mine_{field.name}") for field in fields(SignIn)}
            return SignIn(**mine), token_of(found)

        return await self._readers.do(read)

    async def used(self, sign_in_id: str, at: datetime) -> None:
        """Note when a sign-in was used; one that is gone meanwhile is let alone."""
        statement = update(sign_in).where(sign_in.c.id == sign_in_id).values(used_at=at)
        await self._writer.do(lambda writing: writing.connection.execute(statement) and None)

    async def remove(self, sha256: str) -> bool:
        """Forget a sign-in; return whether it was there."""
        statement = delete(sign_in).where(sign_in.c.sha256 == sha256)
        return await self._writer.do(lambda writing: bool(writing.connection.execute(statement).rowcount))

    async def add_link(self, link: Link, now: datetime) -> None:
        """Keep a link and forget those that have expired; NotFound when its API token is gone."""
        check_text(link.path, "path")
        old = delete(sign_in_link).where(sign_in_link.c.expires_at <= now)

        def work(writing: Writing) -> None:
            writing.connection.execute(old)
            _hang(writing.connection, sign_in_link, asdict(link), api_token, link.token_id)

        await self._writer.do(work)

    async def take_link(self, sha256: str) -> Link | None:
        """Return a link, expired or not, and forget it: of any number of callers at once, one gets it."""
        this = sign_in_link.c.sha256 == sha256

        def work(writing: Writing) -> Link | None:
            found = writing.connection.execute(select(sign_in_link).where(this)).mappings().first()
            if found is None or not writing.connection.execute(delete(sign_in_link).where(this)).rowcount:
                return None
            return Link(**dict(found))

        return await self._writer.do(work)


class StoredShares:
    """Shares of executions; they go with theirs."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def add(self, new: Share) -> None:
        """Keep a share; NotFound when the execution is gone."""
        check_text(new.name, "name")
        await self._writer.do(
            lambda writing: _hang(writing.connection, share, asdict(new), execution, new.execution_id)
        )

    async def by_sha256(self, sha256: str) -> Share | None:
        """Return the share with this hash, expired or not; None when its execution is deleted."""
        there = (share.c.sha256 == sha256, execution.c.deleted_at.is_(None))
        found = await self._fetch(SHARES.join(execution, execution.c.id == share.c.execution_id).where(*there))
        return found[0] if found else None

    async def find(self, execution_id: str) -> tuple[Share, ...]:
        """Return the shares of an execution, newest first."""
        return await self._fetch(SHARES.where(share.c.execution_id == execution_id).order_by(share.c.id.desc()))

    async def revoke(self, execution_id: str, share_id: str) -> bool:
        """Remove a share of an execution by id; return whether it was there."""
        statement = delete(share).where(share.c.execution_id == execution_id, share.c.id == share_id)
        return await self._writer.do(lambda writing: bool(writing.connection.execute(statement).rowcount))

    async def _fetch(self, statement: Any) -> tuple[Share, ...]:
        def read(connection: Connection) -> tuple[Share, ...]:
            return tuple(Share(**dict(found)) for found in connection.execute(statement).mappings())

        return await self._readers.do(read)


def _hang(connection: Connection, table: Table, values: Mapping[str, Any], on: Table, owner: str) -> None:
    """Insert a row that hangs on another one; NotFound when that is gone."""
    if not connection.execute(select(on.c.id).where(on.c.id == owner)).first():
        raise NotFound(f"there is no such {on.name.replace('_', ' ')}")
    connection.execute(insert(table), dict(values))
