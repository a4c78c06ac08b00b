"""What can happen to the mode an agent works in."""

from dataclasses import dataclass
from typing import ClassVar, Literal

Mode = Literal["execution", "planning", "spec", "ralph", "goal"]
Milestone = Literal["spec_complete", "iteration_complete", "complete"]


@dataclass(frozen=True, slots=True)
class ModeEntered:
    """The agent works in this mode from here on; `lasting` says that it is not for one turn only."""

    mode: Mode
    why: str = ""
    lasting: bool = True
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class ModeChanged:
    """A mode has come to a milestone; `message` is for people."""

    mode: Mode
    milestone: Milestone
    message: str = ""
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class RoundLookedAt:
    """What a round that went on by itself has left: the plan file's open and whole number of steps, and a digest of the
    workspace's changes."""

    round: int
    plan_open: int = 0
    plan_all: int = 0
    diff: str = ""
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class NoProgress:
    """What went on by itself stops and asks, as nothing came of it; `signs` is what was the same each time."""

    what: str
    rounds: int
    signs: tuple[str, ...]
    message: str
    VERSION: ClassVar[int] = 1


ModesEvent = ModeEntered | ModeChanged | RoundLookedAt | NoProgress
