"""Conversations that were read for pages, kept for a while: the next page, and every fragment, reads the tail only."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field

from hostler.api.parts import ApiParts
from hostler.core.events import Recorded
from hostler.projections.receipts import Book
from hostler.projections.timeline import Timeline

SLICE = 200
"""Events that are read before others have their turn."""
KEPT = 24
"""Conversations; one of 3,000 events takes a few megabytes."""


@dataclass(slots=True)
class Reading:
    """One conversation as far as it was read."""

    line: Timeline
    book: Book = field(default_factory=Book)

    _changed: dict[int, tuple[str, ...]] = field(default_factory=dict[int, "tuple[str, ...]"])

    def feed(self, recorded: Recorded) -> tuple[str, ...]:
        """Take an event, unless it was read already; return the ids of the items that it made or changed."""
        if recorded.seq > self.line.seq:
            changed = tuple(item.id for item in self.line.feed(recorded))
            self.book.feed(recorded)
            if changed:
                self._changed[recorded.seq] = changed
        return self._changed.get(recorded.seq, ())


class Readings:
    """The conversations that were read last."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts
        self._known: OrderedDict[str, Reading] = OrderedDict()

    def begun(self, execution: str) -> Reading:
        """Return a conversation as far as it was read."""
        known = self._known.get(execution)
        reading = self._known[execution] = known or Reading(Timeline(execution, pictures=False))
        self._known.move_to_end(execution)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        return reading

    async def of(self, execution: str) -> Reading:
        """Return a conversation, read to its present end."""
        reading = self.begun(execution)
        for number, recorded in enumerate(await self._parts.desk.log(execution, reading.line.seq), 1):
            reading.feed(recorded)
            if number % SLICE == 0:
                await asyncio.sleep(0)
        return reading
