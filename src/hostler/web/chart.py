"""A chart of tokens by day: stacked bars in SVG, drawn on the server; a table beside it has the same numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from hostler.core.spending import Spent
from hostler.web.words import amount

WIDTH, HEIGHT = 960, 240
LEFT, TOP, RIGHT, BOTTOM = 52, 10, 16, 24
"""Room for the numbers of the axis, above the highest bar, for the end of the last day's name, and for the days."""
GRID = 4
LABELS = 10
"""Days that are named below the bars, at most."""


@dataclass(frozen=True, slots=True)
class Day:
    """A day and what was spent on it."""

    day: date
    spent: Spent

    @property
    def parts(self) -> tuple[tuple[str, str, int], ...]:
        """Return (class, name, tokens) of what is stacked, from below; what was guessed is the last."""
        usage, guess = self.spent.usage, self.spent.guess
        return (
            ("input", "input", usage.input + usage.cache_creation),
            ("cached", "cached input", usage.cached_input),
            ("output", "output", usage.output),
            ("guess", "estimated", guess.whole_input + guess.output),
        )

    @property
    def tokens(self) -> int:
        """Return all tokens that were counted."""
        return self.spent.usage.whole_input + self.spent.usage.output

    @property
    def guessed(self) -> int:
        """Return all tokens that were only estimated."""
        return self.spent.guess.whole_input + self.spent.guess.output


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of a bar."""

    x: float
    y: float
    width: float
    height: float
    kind: str


@dataclass(frozen=True, slots=True)
class Bar:
    """All of one day; `x` and `width` are those of its column, of which the boxes leave some empty."""

    x: float
    width: float
    said: str
    boxes: Sequence[Box]


@dataclass(frozen=True, slots=True)
class Chart:
    """What the template draws."""

    bars: Sequence[Bar]
    lines: Sequence[tuple[float, str]]
    """Height and number of each line of the grid."""
    labels: Sequence[tuple[float, str]]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    floor: int = HEIGHT - BOTTOM


def chart(days: Sequence[Day]) -> Chart:
    """Return the chart of some days without a gap."""
    floor, room = HEIGHT - BOTTOM, HEIGHT - BOTTOM - TOP
    most = ceiling(max((day.tokens + day.guessed for day in days), default=0))
    step = (WIDTH - LEFT - RIGHT) / max(1, len(days))
    bars = [_bar(day, LEFT + number * step, step, floor, room / most) for number, day in enumerate(days)]
    heights = [(floor - room * number / GRID, amount(most * number // GRID)) for number in range(GRID + 1)]
    lines = [(y, said.replace(".0", "")) for y, said in heights]
    every = max(1, -(-len(days) // LABELS))
    shown = [(n, day) for n, day in enumerate(days) if (len(days) - 1 - n) % every == 0]
    labels = [(LEFT + (number + 0.5) * step, f"{day.day.day} {day.day:%b}") for number, day in shown]
    return Chart(bars, lines, labels)


def _bar(day: Day, x: float, step: float, floor: float, scale: float) -> Bar:
    width = max(1.0, min(step * 0.72, 46.0))
    y, boxes = float(floor), list[Box]()
    for kind, _, tokens in day.parts:
        height = tokens * scale
        y -= height
        if tokens:
            boxes.append(Box(round(x + (step - width) / 2, 2), round(y, 2), round(width, 2), round(height, 2), kind))
    told = ", ".join(f"{tokens:,} {name}" for _, name, tokens in day.parts if tokens)
    calls = f"{day.spent.calls:,} calls"
    return Bar(round(x, 2), round(step, 2), f"{day.day.isoformat()}: {told or 'nothing'}; {calls}", boxes)


def ceiling(number: int) -> int:
    """Return a round number from a value on whose quarters are round, too."""
    size = 1
    while True:
        for factor in (4, 8, 12, 20, 40):
            if factor * size >= number:
                return factor * size
        size *= 10
