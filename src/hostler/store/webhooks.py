"""Webhooks and what is to be delivered to them, for any number of processes."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, text, update

from hostler.core.webhooks import Delivery, Webhook
from hostler.store.columns import check_texts, to_ticks
from hostler.store.reading import Readers
from hostler.store.schema import webhook as table
from hostler.store.schema import webhook_delivery as outbox
from hostler.store.writer import Writer, Writing

HIDDEN = ("taken_until",)
SHOWN = [column for column in outbox.c if column.name not in HIDDEN]
TAKE = text("""
    UPDATE webhook_delivery SET taken_until = :until WHERE id IN (
        SELECT d.id FROM webhook_delivery d WHERE d.state = 'due' AND d.due_at <= :at AND d.taken_until <= :at
            AND NOT EXISTS (SELECT 1 FROM webhook_delivery e WHERE e.webhook_id = d.webhook_id
                AND e.execution_id = d.execution_id AND e.seq < d.seq AND e.state = 'due')
        ORDER BY d.due_at, d.id LIMIT :limit)
    AND state = 'due' AND taken_until <= :at RETURNING id""")


class StoredWebhooks:
    """See the protocol for the promises."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def add(self, webhook: Webhook) -> None:
        """Keep a webhook."""
        check_texts((webhook.name, webhook.url), "webhook")
        values = {
            "id": webhook.id,
            "name": webhook.name,
            "url": webhook.url,
            "phases": f",{','.join(webhook.phases)}," if webhook.phases else "",
            "creator_id": webhook.creator_id,
            "creator_name": webhook.creator_name,
            "created_at": webhook.created_at,
            "problem": "",
        }
        await self._do(insert(table).values(**values))

    async def all(self) -> tuple[Webhook, ...]:
        """Return every webhook."""

        def read(connection: Connection) -> tuple[Webhook, ...]:
            return tuple(_webhook(row) for row in connection.execute(select(table).order_by(table.c.id)).mappings())

        return await self._readers.do(read)

    async def remove(self, webhook: str) -> bool:
        """Remove a webhook with its deliveries."""

        def work(writing: Writing) -> bool:
            writing.connection.execute(delete(outbox).where(outbox.c.webhook_id == webhook))
            return bool(writing.connection.execute(delete(table).where(table.c.id == webhook)).rowcount)

        return await self._writer.do(work)

    async def enable(self, webhook: str, at: datetime) -> bool:
        """Let a webhook be told again."""
        again = {"disabled_at": None, "failing_since": None, "problem": ""}

        def work(writing: Writing) -> bool:
            due = outbox.c.webhook_id == webhook, outbox.c.state == "due"
            writing.connection.execute(update(outbox).where(*due).values(due_at=at))
            return bool(writing.connection.execute(update(table).where(table.c.id == webhook).values(**again)).rowcount)

        return await self._writer.do(work)

    async def disable(self, webhook: str, at: datetime, problem: str) -> None:
        """Tell a webhook nothing more."""

        def work(writing: Writing) -> None:
            due = outbox.c.webhook_id == webhook, outbox.c.state == "due"
            writing.connection.execute(update(outbox).where(*due).values(state="dropped", ended_at=at))
            writing.connection.execute(
                update(table).where(table.c.id == webhook).values(disabled_at=at, problem=problem)
            )

        await self._writer.do(work)

    async def put(self, delivery: Delivery) -> None:
        """Have something delivered."""
        shown = [column.name for column in SHOWN]
        await self._do(insert(outbox).values(**{name: getattr(delivery, name) for name in shown}, taken_until=0))

    async def take(self, at: datetime, until: datetime, limit: int) -> tuple[Delivery, ...]:
        """Take what is due; RETURNING tells which of them this process got."""

        def work(writing: Writing) -> tuple[Delivery, ...]:
            values = {"at": to_ticks(at), "until": to_ticks(until), "limit": limit}
            ids = writing.connection.execute(TAKE, values).scalars().all()
            if not ids:
                return ()
            found = select(*SHOWN).where(outbox.c.id.in_(ids)).order_by(outbox.c.due_at, outbox.c.id)
            return tuple(Delivery(**row) for row in _rows(writing.connection, found))

        return await self._writer.do(work)

    async def done(self, delivery: Delivery, at: datetime) -> None:
        """Keep how a try ended, and with it how the webhook is doing."""
        mine = outbox.c.id == delivery.id
        kept = {
            "state": delivery.state,
            "tries": delivery.tries,
            "due_at": delivery.due_at,
            "status": delivery.status,
            "problem": delivery.problem,
            "ended_at": delivery.ended_at,
            "taken_until": 0,
        }
        webhook = update(table).where(table.c.id == delivery.webhook_id)
        if delivery.state == "delivered":
            webhook = webhook.values(failing_since=None, problem="")
        else:
            webhook = webhook.values(failing_since=func.coalesce(table.c.failing_since, to_ticks(at)))
            webhook = webhook.values(problem=delivery.problem)

        def work(writing: Writing) -> None:
            writing.connection.execute(update(outbox).where(mine, outbox.c.state == "due").values(**kept))
            writing.connection.execute(webhook)

        await self._writer.do(work)

    async def deliveries(self, webhook: str, limit: int) -> tuple[Delivery, ...]:
        """Return the deliveries of a webhook, newest first."""
        mine = select(*SHOWN).where(outbox.c.webhook_id == webhook)
        found = mine.order_by(outbox.c.at.desc(), outbox.c.id.desc()).limit(limit)
        return await self._readers.do(lambda connection: tuple(Delivery(**row) for row in _rows(connection, found)))

    async def due(self) -> int:
        """Return how many deliveries are not made yet."""
        count = select(func.count()).select_from(outbox).where(outbox.c.state == "due")
        return await self._readers.do(lambda connection: connection.execute(count).scalar_one())

    async def expire(self, before: datetime) -> None:
        """Forget deliveries that ended before."""
        await self._do(delete(outbox).where(outbox.c.ended_at < before))

    async def _do(self, statement: Any) -> None:
        def work(writing: Writing) -> None:
            writing.connection.execute(statement)

        await self._writer.do(work)


def _rows(connection: Connection, statement: Any) -> list[Any]:
    return list(connection.execute(statement).mappings())


def _webhook(row: Any) -> Webhook:
    phases: Any = tuple(phase for phase in row["phases"].split(",") if phase)
    values: dict[str, Any] = {**row, "phases": phases}
    return Webhook(**values)
