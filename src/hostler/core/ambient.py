"""The one door for clock, ids and randomness, so that tests can hold the handle."""

import asyncio
import secrets
import time
from datetime import UTC, datetime
from typing import Protocol

from uuid_utils.compat import uuid7


class Ambient(Protocol):
    """What the world gives without being asked: the time, fresh ids, random bytes."""

    def now(self) -> datetime:
        """Return the wall-clock time in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never run backwards, for durations inside one process."""
        ...

    def boot(self) -> float:
        """Return seconds on the machine's clock that also counts while the machine or the process sleeps."""
        ...

    def new_id(self) -> str:
        """Return a fresh uuid7 as text; later ids sort after earlier ones."""
        ...

    def token(self) -> str:
        """Return 256 random bits as URL-safe text."""
        ...

    async def until(self, moment: datetime) -> None:
        """Return when the wall clock has reached `moment`, at once if it has passed."""
        ...


class SystemAmbient:
    """The real world."""

    def now(self) -> datetime:
        """Return the wall-clock time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""
        return time.monotonic()

    def boot(self) -> float:
        """Return seconds since the machine started, those of its sleep among them."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def new_id(self) -> str:
        """Return a fresh uuid7."""
        return str(uuid7())

    def token(self) -> str:
        """Return 256 random bits as URL-safe text."""
        return secrets.token_urlsafe(32)

    async def until(self, moment: datetime) -> None:
        """Sleep until `moment`; the clock is looked at again every 30 s, so that a change of it is noticed."""
        while (left := (moment - self.now()).total_seconds()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(min(left, 30.0))
