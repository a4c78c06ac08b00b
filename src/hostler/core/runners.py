"""What is known of runners (a machine and its data folder) by all processes of one database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from hostler.core.errors import Unimplemented
from hostler.core.ports import EnvironmentRow


@dataclass(frozen=True, slots=True)
class RunnerSeen:
    """A runner as its row says: its present incarnation, and until when its last sign of life counts."""

    id: str
    incarnation: str
    until: datetime
    name: str = ""
    url: str = ""
    """Where other processes reach it; empty: nowhere."""
    version: str = ""
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def live(self, now: datetime, margin: float) -> bool:
        """Return whether its process is to be taken as alive: until its lease and some seconds more are over."""
        return now < self.until + timedelta(seconds=margin)

    @property
    def said(self) -> str:
        """Return how people are told of it."""
        return f"{self.name} ({self.id})" if self.name else self.id


class RunnerRows(Protocol):
    """The rows of runners."""

    async def find(self) -> Sequence[RunnerSeen]:
        """Return all runners that ever booted and were not removed, by id."""
        ...


class RunnerPeers(Protocol):
    """What this process knows of all runners; `look` reads it anew."""

    me: str
    alone: bool
    """Whether there can be no other process."""

    async def look(self) -> None:
        """Read what is known of all runners."""
        ...

    def all(self) -> Sequence[RunnerSeen]:
        """Return every runner, by id."""
        ...

    def get(self, runner: str) -> RunnerSeen | None:
        """Return a runner; None for one that there is not."""
        ...

    def live(self, runner: str) -> bool:
        """Return whether a runner's process is to be taken as alive."""
        ...

    async def lives(self, runner: str) -> bool:
        """Return the same from a fresh look."""
        ...

    def said(self, runner: str) -> str:
        """Return how people are told of a runner."""
        ...


class NoPeers:
    """A runner that knows of no other."""

    def __init__(self, me: str = "") -> None:
        self.me = me
        self.alone = True

    async def look(self) -> None:
        """Know as much as before."""

    def all(self) -> Sequence[RunnerSeen]:
        """Return no runner."""
        return ()

    def get(self, runner: str) -> RunnerSeen | None:
        """Return None."""
        del runner

    def live(self, runner: str) -> bool:
        """Return whether it is this one."""
        return runner == self.me

    async def lives(self, runner: str) -> bool:
        """Return whether it is this one."""
        return runner == self.me

    def said(self, runner: str) -> str:
        """Return its id."""
        return runner


class GivingUp(Protocol):
    """Gives up what a runner holds; FailedPrecondition while it lives, NotFound for what there is not."""

    async def lose(self, environment: str) -> EnvironmentRow:
        """Give an environment up."""
        ...

    async def forget(self, runner: str) -> None:
        """Give up everything of a runner, and forget it."""
        ...


class NobodyAway:
    """For a server that has no other beside it."""

    async def lose(self, environment: str) -> EnvironmentRow:
        """Refuse."""
        raise Unimplemented("there is one runner here, and it lives")

    async def forget(self, runner: str) -> None:
        """Refuse."""
        raise Unimplemented("there is one runner here, and it lives")
