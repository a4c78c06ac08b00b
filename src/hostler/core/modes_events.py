"""What can happen to the mode an agent works in."""

from dataclasses import dataclass
from typing import ClassVar, Literal

Mode = Literal["execution", "planning", "spec", "ralph", "goal"]
Milestone = Literal["spec_complete", "iteration_complete", "complete"]


@dataclass(frozen=True, slots=True)
class ModeEntered:
    """The agent works in this mode from here on, on `task`; `lasting` says that it is not for one turn only."""

    mode: Mode
    why: str = ""
    lasting: bool = True
    task: str = ""
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
    """What the harness found after a round, whatever the agent says of it.

    `plan` is the plan file's text, `plan_open` of its `plan_all` steps are open, `spec` says that there is a
    specification, `signs` are what a round without progress has in common with the one before.
    """

    round: int
    plan: str = ""
    plan_open: int = 0
    plan_all: int = 0
    spec: bool = False
    signs: tuple[str, ...] = ()
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
