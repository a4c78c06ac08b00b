"""Those who are signing in elsewhere; what is kept of each is used up by coming back."""

from dataclasses import asdict
from datetime import datetime

from sqlalchemy import delete, insert, select

from hostler.core.outside import Attempt
from hostler.store.columns import check_text
from hostler.store.schema import sign_in_attempt as table
from hostler.store.writer import Writer, Writing


class StoredAttempts:
    """See the protocol for the promises."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def add(self, attempt: Attempt, now: datetime) -> None:
        """Keep one and forget those that have expired."""
        check_text(attempt.path, "path")

        def work(writing: Writing) -> None:
            writing.connection.execute(delete(table).where(table.c.expires_at <= now))
            writing.connection.execute(insert(table), asdict(attempt))
            writing.changed.add(attempt.sha256)

        await self._writer.do(work)

    async def take(self, sha256: str) -> Attempt | None:
        """Return one and forget it."""
        this = table.c.sha256 == sha256

        def work(writing: Writing) -> Attempt | None:
            found = writing.connection.execute(select(table).where(this)).mappings().first()
            writing.changed.add(sha256)
            if found is None or not writing.connection.execute(delete(table).where(this)).rowcount:
                return None
            return Attempt(**dict(found))

        return await self._writer.do(work)
