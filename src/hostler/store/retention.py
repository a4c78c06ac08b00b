"""Rows that go after a while: each kind is a condition on one table, removed some hundred at a time.

Between two steps the writer is free for others, so tidying never holds up an agent.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from hostler.core.retention import Swept
from hostler.store.columns import to_ticks
from hostler.store.log import ONCE_FOR
from hostler.store.reading import Readers
from hostler.store.writer import Writer

STEP = 200
"""Rows that are removed in one transaction."""
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Rule:
    """Rows of a table, known by `key`, that may go; `values` gives the condition's values at a moment."""

    name: str
    table: str
    key: tuple[str, ...]
    condition: str
    values: Callable[[datetime], Mapping[str, Any]]
    size: str = "0"
    """How many bytes a row has, as far as that is worth telling."""


class RowBroom:
    """Sweeps the rows of one rule; implements `Broom`."""

    def __init__(self, rule: Rule, writer: Writer, readers: Readers) -> None:
        self._rule = rule
        self._writer = writer
        self._readers = readers
        keys = ", ".join(rule.key)
        self._counted = text(f"SELECT count(*), coalesce(sum({rule.size}), 0) FROM {rule.table} WHERE {rule.condition}")
        self._found = text(
            f"SELECT {keys}, {rule.size} AS swept_bytes FROM {rule.table} WHERE {rule.condition} LIMIT {STEP}"
        )
        here = " AND ".join(f"{name} = :{name}" for name in rule.key)
        self._gone = text(f"DELETE FROM {rule.table} WHERE {here}")

    @property
    def name(self) -> str:
        """Return what people call it."""
        return self._rule.name

    async def look(self, now: datetime) -> Swept:
        """Count what would go."""
        values = self._rule.values(now)
        number, size = await self._readers.do(lambda connection: connection.execute(self._counted, values).one())
        return Swept(self.name, int(number), int(size))

    async def sweep(self, now: datetime) -> Swept:
        """Remove it step by step."""
        values, number, size = self._rule.values(now), 0, 0

        def step(connection: Connection) -> list[dict[str, Any]]:
            rows = [dict(row) for row in connection.execute(self._found, values).mappings()]
            for row in rows:
                connection.execute(self._gone, {name: row[name] for name in self._rule.key})
            return rows

        while rows := await self._writer.do(lambda writing: step(writing.connection)):
            number += len(rows)
            size += sum(int(row["swept_bytes"]) for row in rows)
        return Swept(self.name, number, size)


def rules(*, expired_days: float, log_days: float, usage_days: float, shared: bool) -> tuple[Rule, ...]:
    """Return the rules on the tables of the store; 0 days is for ever, for expired things it is at once."""
    over, since = "expires_at IS NOT NULL AND expires_at < :before", _before(expired_days)
    found = [
        Rule("idempotency keys", "idempotency", ("principal", "key_sha256"), "at <= :before", _before(ONCE_FOR / DAY)),
        Rule("expired tokens", "api_token", ("id",), over, since),
        Rule("expired shares", "share", ("id",), over, since),
        Rule("expired links", "sign_in_link", ("sha256",), "expires_at < :before", _before(0)),
        Rule("expired credentials", "host_token", ("id",), over, since),
    ]
    if log_days:
        stopped = (
            "environment_id IN (SELECT id FROM environment WHERE phase = 'stopped' AND last_used_at < :before)"
            " AND at < :before"
        )
        found.append(
            Rule(
                "logs of finished environments",
                "environment_log",
                ("environment_id", "seq"),
                stopped,
                _before(log_days),
                "length(body)",
            )
        )
    if usage_days:
        found.append(
            Rule("usage of removed executions", "spent_gone", ("person", "day"), "day < :day", _day(usage_days))
        )
    if shared:
        unnamed = "NOT EXISTS (SELECT 1 FROM blob WHERE blob.sha256 = blob_data.sha256)"
        found.append(Rule("orphaned blobs", "blob_data", ("sha256",), unnamed, lambda _: {}, "length(body)"))
    return tuple(found)


def _before(days: float) -> Callable[[datetime], Mapping[str, Any]]:
    return lambda now: {"before": to_ticks(now - timedelta(days=days))}


def _day(days: float) -> Callable[[datetime], Mapping[str, Any]]:
    return lambda now: {"day": f"{now - timedelta(days=days):%Y-%m-%d}"}


class QuietExecutions:
    """Finds executions that neither ran nor changed for a while."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers

    async def find(self, before: datetime, limit: int = 0) -> tuple[str, ...]:
        """Return them, the oldest first."""
        statement = text(
            "SELECT id FROM execution WHERE updated_at < :before AND deleted_at IS NULL AND NOT busy"
            " AND phase IN ('STOPPED', 'WAITING_FOR_INPUT') ORDER BY id" + (f" LIMIT {limit}" if limit else "")
        )
        values = {"before": to_ticks(before)}
        return await self._readers.do(lambda connection: tuple(connection.execute(statement, values).scalars()))

    async def size(self, before: datetime) -> int:
        """Return the bytes of their logs and large outputs."""
        quiet = (
            "SELECT id FROM execution WHERE updated_at < :before AND deleted_at IS NULL AND NOT busy"
            " AND phase IN ('STOPPED', 'WAITING_FOR_INPUT')"
        )
        statement = text(
            f"SELECT coalesce((SELECT sum(length(body)) FROM event WHERE execution_id IN ({quiet})), 0)"
            f" + coalesce((SELECT sum(size) FROM blob WHERE execution_id IN ({quiet})), 0)"
        )
        values = {"before": to_ticks(before)}
        return int(await self._readers.do(lambda connection: connection.execute(statement, values).scalar_one()))

    async def known(self) -> frozenset[str]:
        """Return the ids of all executions."""
        statement = text("SELECT id FROM execution")
        return await self._readers.do(lambda connection: frozenset(connection.execute(statement).scalars()))

    async def named(self) -> frozenset[str]:
        """Return the sha256 of all large outputs that an execution names."""
        statement = text("SELECT DISTINCT sha256 FROM blob")
        return await self._readers.do(lambda connection: frozenset(connection.execute(statement).scalars()))
