"""What can happen in an execution whose agent lives in the environment; the other kinds are in `events`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from hostler.core.agents import Child, FailureReason, FileChange, Goal, GoalChange, Outcome, Question, TurnStatus
from hostler.core.conversation import Usage

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AgentStarting:
    """The intent to start the agent's program as the attached process `process`, in this supervisor's life."""

    process: str
    incarnation: str
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class AgentOpened:
    """The agent answers and its conversation is open; `thread` is its own name for it, asked for at the next start."""

    process: str
    thread: str
    version: str = ""
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class AgentRead:
    """All that the process wrote before byte `offset` is in the log."""

    process: str
    offset: int
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class AgentEnded:
    """The process is gone: closed when idle, lost with its supervisor, or `died` by itself."""

    process: str
    message: str = ""
    died: bool = False
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class InputSeen:
    """The agent's own history shows the input."""

    input_id: str
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class SteerMissed:
    """The turn that the input was to join was over; it is delivered as the next prompt."""

    input_id: str
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class AgentTurnBegan:
    """The agent works; `ref` is its own name for the turn."""

    ref: str
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class AgentTurnDone:
    """The agent's own turn is over."""

    ref: str
    status: TurnStatus = "completed"
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class AgentFault:
    """The agent cannot go on; the execution stops with this message."""

    reason: FailureReason
    message: str
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class AgentSaid:
    """The agent said or thought something; `block` is the id under which it streamed, `cut` that it broke off there."""

    item: str
    text: str
    thinking: bool = False
    block: str = ""
    cut: bool = False
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class ActionStarted:
    """The agent does something itself: a command, an edit, a search; `arguments` is JSON text."""

    item: str
    name: str
    arguments: str
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class ActionFinished:
    """The one result of an action."""

    item: str
    outcome: Outcome
    text: str = ""
    exit_code: int | None = None
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class FilesChanged:
    """What an action changed in files."""

    item: str
    changes: tuple[FileChange, ...]
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class QuestionsAsked:
    """The agent waits for an answer."""

    ask: str
    questions: tuple[Question, ...]
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class QuestionsClosed:
    """The questions were answered, or the agent does not wait for them any more."""

    ask: str
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class SettingsConfirmed:
    """The contract's CodexSettings as the agent says they hold."""

    settings: Json
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class ContextMeasured:
    """Tokens in the agent's context, and its size (0 = unknown)."""

    length: int
    limit: int = 0
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class CompactRequested:
    """A person wants the context to be compacted now."""

    request: str
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class Compacted:
    """The context was compacted, or could not be (`problem`)."""

    problem: str = ""
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class GoalRequested:
    """A person wants the goal to be changed."""

    request: str
    change: GoalChange
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class GoalChanged:
    """The goal as the agent has it now; None when there is none. `request` is the wish that this answers, if any."""

    goal: Goal | None
    request: str = ""
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class ChildReported:
    """What a sub-agent of the agent's own does."""

    child: Child
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class AgentNoted:
    """Something else that the agent said: `kind` is its own word; kept, and shown only when it is a warning.

    `child` is the sub-agent that said it.
    """

    kind: str
    body: str
    warning: bool = False
    child: str = ""
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class AgentCallStarted:
    """The agent calls a model through the gateway; `path` is the provider's."""

    call_id: str
    model: str
    path: str
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class AgentCallFinished:
    """The call is over and metered; `finish` is stop, tools, length or refused."""

    call_id: str
    usage: Usage
    finish: str = "stop"
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class AgentCallCut:
    """The call was cut off; `estimate` is what it may have cost, which is counted apart."""

    call_id: str
    estimate: Usage
    reason: str
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class AgentCallRefused:
    """A call was refused because a limit is reached; the execution stops."""

    limit: str
    message: str
    VERSION: ClassVar[int] = 1


AgentEvent = (
    AgentStarting
    | AgentOpened
    | AgentRead
    | AgentEnded
    | InputSeen
    | SteerMissed
    | AgentTurnBegan
    | AgentTurnDone
    | AgentFault
    | AgentSaid
    | ActionStarted
    | ActionFinished
    | FilesChanged
    | QuestionsAsked
    | QuestionsClosed
    | SettingsConfirmed
    | ContextMeasured
    | CompactRequested
    | Compacted
    | GoalRequested
    | GoalChanged
    | ChildReported
    | AgentNoted
    | AgentCallStarted
    | AgentCallFinished
    | AgentCallCut
    | AgentCallRefused
)
