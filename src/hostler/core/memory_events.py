"""What can happen to the context that the model is called with."""

from dataclasses import dataclass, field
from typing import ClassVar

from hostler.core.conversation import Usage


@dataclass(frozen=True, slots=True)
class Announced:
    """A command that a person can type."""

    name: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class CompactionStarted:
    """The intent to compact the context; `request` is the wish it answers, empty when it had grown too long."""

    id: str
    request: str = ""
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class ContextCompacted:
    """The context begins anew with the task, `summary`, and the log from seq `kept` on.

    `truncated` says that no model wrote the summary, `problem` why not.
    """

    id: str
    summary: str
    kept: int
    model: str = ""
    usage: Usage = field(default_factory=Usage)
    truncated: bool = False
    problem: str = ""
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class ContextCleared:
    """The context begins anew with nothing; `why` says who wanted it."""

    why: str = ""
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class CommandsAnnounced:
    """The commands that can be typed here, instead of the earlier list."""

    commands: tuple[Announced, ...]
    VERSION: ClassVar[int] = 1


MemoryEvent = CompactionStarted | ContextCompacted | ContextCleared | CommandsAnnounced
