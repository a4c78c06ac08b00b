"""One reader of the log for all who watch an execution in one form: it folds once, writes once, and wakes them.

Watchers pull: each has a place in what was told and takes what follows when he can, so a slow one holds up nobody and
loses nothing. A channel opens with its first watcher and is kept for a moment after its last one.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from hostler.api.cursors import Cursor
from hostler.api.forms import Forms
from hostler.api.parts import ApiParts
from hostler.api.stream import Reader, Telling
from hostler.core.errors import NotFound
from hostler.core.events import Recorded
from hostler.core.ports import Watch

TICK = timedelta(seconds=1)
"""How often a quiet channel looks whether a watcher has something to say, or the server is stopping."""
LOOK_AGAIN = 10.0
"""Seconds after which the log is read although nothing was signalled."""
LINGER = timedelta(seconds=5)
"""How long a channel without watchers is kept for those who come back."""
STRETCH = 50
"""Events that are read in one go; others have their turn in between."""


class Channels:
    """The open channels of this process."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts
        self._open: dict[tuple[str, str], Channel] = {}

    def of(self, execution: str, name: str, forms: Forms) -> "Ticket":
        """Return the way into the channel of an execution in the form `name`, which `forms` makes."""
        return Ticket(self, self._parts, execution, name, forms)

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def using(self, ticket: "Ticket") -> "Generator[Channel]":
        """Lend the channel of a ticket; it is opened when there is none, and closed some time after the last use."""
        key = (ticket.execution, ticket.name)
        channel = self._open.get(key)
        if channel is None or channel.over:
            channel = self._open[key] = Channel(self._parts, ticket.execution, ticket.forms)
        channel.users += 1
        try:
            yield channel
        finally:
            channel.users -= 1
            if not channel.users:
                channel.linger(lambda: self._drop(key, channel))

    def _drop(self, key: tuple[str, str], channel: "Channel") -> None:
        if self._open.get(key) is channel:
            del self._open[key]


@dataclass(frozen=True, slots=True)
class Ticket:
    """The way into one channel."""

    channels: Channels
    parts: ApiParts
    execution: str
    name: str
    forms: Forms

    @asynccontextmanager
    async def join(self, start: Cursor | None) -> "AsyncGenerator[Seat]":
        """Take a seat behind a cursor, or without one at the current turn."""
        with self.channels.using(self) as channel:
            seat = Seat(channel, start)
            channel.seats.add(seat)
            try:
                await channel.ready.wait()
                yield seat
            finally:
                channel.seats.discard(seat)
                await seat.leave()


class Channel:
    """What one execution tells in one form."""

    def __init__(self, parts: ApiParts, execution: str, forms: Forms) -> None:
        self._parts = parts
        self._execution = execution
        self._forms = forms
        self.telling = Telling(execution, forms(execution))
        self.seats: set[Seat] = set()
        self.users = 0
        self.ready = asyncio.Event()
        self.deleted = False
        self.problem: Exception | None = None
        self.growing = True
        self._wake = asyncio.Event()
        self._grown = True
        self._past: asyncio.Task[Telling] | None = None
        self._reading = 0
        self._closing: asyncio.Task[None] | None = None
        self._work = asyncio.create_task(self._run())

    @property
    def over(self) -> bool:
        """Return whether nothing will be told here any more."""
        return self._work.done()

    async def past(self, reader: Reader) -> AsyncGenerator[bytes]:
        """Yield what memory has not got any more, from the log; those who ask at one time share the work."""
        work = self._past
        if work is None or (work.done() and (work.exception() or work.result().turn != self.telling.turn)):
            work = self._past = asyncio.create_task(self._replay())
        self._reading += 1
        try:
            telling = await asyncio.shield(work)
            while data := reader.owed(telling):
                yield data
        finally:
            self._reading -= 1
            if self._past is work and (not self._reading or work.done()):
                self._past = None  # Whoever comes later needs a later one, and those who have it keep it.

    def linger(self, closed: Callable[[], None]) -> None:
        """Close after a while, unless somebody comes."""
        if self._closing is not None:
            self._closing.cancel()
        self._closing = asyncio.create_task(self._close(closed))

    async def _close(self, closed: Callable[[], None]) -> None:
        await self._parts.ambient.until(self._parts.ambient.now() + LINGER)
        if not self.users:
            self._work.cancel()
            closed()

    async def _replay(self) -> Telling:
        telling = Telling(self._execution, self._forms(self._execution), keep=float("inf"))
        await self._feed(telling, await self._parts.desk.log(self._execution))
        return telling

    async def _feed(self, telling: Telling, log: Sequence[Recorded]) -> None:
        for first in range(0, len(log), STRETCH):
            if first:
                await asyncio.sleep(0)
            telling.grow(log[first : first + STRETCH], self._parts.ambient.now())

    async def _run(self) -> None:
        """Follow the log and the text being said; what ends it is kept for the watchers."""
        try:
            async with self._parts.executions.watch(self._execution) as watch:
                async with asyncio.TaskGroup() as group:
                    for pump in (self._log(watch), self._pieces(), self._clock()):
                        group.create_task(pump)
                    while True:
                        await self._look()
                        self.ready.set()
                        await self._wake.wait()
                        self._wake.clear()
        except BaseExceptionGroup as problems:
            self._failed(problems.exceptions[0])
        except Exception as problem:  # noqa: BLE001 whatever it was, the watchers are told
            self._failed(problem)
        finally:
            self.ready.set()
            self._wake_all()

    def _failed(self, problem: BaseException) -> None:
        if isinstance(problem, NotFound):
            self.deleted = True
        else:
            self.problem = problem if isinstance(problem, Exception) else RuntimeError(str(problem))

    async def _look(self) -> None:
        """Tell what the log and the open text have gained."""
        before = self.telling.end
        if self._grown:
            self._grown = False
            await self._grow()
        blocks = self._parts.desk.open_blocks(self._execution)
        if self.telling.behind(blocks):
            await self._grow()
            blocks = self._parts.desk.open_blocks(self._execution)
        self.telling.say(blocks, self._parts.ambient.now())
        if self.telling.end != before or self.telling.idle:
            self._wake_all()

    async def _grow(self) -> None:
        self.growing = True
        await self._feed(self.telling, await self._parts.desk.log(self._execution, self.telling.seq))
        self.growing = False

    def _wake_all(self) -> None:
        for seat in self.seats:
            seat.wake()

    async def _log(self, watch: Watch) -> None:
        while True:
            await watch.changed(LOOK_AGAIN)
            self._grown = True
            self._wake.set()

    async def _pieces(self) -> None:
        async with aclosing(cast("Any", self._parts.desk.pieces(self._execution))) as pieces:
            async for _ in cast("AsyncIterator[None]", pieces):
                self._wake.set()

    async def _clock(self) -> None:
        """Wake watchers whose time has come; all of them when the server stops."""
        while True:
            await self._parts.ambient.until(self._parts.ambient.now() + TICK)
            now, draining = self._parts.ambient.now(), self._parts.draining()
            for seat in self.seats:
                if draining or now >= seat.look_at:
                    seat.wake()


class Seat:
    """One watcher of a channel."""

    __slots__ = ("_channel", "_past", "_reader", "_wake", "look_at")

    def __init__(self, channel: Channel, start: Cursor | None) -> None:
        self._channel = channel
        self._reader = Reader(start)
        self._wake = asyncio.Event()
        self._past: AsyncGenerator[bytes] | None = None
        self.look_at = datetime.max.replace(tzinfo=UTC)
        """When he is woken although nothing was said."""

    @property
    def deleted(self) -> bool:
        """Return whether the execution was deleted."""
        return self._channel.deleted

    @property
    def resting(self) -> str:
        """Return why nothing more will be said for now; empty while something may."""
        telling = self._channel.telling
        if self._channel.growing or not telling.idle:
            return ""
        return "stopped" if telling.phase == "STOPPED" else "waiting_for_input"

    async def leave(self) -> None:
        """Let go of what was read for this watcher alone."""
        if self._past is not None:
            await self._past.aclose()

    def wake(self) -> None:
        """Let the watcher look."""
        self._wake.set()

    async def wait(self) -> None:
        """Return when there may be something to send; nothing that came since the last `take` is slept through."""
        await self._wake.wait()

    async def take(self, now: datetime) -> bytes:
        """Return what comes next, or nothing when that is all for now; raises what ended the channel."""
        self._wake.clear()
        if self._past is not None:
            try:
                if data := await anext(self._past, b""):
                    return data
            except NotFound:  # The channel finds it, too, and says that the execution was deleted.
                self._past = None
                return b""
            self._past = None
        data = self._reader.take(self._channel.telling, now)
        if data is None:
            self._past = self._channel.past(self._reader)
            return await self.take(now)
        if not data and self._channel.problem is not None:
            raise self._channel.problem
        return data
