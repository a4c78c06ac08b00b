"""The items of a conversation while it is being told: what is there, and what the present event changed."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hostler.core.events import Recorded
from hostler.core.state import State
from hostler.projections.items import AnyItem, Note, Tone


class Telling:
    """Items in order by id. The tellers of each kind of event put and change them here."""

    def __init__(self) -> None:
        self.items: dict[str, AnyItem] = {}
        self.previous: dict[str, str] = {}
        """Each item's neighbour before it; empty for the first."""
        self.last = ""
        """The item at the end."""
        self.before = State()
        self.state = State()
        self.at = datetime.fromtimestamp(0, UTC)
        self.seq = 0
        self._touched: dict[str, None] = {}

    def begin(self, recorded: Recorded, before: State, state: State) -> None:
        """Take the next event; `state` is what holds after it."""
        self.before, self.state, self.at, self.seq = before, state, recorded.at, recorded.seq
        self._touched = {}

    @property
    def touched(self) -> tuple[AnyItem, ...]:
        """Return what the present event made or changed."""
        return tuple(self.items[one] for one in self._touched)

    def name(self, kind: str, number: int | None = None) -> str:
        """Return an id for an item that the present event makes."""
        return f"{kind}-{self.seq}" if number is None else f"{kind}-{self.seq}-{number}"

    @property
    def turn(self) -> int:
        """Return the turn of what is told now."""
        return self.state.turn

    def put(self, item: AnyItem) -> None:
        """Add an item, or put it in the place of the one with its id."""
        if item.id not in self.items:
            self.previous[item.id], self.last = self.last, item.id
        self.items[item.id] = item
        self._touched[item.id] = None

    def change(self, item_id: str, **fields: Any) -> None:
        """Change fields of an item; nothing is touched when they were so already."""
        old = self.items[item_id]
        new = replace(old, **fields)
        if new != old:
            self.put(new)

    def note(self, kind: str, text: str, tone: Tone = "", detail: str = "", *, item: str = "") -> str:
        """Add a note and return its id."""
        name = item or self.name(kind)
        self.put(Note(name, self.turn, self.at, kind, text, tone, detail))
        return name
