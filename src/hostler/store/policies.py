"""The organization's policy, every version of it."""

import json
from datetime import datetime

from sqlalchemy import Connection, RowMapping, func, insert, select

from hostler.core.errors import FailedPrecondition
from hostler.core.policy import Adopted, Policy, of_json, to_json
from hostler.core.ports import Principal
from hostler.store.reading import Readers
from hostler.store.schema import policy as table
from hostler.store.writer import Writer, Writing

NEWEST = select(table).order_by(table.c.version.desc())


class StoredPolicies:
    """See the protocol for the promises."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def current(self) -> Adopted:
        """Return the policy that holds now."""
        found = await self.versions(1)
        return found[0] if found else Adopted(0, Policy())

    async def adopt(self, policy: Policy, after: int, at: datetime, by: Principal) -> Adopted:
        """Make a policy the next version."""
        adopted = Adopted(after + 1, policy, at, by.id, by.name)
        values = {
            "version": adopted.version,
            "body": json.dumps(to_json(policy)),
            "at": at,
            "by_id": by.id,
            "by_name": by.name,
        }

        def work(writing: Writing) -> None:
            holds = writing.connection.execute(select(func.coalesce(func.max(table.c.version), 0))).scalar_one()
            if holds != after:
                raise FailedPrecondition("somebody else changed the policy meanwhile; look at it again")
            writing.connection.execute(insert(table), values)

        await self._writer.do(work)
        return adopted

    async def versions(self, limit: int = 100) -> tuple[Adopted, ...]:
        """Return the versions, newest first."""
        statement = NEWEST.limit(limit)

        def read(connection: Connection) -> tuple[Adopted, ...]:
            return tuple(_adopted(row) for row in connection.execute(statement).mappings())

        return await (self._readers.few if limit == 1 else self._readers.do)(read)


def _adopted(row: RowMapping) -> Adopted:
    return Adopted(row["version"], of_json(json.loads(row["body"])), row["at"], row["by_id"], row["by_name"])
