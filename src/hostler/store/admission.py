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
from hostler.store.schema import api_token
from hostler.store.schema import execution as executions
from hostler.store.schema import share as shares
from hostler.store.schema import sign_in as sign_ins
from hostler.store.schema import sign_in_link as links
from hostler.store.tokens import TOKENS, token_of
from hostler.store.writer import Writer, Writing

MINE = [sign_ins.c[field.name].label(f"mine_{field.name}") for field in fields(SignIn)]
SIGNED_IN = TOKENS.add_columns(*MINE).join(sign_ins, sign_ins.c.token_id == api_token.c.id)
SHARES = select(*(shares.c[field.name] for field in fields(Share)))


class StoredSignIns:
    """Sign-ins and the links that lead to one; both go with their API token."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def add(self, sign_in: SignIn) -> None:
        """Keep a sign-in and forget those that are too old; NotFound when its API token is gone."""
        old = delete(sign_ins).where(sign_ins.c.created_at < sign_in.created_at - LONGEST)

        def work(writing: Writing) -> None:
            writing.connection.execute(old)
            _hang(writing.connection, sign_ins, asdict(sign_in), api_token, sign_in.token_id)

        await self._writer.do(work)

    async def by_sha256(self, sha256: str) -> tuple[SignIn, ApiToken] | None:
        """Return the sign-in with this hash and its API token, expired or not; None when either is gone."""
        statement = SIGNED_IN.where(sign_ins.c.sha256 == sha256)

        def read(connection: Connection) -> tuple[SignIn, ApiToken] | None:
            found = connection.execute(statement).first()
            if found is None:
                return None
            mine = {field.name: getattr(found, f"mine_{field.name}") for field in fields(SignIn)}
            return SignIn(**mine), token_of(found)

        return await self._readers.do(read)

    async def used(self, sign_in: str, at: datetime) -> None:
        """Note when a sign-in was used; one that is gone meanwhile is let alone."""
        statement = update(sign_ins).where(sign_ins.c.id == sign_in).values(used_at=at)
        await self._writer.do(lambda writing: writing.connection.execute(statement) and None)

    async def remove(self, sha256: str) -> bool:
        """Forget a sign-in; return whether it was there."""
        statement = delete(sign_ins).where(sign_ins.c.sha256 == sha256)
        return await self._writer.do(lambda writing: bool(writing.connection.execute(statement).rowcount))

    async def add_link(self, link: Link, now: datetime) -> None:
        """Keep a link and forget those that have expired; NotFound when its API token is gone."""
        check_text(link.path, "path")
        old = delete(links).where(links.c.expires_at <= now)

        def work(writing: Writing) -> None:
            writing.connection.execute(old)
            _hang(writing.connection, links, asdict(link), api_token, link.token_id)

        await self._writer.do(work)

    async def take_link(self, sha256: str) -> Link | None:
        """Return a link, expired or not, and forget it: of any number of callers at once, one gets it."""
        this = links.c.sha256 == sha256

        def work(writing: Writing) -> Link | None:
            found = writing.connection.execute(select(links).where(this)).mappings().first()
            if found is None or not writing.connection.execute(delete(links).where(this)).rowcount:
                return None
            return Link(**dict(found))

        return await self._writer.do(work)


class StoredShares:
    """Shares of executions; they go with theirs."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def add(self, share: Share) -> None:
        """Keep a share; NotFound when the execution is gone."""
        check_text(share.name, "name")
        await self._writer.do(
            lambda writing: _hang(writing.connection, shares, asdict(share), executions, share.execution_id)
        )

    async def by_sha256(self, sha256: str) -> Share | None:
        """Return the share with this hash, expired or not; None when its execution is deleted."""
        there = (shares.c.sha256 == sha256, executions.c.deleted_at.is_(None))
        found = await self._fetch(SHARES.join(executions, executions.c.id == shares.c.execution_id).where(*there))
        return found[0] if found else None

    async def find(self, execution: str) -> tuple[Share, ...]:
        """Return the shares of an execution, newest first."""
        return await self._fetch(SHARES.where(shares.c.execution_id == execution).order_by(shares.c.id.desc()))

    async def revoke(self, execution: str, share: str) -> bool:
        """Remove a share of an execution by id; return whether it was there."""
        statement = delete(shares).where(shares.c.execution_id == execution, shares.c.id == share)
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
