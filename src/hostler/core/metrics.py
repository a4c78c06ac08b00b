"""Counters, gauges and histograms of one process, and their text for Prometheus.

Written here rather than taken from a library: it is little, and importing the usual one takes a tenth of a second.
A metric holds a bounded number of series; label values beyond it are counted together, so that whoever chooses a name
(a model, a client) cannot fill the memory.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

MOST = 500
"""Series of one metric."""
OTHER = "other"
"""The label values of what is beyond it."""
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
Labels = tuple[str, ...]
Kind = Literal["counter", "gauge", "histogram"]
Line = tuple[str, Labels, tuple[str, ...], float]
"""A name's ending, label names, label values and the value."""


class Counter:
    """Only grows; one value for each set of label values."""

    kind: Kind = "counter"

    def __init__(self, name: str, told: str, labels: Labels = ()) -> None:
        self.name, self.told, self.labels = name, told, labels
        self.values: dict[Labels, float] = {} if labels else {(): 0.0}

    def add(self, *values: str, by: float = 1) -> None:
        """Count one more, or `by` more."""
        key = bounded(self.values, values)
        self.values[key] = self.values.get(key, 0.0) + by

    def lines(self) -> Iterable[Line]:
        """Yield what is written of it."""
        return [("_total", self.labels, key, value) for key, value in sorted(self.values.items())]


class Gauge:
    """A figure that is looked up when it is asked for: `look` gives the value of each set of label values."""

    kind: Kind = "gauge"

    def __init__(self, name: str, told: str, labels: Labels = ()) -> None:
        self.name, self.told, self.labels = name, told, labels
        self.look: Callable[[], Mapping[Labels, float]] = dict[Labels, float]

    def lines(self) -> Iterable[Line]:
        """Yield what is written of it."""
        return [("", self.labels, key, value) for key, value in sorted(self.look().items())]


class Sum(Gauge):
    """A counter that is looked up, because somebody else counts."""

    kind: Kind = "counter"

    def lines(self) -> Iterable[Line]:
        """Yield what is written of it."""
        return [("_total", self.labels, key, value) for key, value in sorted(self.look().items())]


class Tally(Counter):
    """Goes up and down."""

    kind: Kind = "gauge"

    def lines(self) -> Iterable[Line]:
        """Yield what is written of it."""
        return [("", self.labels, key, value) for key, value in sorted(self.values.items())]


@dataclass(slots=True)
class Seen:
    """How many were seen in each bucket, and their sum."""

    counts: list[int]
    total: float = 0.0


class Histogram:
    """How long things took, by buckets in seconds."""

    kind: Kind = "histogram"

    def __init__(self, name: str, told: str, labels: Labels = (), buckets: tuple[float, ...] = SECONDS) -> None:
        self.name, self.told, self.labels, self.buckets = name, told, labels, buckets
        self.values: dict[Labels, Seen] = {}

    def see(self, seconds: float, *values: str) -> None:
        """Note one more."""
        key = bounded(self.values, values)
        seen = self.values.get(key) or self.values.setdefault(key, Seen([0] * (len(self.buckets) + 1)))
        seen.counts[bisect_left(self.buckets, seconds)] += 1
        seen.total += seconds

    def lines(self) -> Iterable[Line]:
        """Yield what is written of it."""
        bounds = [*(f"{one:g}" for one in self.buckets), "+Inf"]
        for key, seen in sorted(self.values.items()):
            sum_ = 0
            for bound, count in zip(bounds, seen.counts, strict=True):
                sum_ += count
                yield "_bucket", (*self.labels, "le"), (*key, bound), sum_
            yield "_count", self.labels, key, sum_
            yield "_sum", self.labels, key, seen.total


Metric = Counter | Gauge | Histogram
M = TypeVar("M", Counter, Tally, Gauge, Sum, Histogram)


@dataclass(frozen=True, slots=True)
class Registry:
    """Every metric of a process, in the order in which they are written."""

    metrics: list[Metric] = field(default_factory=list["Metric"])

    def counter(self, name: str, told: str, *labels: str) -> Counter:
        """Make a counter; its name is written with `_total` behind it."""
        return self._kept(Counter(name, told, labels))

    def tally(self, name: str, told: str, *labels: str) -> Tally:
        """Make a figure that goes up and down."""
        return self._kept(Tally(name, told, labels))

    def gauge(self, name: str, told: str, *labels: str) -> Gauge:
        """Make a figure that is looked up."""
        return self._kept(Gauge(name, told, labels))

    def sum(self, name: str, told: str, *labels: str) -> Sum:
        """Make a counter that is looked up."""
        return self._kept(Sum(name, told, labels))

    def histogram(self, name: str, told: str, *labels: str) -> Histogram:
        """Make a histogram."""
        return self._kept(Histogram(name, told, labels))

    def _kept(self, metric: M) -> M:
        self.metrics.append(metric)
        return metric

    def text(self, *, openmetrics: bool = False) -> str:
        """Return all of it as Prometheus reads it, or in the form of OpenMetrics."""
        written: list[str] = []
        for metric in self.metrics:
            counted = metric.kind == "counter" and not openmetrics
            name = f"{metric.name}_total" if counted else metric.name
            written += [f"# HELP {name} {_escaped(metric.told)}", f"# TYPE {name} {metric.kind}"]
            written += [
                f"{metric.name}{end}{_labels(names, values)} {float(value)!r}"
                for end, names, values, value in metric.lines()
            ]
        return "\n".join([*written, *(["# EOF"] if openmetrics else []), ""])


def bounded(known: Mapping[Labels, object], values: Labels) -> Labels:
    """Return the label values, or those of everything else where there are too many already."""
    return values if values in known or len(known) < MOST else (OTHER,) * len(values)


def _labels(names: Labels, values: Labels) -> str:
    pairs = (f'{name}="{_escaped(value, quotes=True)}"' for name, value in zip(names, values, strict=True))
    return f"{{{','.join(pairs)}}}" if names else ""


def _escaped(text: str, *, quotes: bool = False) -> str:
    text = text.replace("\\", r"\\").replace("\n", r"\n")
    return text.replace('"', r"\"") if quotes else text
