"""What the writer remembers of each execution between two appends, so that an append folds only its own events.

Nothing here is the truth: an entry counts for the seq it was made at and no other, and all of it is forgotten when a
batch fails.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from hostler.core.events import Recorded
from hostler.core.ports import Projection
from hostler.core.spending import Key, Spent

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Fold(Generic[S]):
    """The pure functions that make a row out of a log."""

    initial: S
    evolve: Callable[[S, Recorded], S]
    project: Callable[[S], Projection]

    def state(self, log: Iterable[Recorded], since: S | None = None) -> S:
        """Return the state after a log, or after the tail of one behind `since`."""
        state = self.initial if since is None else since
        for recorded in log:
            state = self.evolve(state, recorded)
        return state


@dataclass(frozen=True, slots=True)
class Remembered(Generic[S]):
    """An execution as it was at `seq`, and what its own tables hold; None when that is not known."""

    seq: int
    state: S
    annotations: Mapping[str, str] | None = None
    environment_ids: tuple[str, ...] | None = None
    spent: Mapping[Key, Spent] | None = None


class Memory(Generic[S]):
    """The most recently used states, and the kinds of events that the database knows. Used by the writer alone."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._states: OrderedDict[str, Remembered[S]] = OrderedDict()
        self.kinds: set[tuple[str, int]] = set()

    def get(self, execution: str) -> Remembered[S] | None:
        """Return what is remembered."""
        return self._states.get(execution)

    def keep(self, execution: str, remembered: Remembered[S]) -> None:
        """Remember an execution, and drop the one that was not used for the longest time."""
        self._states[execution] = remembered
        self._states.move_to_end(execution)
        if len(self._states) > self._size:
            self._states.popitem(last=False)

    def drop(self, execution: str) -> None:
        """Forget one execution."""
        self._states.pop(execution, None)

    def forget(self) -> None:
        """Forget everything."""
        self._states.clear()
        self.kinds.clear()
