"""What can happen to the context that the model is called with, and to what people type that is no task for it."""

from dataclasses import dataclass, field
from typing import ClassVar

from hostler.core.agents import Outcome
from hostler.core.conversation import Usage


@dataclass(frozen=True, slots=True)
class Announced:
    """A command that a person can type."""

    name: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class Skill:
    """Knowledge that the agent may load: a file of the repository, or a prompt of the library (`path` is empty)."""

    name: str
    description: str
    path: str = ""


@dataclass(frozen=True, slots=True)
class CompactionStarted:
    """The intent to compact the context; `request` is the wish it answers, empty when it had grown too long."""

    id: str
    request: str = ""
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class ContextCompacted:
    """The context begins anew with the task, `summary`, and what was said from the reply at seq `kept` on (0: nothing).

    `room` is how many characters it may have in all. `truncated` says that no model wrote the summary, `problem` why
    not; `before` and `tokens` are how long the context was and is, as far as can be told.
    """

    id: str
    summary: str
    kept: int = 0
    room: int = 0
    before: int = 0
    tokens: int = 0
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


@dataclass(frozen=True, slots=True)
class Answered:
    """Hostler answers by itself what a person typed."""

    input_id: str
    text: str
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class ShellStarted:
    """The intent to run a command that a person typed, in this supervisor's life."""

    call_id: str
    incarnation: str
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class ShellFinished:
    """The one result of a command that a person typed; the fields are those of ToolFinished."""

    call_id: str
    outcome: Outcome
    text: str
    exit_code: int | None = None
    output: str = ""
    output_bytes: int = 0
    VERSION: ClassVar[int] = 1


MemoryEvent = (
    CompactionStarted | ContextCompacted | ContextCleared | CommandsAnnounced | Answered | ShellStarted | ShellFinished
)
