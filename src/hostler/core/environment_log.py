"""What happened in an environment, line by line: its making, its setup commands with their output, starts and stops.

The lines belong to the environment's row and go with it.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A piece of an environment's log; `step` names the command that said it and is empty for Hostler's own words."""

    seq: int
    at: datetime
    step: str
    text: str


class EnvironmentLogs(Protocol):
    """The logs of environments."""

    async def say(self, environment: str, text: str, at: datetime) -> None:
        """Keep a line of Hostler's own; an environment that is gone takes none."""
        ...

    async def output(self, environment: str, step: str, upto: int, text: str, at: datetime) -> None:
        """Keep output of a step; it ends at byte `upto` of what the step has said.

        Output that ends no later than what is kept of the step is not kept twice.
        """
        ...

    async def upto(self, environment: str, step: str) -> int:
        """Return how many bytes of a step's output are kept already."""
        ...

    async def read(self, environment: str, after: int = 0, limit: int = 1000) -> tuple[LogEntry, ...]:
        """Return entries behind a seq, oldest first."""
        ...
