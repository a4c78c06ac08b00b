"""Delivers what webhooks are to be told: taken from the database, signed, posted, tried again over restarts.

Any process may deliver; each delivery is taken by one at a time. A message that was sent and not noted as such, because
the process died in between, is sent again under the same id.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import structlog

from hostler.core import events as ev
from hostler.core.ambient import Ambient
from hostler.core.errors import HostlerError
from hostler.core.metrics import Counter
from hostler.core.ports import Executions
from hostler.core.redaction import Redactor
from hostler.core.webhooks import (
    CHANGED,
    GIVEN_UP,
    KEPT,
    TESTED,
    Delivery,
    Webhook,
    Webhooks,
    headers,
    secret_of,
    wait_after,
)
from hostler.environments.posting import Posting

log = structlog.get_logger(__name__)

LOOK = 5.0
"""Seconds between two looks for what is due, where nothing happens here."""
AT_ONCE = 16
"""Deliveries under way at a time."""
TAKEN = timedelta(minutes=2)
"""How long a delivery belongs to the process that took it; more than a POST may take."""
GONE = 410
"""The status by which a receiver says that it wants nothing more."""
TIDY = timedelta(hours=1)


class WebhookSender:
    """Delivers until cancelled."""

    def __init__(
        self,
        webhooks: Webhooks,
        executions: Executions,
        posting: Posting,
        key: bytes,
        ambient: Ambient,
        redactor: Redactor,
        tried: Counter,
        url_of: Callable[[str], str],
    ) -> None:
        self._webhooks = webhooks
        self._executions = executions
        self._posting = posting
        self._key = key
        self._ambient = ambient
        self._redactor = redactor
        self._tried = tried
        self._url_of = url_of
        self._poke = asyncio.Event()
        self._some = True
        """Whether there was anybody to tell at the last look."""

    def wake(self) -> None:
        """Look now."""
        self._poke.set()

    async def follow(self) -> None:
        """Look whenever a log has grown here, for that is when something may be due."""
        async with self._executions.watch() as watch:
            while True:
                if await watch.changed(60.0) and self._some:
                    self.wake()

    async def run(self) -> None:
        """Deliver what is due, and look again."""
        tidied = self._ambient.now() - TIDY
        while True:
            self._poke.clear()
            try:
                if await self.once():
                    continue
                if self._ambient.now() - tidied >= TIDY:
                    tidied = self._ambient.now()
                    await self._webhooks.expire(tidied - KEPT)
            except Exception as problem:  # noqa: BLE001 whatever it was, the next look is due all the same
                log.warning("webhooks could not be told", problem=str(problem))
                await self._ambient.until(self._ambient.now() + timedelta(seconds=LOOK))
            try:
                async with asyncio.timeout(LOOK):
                    await self._poke.wait()
            except TimeoutError:
                pass

    async def once(self) -> int:
        """Deliver what is due now, each once; return how many deliveries that were."""
        known = {one.id: one for one in await self._webhooks.all()}
        self._some = bool(known)
        if not known:
            return 0
        now = self._ambient.now()
        taken = await self._webhooks.take(now, now + TAKEN, AT_ONCE)
        await asyncio.gather(*(self._deliver(known.get(one.webhook_id), one) for one in taken))
        return len(taken)

    async def _deliver(self, webhook: Webhook | None, delivery: Delivery) -> None:
        if webhook is None or webhook.disabled_at:
            return
        body = json.dumps(self._redactor.json(await self._told(delivery)), separators=(",", ":")).encode()
        signed = headers(secret_of(self._key, webhook.id), delivery.id, self._ambient.now(), body)
        posted = await self._posting.post(webhook.url, body, signed)
        now = self._ambient.now()
        tried = replace(delivery, tries=delivery.tries + 1, status=posted.status)
        self._tried.add("delivered" if posted.ok else "failed")
        if posted.ok:
            await self._webhooks.done(replace(tried, state="delivered", problem="", ended_at=now), now)
            return
        problem = self._redactor.text(posted.problem)
        log.info("a webhook did not take a message", webhook=webhook.id, delivery=delivery.id, problem=problem)
        due = now + wait_after(tried.tries)
        await self._webhooks.done(replace(tried, problem=problem, due_at=due), now)
        if posted.status == GONE:
            await self._webhooks.disable(webhook.id, now, "it answered 410, which means that it wants nothing more")
        elif webhook.failing_since and now - webhook.failing_since >= GIVEN_UP:
            await self._webhooks.disable(webhook.id, now, f"it failed for {GIVEN_UP.days} days, last with: {problem}")
            log.error("a webhook is disabled", webhook=webhook.id, problem=problem)

    async def _told(self, delivery: Delivery) -> Mapping[str, Any]:
        """Return the message: what changed, from the log; no word of the conversation."""
        if not delivery.execution_id:
            data: dict[str, Any] = {"webhookId": delivery.webhook_id}
            return {"type": TESTED, "timestamp": delivery.at.isoformat(), "data": data}
        data = {
            "agentExecutionId": delivery.execution_id,
            "phase": f"PHASE_{delivery.phase}",
            "turn": delivery.turn,
            "seq": delivery.seq,
            "url": self._url_of(delivery.execution_id),
        }
        try:
            row = await self._executions.row(delivery.execution_id)
            log_ = await self._executions.read(delivery.execution_id, delivery.seq - 1, 1)
        except HostlerError:
            row, log_ = None, ()
        if row is not None:
            metadata = row.view.get("metadata", {})
            data |= {"name": metadata.get("name", ""), "creatorId": metadata.get("creator", {}).get("id", "")}
        match log_:
            case (ev.Recorded(event=ev.Stopped(failure=failure, message=message, limit=limit)),):
                more = {"failureReason": failure, "failureMessage": message, "limit": limit}
                data |= {key: value for key, value in more.items() if value}
            case _:
                pass
        return {"type": CHANGED, "timestamp": delivery.at.isoformat(), "data": data}
