"""The embedded dispatcher: one process, due times kept by asyncio and rebuilt from rows at every sweep."""

import asyncio
from collections.abc import Callable
from datetime import datetime

from hostler.core.ambient import Ambient


class LocalDispatch:
    """Delivers nudges inside one process; a nudge before `start` or after `stop` is dropped, which harms nobody."""

    def __init__(self, ambient: Ambient) -> None:
        self._ambient = ambient
        self._look: Callable[[str], None] | None = None
        self._timers: set[asyncio.Task[None]] = set()

    async def nudge(self, execution: str, runner: str, at: datetime | None = None) -> None:
        """Look at an execution now, or at `at`."""
        if self._look is None:
            return
        if at is None or at <= self._ambient.now():
            self._look(execution)
            return
        timer = asyncio.create_task(self._later(execution, at))
        self._timers.add(timer)
        timer.add_done_callback(self._timers.discard)

    async def start(self, look: Callable[[str], None]) -> None:
        """Begin to deliver."""
        self._look = look

    async def stop(self) -> None:
        """Stop delivering."""
        self._look = None
        for timer in list(self._timers):
            timer.cancel()

    async def _later(self, execution: str, at: datetime) -> None:
        await self._ambient.until(at)
        if self._look is not None:
            self._look(execution)
