"""Figures: series of measurements, the ratio of two that were taken in turns, and how they are written down."""

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Better = Literal["lower", "higher"]


@dataclass(frozen=True, slots=True)
class Series:
    """What was measured, in the order in which it was measured."""

    values: tuple[float, ...]

    def at(self, share: float) -> float:
        """Return the value below which `share` of all lie, between two neighbours in proportion."""
        ordered = sorted(self.values)
        place = share * (len(ordered) - 1)
        low = ordered[int(place)]
        high = ordered[min(int(place) + 1, len(ordered) - 1)]
        return low + (high - low) * (place - int(place))

    @property
    def median(self) -> float:
        return self.at(0.5)

    def to_json(self) -> dict[str, Any]:
        return {
            "median": self.median,
            "p5": self.at(0.05),
            "p95": self.at(0.95),
            "n": len(self.values),
            "values": list(self.values),
        }


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table; `theirs` is what stands beside it, `target` what we want, in words."""

    part: str
    what: str
    unit: str
    ours: Series
    theirs: Series | None = None
    against: str = ""
    target: str = ""
    better: Better = "lower"

    @property
    def ratio(self) -> float | None:
        """Return ours over theirs: the median over the pairs, so that what slows the machine slows both sides."""
        if self.theirs is None:
            return None
        if len(self.ours.values) != len(self.theirs.values):
            return self.ours.median / self.theirs.median
        return statistics.median(a / b for a, b in zip(self.ours.values, self.theirs.values, strict=True))

    def to_json(self) -> dict[str, Any]:
        return {
            "part": self.part,
            "what": self.what,
            "unit": self.unit,
            "better": self.better,
            "target": self.target,
            "ours": self.ours.to_json(),
            "against": self.against,
            "theirs": self.theirs.to_json() if self.theirs else None,
            "ratio": self.ratio,
        }


def series(values: Iterable[float]) -> Series:
    return Series(tuple(values))


def milliseconds(work: Callable[[], object]) -> float:
    """Return how long one call takes."""
    since = time.perf_counter()
    work()
    return (time.perf_counter() - since) * 1000


def in_turns(rounds: int, works: Mapping[str, Callable[[], float]], *, warm: int = 1) -> dict[str, Series]:
    """Measure each piece of work once a round, beginning with another one every time; the first rounds do not count."""
    found: dict[str, list[float]] = {name: [] for name in works}
    names: Sequence[str] = list(works)
    for number in range(-warm, rounds):
        shift = number % len(names)
        for name in (*names[shift:], *names[:shift]):
            value = works[name]()
            if number >= 0:
                found[name].append(value)
    return {name: series(values) for name, values in found.items()}
