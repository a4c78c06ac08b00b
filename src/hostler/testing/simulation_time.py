"""Time that costs nothing: an event loop whose clock jumps to the next timer whenever nothing else is to be done."""

import asyncio
import selectors
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from hostler.testing.clock import HandClock

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


class Jumping(selectors.DefaultSelector):
    """A selector that never sleeps: where there is nothing to read, time is later.

    `patience` is how many real seconds it waits for threads of a database first; with 0 a run is the same every time.
    """

    def __init__(self, patience: float) -> None:
        super().__init__()
        self.patience = patience
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready, or let the time pass."""
        wait = 30.0 if timeout is None else min(self.patience, timeout)
        found = super().select(max(0.0, wait))
        if not found and timeout is None:
            raise RuntimeError("everybody waits, and no timer is set")
        if not found and timeout:
            self.now += timeout
        return found


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop over such a selector."""

    def __init__(self, patience: float = 0.0) -> None:
        self.jumping = Jumping(patience)
        self.faults: list[str] = []
        super().__init__(self.jumping)
        self.set_exception_handler(self._fault)

    def time(self) -> float:
        """Return the seconds that have passed."""
        return self.jumping.now

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        """Do what threads would do at once, unless a database's threads are waited for anyway."""
        if self.jumping.patience or executor is not None:
            return super().run_in_executor(executor, func, *args)
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as problem:  # noqa: BLE001 - it belongs to whoever waits
            future.set_exception(problem)
        return future

    def finish(self) -> None:
        """End every task that is left, and the loop."""
        left = asyncio.all_tasks(self)
        for task in left:
            task.cancel()

        async def ended() -> None:
            await asyncio.gather(*left, return_exceptions=True)

        self.run_until_complete(ended())
        self.close()

    def _fault(self, _: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        self.faults.append(f"{context.get('message')}: {context.get('exception')!r}")


class LoopClock(HandClock):
    """The time of a jumping loop, as everybody else reads it."""

    def now(self) -> datetime:
        """Return the time of the loop that runs."""
        return BEGIN + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        """Return the seconds of the loop that runs."""
        return asyncio.get_running_loop().time()

    def boot(self) -> float:
        """Return the same seconds."""
        return self.monotonic()

    async def until(self, moment: datetime) -> None:
        """Return when it is `moment`."""
        while (left := (moment - self.now()).total_seconds()) > 0:  # noqa: ASYNC110 time is the loop's own
            await asyncio.sleep(left)
