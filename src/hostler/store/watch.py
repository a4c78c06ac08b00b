"""Who waits for the log to grow: signals without data, raised after the commit, whichever process made it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from hostler.core.ports import EVERYTHING


class StoreWatch:
    """What changed since somebody last asked; many changes of one execution are one."""

    def __init__(self, only: str | None) -> None:
        self._only = only
        self._ids: set[str] = set()
        self._some = asyncio.Event()

    def tell(self, changed: frozenset[str] | None) -> None:
        """Note changes, None for those nobody can name; called in the event loop."""
        if changed is None:
            changed = frozenset({self._only or EVERYTHING})
        if relevant := changed if self._only is None else changed & {self._only}:
            self._ids |= relevant
            self._some.set()

    async def changed(self, timeout: float) -> frozenset[str]:
        """Return the ids that changed since the last call; empty after `timeout` seconds of quiet."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._some.wait()
        self._some.clear()
        ids, self._ids = frozenset(self._ids), set()
        return ids


class Watches:
    """Everybody who watches."""

    def __init__(self) -> None:
        self._all: set[StoreWatch] = set()

    def announce(self, changed: frozenset[str] | None) -> None:
        """Tell everybody whom it concerns."""
        for watch in self._all:
            watch.tell(changed)

    @asynccontextmanager
    async def watch(self, execution: str | None) -> AsyncGenerator[StoreWatch]:
        """Watch one execution or all; a commit that was not acknowledged before entering is not missed."""
        watch = StoreWatch(execution)
        self._all.add(watch)
        try:
            yield watch
        finally:
            self._all.discard(watch)
