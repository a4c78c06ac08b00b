"""What is known of runners (a machine and its data folder) by all processes of one database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from hostler.core.lease import MARGIN


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

    def live(self, now: datetime) -> bool:
        """Return whether its process is to be taken as alive."""
        return now < self.until + timedelta(seconds=MARGIN)

    @property
    def said(self) -> str:
        """Return how people are told of it."""
        return f"{self.name} ({self.id})" if self.name else self.id


class RunnerRows(Protocol):
    """The rows of runners."""

    async def find(self) -> Sequence[RunnerSeen]:
        """Return all runners that ever booted and were not removed, by id."""
        ...
