"""Work on environments, one task at a time for each: making is shared by all who wait for it, and gives way to ends."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")
M = TypeVar("M")


class _Making(Generic[M]):
    """One making, and how many wait for it."""

    def __init__(self, task: "asyncio.Task[M]") -> None:
        self.task = task
        self.keep = False
        self._waiting = 0

    async def wait(self) -> M | None:
        """Return its result; None when it was cancelled for an end, and not by whoever waits here."""
        self._waiting += 1
        try:
            await asyncio.wait({self.task})
        finally:
            self._waiting -= 1
            if not self.task.done() and not self._waiting and not self.keep:
                self.task.cancel()
        return None if self.task.cancelled() else self.task.result()


class Works:
    """The tasks of this process."""

    def __init__(self) -> None:
        self._locks: dict[str, asyncio.Lock] = {}
        self._making: dict[str, _Making[Any]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    async def make(self, environment: str, make: Callable[[], Awaitable[T]], *, keep: bool = False) -> T | None:
        """Return what making comes to, begun now or under way; None when an end took its place.

        When everybody who waits is cancelled it is given up, unless somebody said `keep`.
        """
        making = self._making.get(environment)
        if making is None:
            making = _Making[T](asyncio.create_task(self.alone(environment, make)))
            self._making[environment] = making
            making.task.add_done_callback(lambda _: self._made(environment, making))
        making.keep = making.keep or keep
        return await making.wait()

    async def end(self, environment: str, end: Callable[[], Awaitable[T]]) -> T:
        """Do something that ends what is being made; it goes on although its caller leaves."""
        return await asyncio.shield(self.spawn(self._ending(environment, end)))

    async def _ending(self, environment: str, end: Callable[[], Awaitable[T]]) -> T:
        if making := self._making.get(environment):
            making.task.cancel()
        return await self.alone(environment, end)

    async def alone(self, environment: str, work: Callable[[], Awaitable[T]]) -> T:
        """Do something when nothing else is done with the environment."""
        async with self._locks.setdefault(environment, asyncio.Lock()):
            return await work()

    def _made(self, environment: str, making: "_Making[Any]") -> None:
        if self._making.get(environment) is making:
            del self._making[environment]
        if not making.task.cancelled():
            making.task.exception()  # whoever waited was told

    def spawn(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Do something in the background."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # so that one nobody waits for any more is not complained about

    async def settled(self) -> None:
        """Return when no work is in progress."""
        while busy := [*self._tasks, *(making.task for making in self._making.values())]:
            await asyncio.wait(busy)

    async def close(self) -> None:
        """Let go of work in progress; the next boot goes on with it."""
        busy = [*self._tasks, *(making.task for making in self._making.values())]
        for task in busy:
            task.cancel()
        if busy:
            await asyncio.wait(busy, timeout=2)

    def forget(self, environment: str) -> None:
        """Forget the lock of an environment that is gone."""
        lock = self._locks.get(environment)
        if lock is not None and not lock.locked():
            del self._locks[environment]
