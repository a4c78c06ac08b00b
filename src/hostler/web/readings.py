"""Conversations that were read for pages, kept for a while: the next page, and every fragment, reads the tail only."""

from collections import OrderedDict
from dataclasses import dataclass, field

from hostler.api.parts import ApiParts
from hostler.core.events import Recorded
from hostler.projections.receipts import Book
from hostler.projections.timeline import Timeline

KEPT = 24
"""Conversations; one of 3,000 events takes a few megabytes."""


@dataclass(slots=True)
class Reading:
    """One conversation as far as it was read."""

    line: Timeline
    book: Book = field(default_factory=Book)

    def feed(self, recorded: Recorded) -> None:
        """Take an event, unless it was read already."""
        if recorded.seq > self.line.seq:
            self.line.feed(recorded)
            self.book.feed(recorded)


class Readings:
    """The conversations that were read last."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts
        self._known: OrderedDict[str, Reading] = OrderedDict()

    async def of(self, execution: str) -> Reading:
        """Return a conversation, read to its present end."""
        known = self._known.get(execution)
        reading = known or Reading(Timeline(execution))
        for recorded in await self._parts.desk.log(execution, reading.line.seq):
            reading.feed(recorded)
        self._known[execution] = reading
        self._known.move_to_end(execution)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        return reading
