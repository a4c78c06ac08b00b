"""What model calls cost, by day and model: folded from the log, kept beside it, summed for the usage page.

Days are those of UTC, on which a call ended. What a provider counted and what was only guessed (calls that were cut
off) are never added together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from hostler.core import agent_events as ae
from hostler.core import events as ev
from hostler.core.changing import changed as replace
from hostler.core.conversation import Usage
from hostler.core.events import Recorded
from hostler.core.judging_events import Judged
from hostler.core.memory_events import ContextCompacted

Dimension = Literal["model", "agent", "project"]
Key = tuple[str, str]
"""A day as 2026-03-29, and a model."""


class Price(NamedTuple):
    """Dollars a million tokens."""

    input: float
    cached_input: float
    cache_creation: float
    output: float

    def of(self, usage: Usage) -> float:
        """Return what so many tokens cost in dollars."""
        counters = (usage.input, usage.cached_input, usage.cache_creation, usage.output)
        return sum(price * tokens for price, tokens in zip(self, counters, strict=True)) / 1e6


@dataclass(frozen=True, slots=True)
class Spent:
    """Calls that were counted, and apart from them those whose cost is a guess; `cost` is in dollars, of both."""

    calls: int = 0
    usage: Usage = field(default_factory=Usage)
    guessed_calls: int = 0
    guess: Usage = field(default_factory=Usage)
    cost: float = 0.0
    unpriced: int = 0
    """Calls of models whose price is not known, which `cost` leaves out."""

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(
            self.calls + other.calls,
            self.usage + other.usage,
            self.guessed_calls + other.guessed_calls,
            self.guess + other.guess,
            self.cost + other.cost,
            self.unpriced + other.unpriced,
        )


@dataclass(frozen=True, slots=True)
class Spending:
    """The calls under way with their models, and the sum of those that ended."""

    under_way: Mapping[str, str] = field(default_factory=dict[str, str])
    days: Mapping[Key, Spent] = field(default_factory=dict[Key, Spent])
    prices: Mapping[str, Price] = field(default_factory=dict[str, Price])

    def after(self, recorded: Recorded) -> "Spending":
        """Return what is spent after one more event."""
        match recorded.event:
            case ev.Started(agent=agent):
                return replace(self, prices={plain(name): Price(*price) for name, price in agent.prices.items()})
            case ev.ModelCallStarted(call_id, model) | ae.AgentCallStarted(call_id, model):
                return replace(self, under_way={**self.under_way, call_id: plain(model)})
            case ev.ModelReplied(call_id=call_id, usage=usage) | ae.AgentCallFinished(call_id=call_id, usage=usage):
                return self._ended(call_id, recorded, Spent(calls=1, usage=usage))
            case ae.AgentCallCut(call_id, estimate):
                return self._ended(call_id, recorded, Spent(guessed_calls=1, guess=estimate))
            case ContextCompacted(model=model, usage=usage) if model:
                calling = replace(self, under_way={**self.under_way, recorded.event.id: plain(model)})
                return calling._ended(recorded.event.id, recorded, Spent(calls=1, usage=usage))
            case Judged(turn, _, model, usage):
                calling = replace(self, under_way={**self.under_way, f"judge-{turn}": plain(model)})
                return calling._ended(f"judge-{turn}", recorded, Spent(calls=1, usage=usage))
            case ev.Stopped():
                return replace(self, under_way={}) if self.under_way else self
            case _:
                return self

    def _ended(self, call: str, recorded: Recorded, cost: Spent) -> "Spending":
        model = self.under_way.get(call, "")
        key = (f"{recorded.at:%Y-%m-%d}", model)
        left = {one: model for one, model in self.under_way.items() if one != call}
        price = self.prices.get(model)
        priced = replace(cost, cost=price.of(cost.usage + cost.guess)) if price else replace(cost, unpriced=1)
        return replace(self, under_way=left, days={**self.days, key: self.days.get(key, Spent()) + priced})


@dataclass(frozen=True, slots=True)
class DaySum:
    """What was spent on one day under one name: a model, or the id of an agent or a project."""

    day: str
    name: str
    spent: Spent


@dataclass(frozen=True, slots=True)
class ExecutionSum:
    """What one execution spent in a period."""

    execution: str
    spent: Spent


class SpendingBook(Protocol):
    """What all executions that are not deleted have spent; with `of` only those that one person started."""

    async def daily(self, since: str, by: Dimension, of: str = "") -> Sequence[DaySum]:
        """Return the sums from a day on, in the order of days and names."""
        ...

    async def top(self, since: str, limit: int, of: str = "") -> Sequence[ExecutionSum]:
        """Return the executions that spent most tokens from a day on, the first the most; guesses do not count."""
        ...

    async def by_person(self, day: str) -> Mapping[str, int]:
        """Return the tokens of one day, guesses and deleted executions too, by the id of who started them."""
        ...


def plain(text: str) -> str:
    """Return a text that every database can hold: names come from agents, too."""
    return text.replace("\0", "").encode(errors="replace").decode()
