"""How the effects of the state's parts are carried out: one performer a kind of effect, found by its class."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from hostler.core.events import Event
from hostler.core.ports import Fact
from hostler.core.state import State
from hostler.engine.scene import Scene


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an effect came to: facts, or for one that waited for the clock a decision to make now."""

    facts: tuple[Fact, ...] = ()
    decide: Callable[[State], tuple[Event, ...]] | None = None


class Performer(Protocol):
    """Carries out one kind of effect, which it may do again after a crash."""

    async def __call__(self, effect: Any, scene: Scene) -> Outcome:
        """Do it and return what it came to; what it raises is logged, and the execution is tried again."""
        ...


@dataclass(slots=True)
class Performers:
    """Every performer of this process, by the class of its effect."""

    by_kind: dict[type[Any], Performer] = field(default_factory=dict[type[Any], Performer])

    def learn(self, performers: Mapping[type[Any], Performer]) -> None:
        """Add performers."""
        self.by_kind.update(performers)

    async def perform(self, effect: Any, scene: Scene) -> Outcome:
        """Carry an effect out; KeyError for one that nobody has learnt."""
        return await self.by_kind[type(effect)](effect, scene)
