"""How many turns run at once in this process, and whose turn is next: who has least running goes first."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


class Slots(Protocol):
    """How many turns run at once."""

    def take(self, execution: str, person: str, granted: Callable[[], None]) -> bool:
        """Take a slot for a person's turn, or queue for one; `granted` is called once when it is there."""
        ...

    def give_back(self, execution: str) -> None:
        """Give the slot, or the place in the queue, back."""
        ...


def uncapped(_: str) -> int:
    """Return that a person may have as many turns as there are slots."""
    return 0


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A turn in the queue."""

    execution: str
    person: str
    granted: Callable[[], None]


class FairSlots:
    """At most `size` running turns, and of each person at most `most` of them (0: all).

    Who waits is served by how many turns the person has running already, then by whom waits longest; so one with a
    hundred executions does not keep out one with a single one.
    """

    def __init__(self, size: int, most: Callable[[str], int] = uncapped) -> None:
        self._size = size
        self._most = most
        self._holders: dict[str, str] = {}
        self._running: Counter[str] = Counter()
        self._waiting: dict[str, _Waiting] = {}

    @property
    def size(self) -> int:
        """Return how many turns may run."""
        return self._size

    @property
    def used(self) -> int:
        """Return how many turns run."""
        return len(self._holders)

    @property
    def waiting(self) -> int:
        """Return how many turns wait."""
        return len(self._waiting)

    def take(self, execution: str, person: str, granted: Callable[[], None]) -> bool:
        """Take a slot, or queue for one; nobody overtakes those who wait and could have it."""
        if execution in self._holders:
            return True
        self._waiting.setdefault(execution, _Waiting(execution, person, granted))
        self._serve(asking=execution)
        return execution in self._holders

    def give_back(self, execution: str) -> None:
        """Give the slot on to whoever is next, or leave the queue."""
        self._waiting.pop(execution, None)
        person = self._holders.pop(execution, None)
        if person is not None:
            self._running[person] -= 1
            self._serve()

    def look_again(self) -> None:
        """Serve those who wait by sizes and caps as they are now."""
        self._serve()

    def resize(self, size: int) -> None:
        """Let another number of turns run; those that run already go on."""
        self._size = size
        self._serve()

    def _serve(self, asking: str = "") -> None:
        """Give slots to those who are next; who asks just now learns it from the answer."""
        while len(self._holders) < self._size and (following := self._next()):
            del self._waiting[following.execution]
            self._holders[following.execution] = following.person
            self._running[following.person] += 1
            if following.execution != asking:
                following.granted()

    def _next(self) -> _Waiting | None:
        """Return who is next among those whose cap leaves room; the queue is in the order of arrival."""
        free = (one for one in self._waiting.values() if self._has_room(one.person))
        return min(free, key=lambda one: self._running[one.person], default=None)

    def _has_room(self, person: str) -> bool:
        most = self._most(person)
        return not most or self._running[person] < most
