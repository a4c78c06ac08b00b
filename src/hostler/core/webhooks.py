"""Webhooks: who is told of changes of phase, and what still has to be delivered. Signed by Standard Webhooks.

The append that changes a phase also writes what is to be delivered, so nothing is sent from memory and nothing is lost.
"""

import base64
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Literal, Protocol

PHASES = ("PENDING", "RUNNING", "WAITING_FOR_INPUT", "STOPPED")
CHANGED = "agent_execution.phase_changed"
TESTED = "webhook.test"
WAITS = tuple(timedelta(seconds=one) for one in (5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800, 43200))
"""How long after each try that failed the next one is made; the last one holds for all further tries."""
GIVEN_UP = timedelta(days=5)
"""A webhook that has failed for so long, with no success in between, is disabled."""
KEPT = timedelta(days=7)
"""How long deliveries are remembered that have ended."""
PREFIX = "whsec_"
State = Literal["due", "delivered", "dropped"]
"""`dropped`: its webhook was disabled before it could be delivered."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """Who is told; `phases` empty means all. `failing_since` is the first of the failures since the last success."""

    id: str
    name: str
    url: str
    phases: tuple[str, ...]
    creator_id: str
    creator_name: str
    created_at: datetime
    failing_since: datetime | None = None
    disabled_at: datetime | None = None
    problem: str = ""
    """Why the last try failed, or why it is disabled."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to one webhook; its id stays the same over all tries, so that receivers can tell repeats."""

    id: str
    webhook_id: str
    execution_id: str
    seq: int
    phase: str
    turn: int
    at: datetime
    state: State = "due"
    tries: int = 0
    due_at: datetime | None = None
    status: int = 0
    problem: str = ""
    ended_at: datetime | None = None


class Webhooks(Protocol):
    """The webhooks and their deliveries, of all processes."""

    async def add(self, webhook: Webhook) -> None:
        """Keep a webhook; it is told of what happens from now on."""
        ...

    async def all(self) -> tuple[Webhook, ...]:
        """Return every webhook, oldest first."""
        ...

    async def remove(self, webhook: str) -> bool:
        """Remove a webhook with its deliveries; return whether it was there."""
        ...

    async def enable(self, webhook: str, at: datetime) -> bool:
        """Let a webhook be told again, also of what is due; return whether it was there."""
        ...

    async def disable(self, webhook: str, at: datetime, problem: str) -> None:
        """Tell a webhook nothing more; what is due to it is dropped."""
        ...

    async def put(self, delivery: Delivery) -> None:
        """Have something delivered that is no change of phase, such as a test."""
        ...

    async def take(self, at: datetime, until: datetime, limit: int) -> tuple[Delivery, ...]:
        """Take what is due, so that no other process takes it before `until`; of one execution the oldest only."""
        ...

    async def done(self, delivery: Delivery, at: datetime) -> None:
        """Keep how a try ended; `delivery` is as it is now."""
        ...

    async def deliveries(self, webhook: str, limit: int) -> tuple[Delivery, ...]:
        """Return the deliveries of a webhook, newest first."""
        ...

    async def due(self) -> int:
        """Return how many deliveries are not made yet."""
        ...

    async def expire(self, before: datetime) -> None:
        """Forget deliveries that ended before."""
        ...


def wait_after(tries: int) -> timedelta:
    """Return how long to wait after so many tries that failed."""
    return WAITS[min(tries, len(WAITS)) - 1]


def secret_of(key: bytes, webhook: str) -> str:
    """Return the secret that a webhook's messages are signed with.

    It follows from the installation's key, so it is not kept anywhere and every process knows it.
    """
    return PREFIX + base64.b64encode(hmac.digest(key, f"webhook/{webhook}".encode(), "sha256")).decode()


def signature(secret: str, id_: str, timestamp: int, body: bytes) -> str:
    """Return the signature of a message in the form of Standard Webhooks."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    signed = hmac.digest(key, f"{id_}.{timestamp}.".encode() + body, sha256)
    return f"v1,{base64.b64encode(signed).decode()}"


def headers(secret: str, id_: str, at: datetime, body: bytes) -> Sequence[tuple[str, str]]:
    """Return the headers that a message carries."""
    seconds = int(at.timestamp())
    return (
        ("webhook-id", id_),
        ("webhook-timestamp", str(seconds)),
        ("webhook-signature", signature(secret, id_, seconds, body)),
    )
