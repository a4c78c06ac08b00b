"""Agents that live in the environment: what a driver makes of their protocol, and the words it is put in.

A driver is pure. It says which program to start, puts what should be told to it into messages with ids, and reads its
output line by line into events. The engine starts the program, journals how far its output was read together with
what it said, writes each message at most once, and so needs nothing of a driver to recover.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from hostler.core.machines import Command
from hostler.core.mcp_servers import McpServer

Json = Mapping[str, Any]
GoalStatus = Literal["active", "paused", "completed", "budget_exhausted", "blocked", "usage_limited"]
GoalAction = Literal["set", "pause", "resume", "complete", "clear"]
Outcome = Literal["ok", "failed", "timed_out", "cancelled", "unknown"]
FailureReason = Literal["", "environment", "service", "llm_integration", "agent_execution"]
TurnStatus = Literal["completed", "interrupted", "failed"]


@dataclass(frozen=True, slots=True)
class Goal:
    """What a goal agent works towards over turns; `token_budget` 0 is none, `seconds_used` counts its active time."""

    objective: str
    status: GoalStatus
    token_budget: int = 0
    tokens_used: int = 0
    seconds_used: float = 0.0


@dataclass(frozen=True, slots=True)
class GoalChange:
    """What a person wants of the goal; `objective` and `status` belong to `set`."""

    action: GoalAction
    objective: str = ""
    status: GoalStatus = "active"
    token_budget: int = 0


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer that a question offers."""

    label: str
    text: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """A question to the person; with no choices any text answers it."""

    id: str
    text: str
    choices: tuple[Choice, ...] = ()
    other: bool = True


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file that the agent changed; `diff` is a unified diff, or the whole text of a file that was added."""

    path: str
    kind: Literal["add", "update", "delete", "move"]
    diff: str = ""
    moved_to: str = ""


@dataclass(frozen=True, slots=True)
class Child:
    """A sub-agent that the agent itself runs; `total_tokens` are within the execution's own.

    What it does are actions named ID/…; what it says is noted under its id.
    """

    id: str
    name: str
    state: Literal["running", "done", "failed"]
    total_tokens: int = 0
    asked: str = ""
    """What it was told to do last, cut."""
    said: str = ""
    """What it said last, cut."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What a driver knows when it starts its program; `gateway` and `token` reach the models, `model` without provider.

    `home` is a folder of the execution's own inside the environment, kept as long as that.
    """

    execution: str
    process: str
    workspace: str
    home: str
    gateway: str
    token: str
    model: str
    effort: str = ""
    system_prompt: str = ""
    thread: str = ""
    """The agent's own name for the conversation, from an earlier process; empty at the first start."""
    settings: Json = field(default_factory=dict[str, Any])
    """The contract's CodexSettings as JSON, as they stand at the launch."""
    servers: tuple[McpServer, ...] = ()
    """The MCP servers that it is to start or reach itself, with values instead of what stands for them."""


@dataclass(frozen=True, slots=True)
class Message:
    """Bytes for the agent's standard input; the id makes a repetition harmless within one process."""

    id: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Input:
    """An input to be delivered: `block` is its API JSON, `settings` the contract's CodexSettings that came with it.

    `note` is said to the agent before it, such as that it was restarted. `missed` is the agent's own turn that would
    not take it (SteerMissed), so that telling it again is another message.
    """

    id: str
    block: Json
    settings: Json = field(default_factory=dict[str, Any])
    note: str = ""
    missed: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """What the log knows of the agent: its thread, its own running turn, the inputs that were given to it and not
    seen by it, the actions that it has begun and not ended, its open questions."""

    thread: str = ""
    turn: str = ""
    given: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()
    questions: tuple[tuple[Question, ...], ...] = ()
    """What each of `asks` asked: an answer names the question it is for."""
    children: tuple[Child, ...] = ()


@dataclass(frozen=True, slots=True)
class Piece:
    """Text of an item while it is being said; hints only, the finished item is the record."""

    item: str
    text: str
    thinking: bool = False


@dataclass(frozen=True, slots=True)
class Heard:
    """What one line of output came to: events for the log (kinds of `hostler.core.events`), pieces of text, and what
    must be said back at once whoever asks."""

    events: tuple[Any, ...] = ()
    pieces: tuple[Piece, ...] = ()
    replies: tuple[Message, ...] = ()


class Reader(Protocol):
    """Understands one process's output in order, from wherever the log says it was read to."""

    def feed(self, line: bytes) -> Heard:
        """Return what a line (without its end) means; never raises: what is not understood is an AgentNoted."""
        ...


@dataclass(frozen=True, slots=True)
class Caps:
    """What an agent can do beyond taking prompts; what it cannot is refused before it reaches it."""

    steer: bool = False
    compact: bool = False
    goal: bool = False
    images: bool = False
    questions: bool = False
    codex_settings: bool = False


class AgentDriver(Protocol):
    """One kind of agent. Every method is pure, so the same call after a crash says the same."""

    name: str
    caps: Caps

    def models(self, model: str) -> Sequence[str]:
        """Return the models, without their provider, that the agent may call beside its own."""
        ...

    def program(self, launch: Launch) -> Command:
        """Return the program to run inside."""
        ...

    def greeting(self, launch: Launch) -> Sequence[Message]:
        """Return what is said first; the reader sees it through until the thread is open (AgentOpened)."""
        ...

    def reader(self, launch: Launch, known: Known) -> Reader:
        """Return what understands the process's output from now on."""
        ...

    def deliver(self, known: Known, process: str, input_: Input) -> Message:
        """Return the message that gives an input to the agent; it comes to InputSeen, SteerMissed or AgentFault.

        The agent is idle, or goes on by itself towards a goal.
        """
        ...

    def steer(self, known: Known, process: str, input_: Input) -> Message:
        """Return the message that gives an input to the running turn; InputSeen, or SteerMissed when it came late."""
        ...

    def resume(self, known: Known, process: str, note: str) -> Message:
        """Return the message that lets the agent go on after its process was lost in the middle of a turn."""
        ...

    def answer(self, known: Known, ask: str, input_: Input) -> Message:
        """Return the message that answers an open question; confirmed by QuestionsClosed."""
        ...

    def compact(self, known: Known, request: str) -> Message:
        """Return the message that asks to compact the context; confirmed by Compacted."""
        ...

    def goal(self, known: Known, request: str, change: GoalChange, goal: Goal | None) -> Message:
        """Return the message that changes the goal; confirmed by GoalChanged."""
        ...
