"""How much of what one environment sends may be held in memory at a time, so that none of them can fill it."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager

MOST = 128 << 20
"""Bytes of requests of one environment at a time."""


class Room:
    """The room of one environment; who finds none waits, first come first served."""

    def __init__(self, most: int = MOST) -> None:
        self._left = most
        self._places = 0
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    @property
    def idle(self) -> bool:
        """Say whether nobody holds anything."""
        return self._places == 0

    @contextmanager
    def entered(self) -> Generator["Place"]:
        """Lend a place for one request."""
        place = Place(self)
        self._places += 1
        try:
            yield place
        finally:
            self._places -= 1
            self._give(place.size)

    async def take(self, size: int) -> None:
        """Return when there is room for `size` bytes, which are the caller's from then on."""
        if not self._waiting and size <= self._left:
            self._left -= size
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give(size)
            self._waiting = [one for one in self._waiting if one[1] is not turn]
            raise

    def _give(self, size: int) -> None:
        self._left += size
        while self._waiting and self._waiting[0][0] <= self._left:
            taken, turn = self._waiting.pop(0)
            if not turn.done():
                self._left -= taken
                turn.set_result(None)


class Place:
    """What one request holds."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self.size = 0

    async def reserve(self, told: int | None, most: int) -> None:
        """Take room for a body: as much as was told beforehand, else the most it may have."""
        size = most if told is None else min(told, most)
        await self._room.take(size)
        self.size = size
