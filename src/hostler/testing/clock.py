"""A clock in the hand of the test."""

import asyncio
from datetime import UTC, datetime, timedelta


class HandClock:
    """An Ambient whose time moves only by `advance`; ids are uuid-shaped numbers in order."""

    def __init__(self) -> None:
        self._now = datetime(2026, 1, 1, tzinfo=UTC)
        self._count = 0
        self._waiting: list[tuple[datetime, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        """Return the time of the hand."""
        return self._now

    def monotonic(self) -> float:
        """Return the time of the hand in seconds."""
        return self._now.timestamp()

    def boot(self) -> float:
        """Return the time of the hand in seconds."""
        return self._now.timestamp()

    def new_id(self) -> str:
        """Return the next id."""
        self._count += 1
        return f"01900000-0000-7000-8000-{self._count:012x}"

    def token(self) -> str:
        """Return the next token."""
        return f"token-{self.new_id()}"

    async def until(self, moment: datetime) -> None:
        """Return when the hand has reached `moment`."""
        if moment <= self._now:
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append((moment, waiter))
        await waiter

    def advance(self, seconds: float) -> None:
        """Move the hand and wake who waited for it."""
        self._now += timedelta(seconds=seconds)
        due = [item for item in self._waiting if item[0] <= self._now]
        self._waiting = [item for item in self._waiting if item[0] > self._now]
        for _, waiter in due:
            if not waiter.done():
                waiter.set_result(None)
