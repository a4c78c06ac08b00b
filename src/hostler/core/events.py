"""Everything that can happen to an execution: one frozen dataclass a kind, one union, each with a version.

An event is written once and read by every later release, so a field is only ever added, with a default; a change that
a default cannot express raises `VERSION` of the class and adds a step to `UPGRADES`. Carried data (the request, an
input block) stays in the API's own JSON.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, ClassVar, Literal

from pydantic import TypeAdapter

from hostler.core.agent_events import AgentEvent
from hostler.core.agents import FailureReason, Outcome
from hostler.core.approvals_events import ApprovalsEvent, Permission
from hostler.core.conversation import ModelPart, Usage
from hostler.core.errors import NewerRelease
from hostler.core.family_events import FamilyEvent, Parent
from hostler.core.forge_events import ForgeEvent
from hostler.core.interests_events import InterestsEvent
from hostler.core.judging_events import Condition, JudgingEvent, OutputRule
from hostler.core.kept import KeptEvent
from hostler.core.mcp_events import McpEvent
from hostler.core.memory_events import MemoryEvent, Skill
from hostler.core.modes_events import ModesEvent

Json = Mapping[str, Any]
Origin = Literal["user", "agent", "wake", "harness"]
"""Who says an input: a person or program, another agent, what was waited for, or Hostler itself to go on."""
Local = Literal["", "shell", "clear", "bundle"]
"""What Hostler does itself with an input, which no agent is told: run it as a command, clear the context, answer."""
OutputScalar = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Limits:
    """The budget of one execution; 0 means unlimited, `max_seconds` counts the time in RUNNING."""

    max_iterations: int = 0
    max_input_tokens: int = 0
    max_output_tokens: int = 0
    max_seconds: int = 0
    max_cost: float = 0.0
    """US dollars, where prices are configured."""
    max_subagents: int = 0
    max_depth: int = 0


@dataclass(frozen=True, slots=True)
class Agent:
    """The agent's definition as it was at the start; `tools_inside` are those that run in the environment."""

    id: str
    name: str
    driver: str
    model: str
    system_prompt: str = ""
    effort: str = ""
    limits: Limits = Limits()
    context_window: int = 0
    tools: tuple[str, ...] = ()
    tools_inside: tuple[str, ...] = ()
    supported_model: str = ""
    disabled_capabilities: tuple[str, ...] = ()
    judgement_prompt: str = ""
    judgement_model: str = ""
    conditions: tuple[Condition, ...] = ()
    requires: tuple[OutputRule, ...] = ()
    prices: Mapping[str, tuple[float, ...]] = field(default_factory=dict[str, "tuple[float, ...]"])
    """Model -> dollars a million tokens of input, cached input, cache creation and output."""
    permissions: tuple[Permission, ...] = ()
    mcp: tuple[str, ...] = ()
    """Names of the configured MCP servers that it has."""
    approval_minutes: float = 60.0
    """How long a call waits for a person's word before it is denied."""


@dataclass(frozen=True, slots=True)
class ForkPoint:
    """Where in another execution's log this one begins."""

    execution: str
    seq: int


@dataclass(frozen=True, slots=True)
class Todo:
    """One entry of the agent's to-do list."""

    title: str
    state: Literal["pending", "in_progress", "done"] = "pending"


@dataclass(frozen=True, slots=True)
class Started:
    """The execution exists; `request` is the StartAgent request as it came."""

    request: Json
    agent: Agent
    environment_id: str
    owns_environment: bool
    creator_id: str
    session_id: str
    creator_kind: Literal["user", "service_account"] = "user"
    name: str = ""
    forked_from: ForkPoint | None = None
    parent: Parent | None = None
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class EnvironmentReady:
    """The environment answers: its supervisor's incarnation, the commit that diffs start from, the AGENTS.md found."""

    environment_id: str
    incarnation: str
    base_commit: str = ""
    notes: tuple[str, ...] = ()
    instructions: str = ""
    skills: tuple[Skill, ...] = ()
    """Those of the repository, then those of the library."""
    read_only: bool = False
    """Whether a command can be kept from writing there."""
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class SupervisorLost:
    """The supervisor `incarnation` no longer answers; the environment will be brought back."""

    incarnation: str
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class EnvironmentFailed:
    """The environment could not be made; `message` says why and what would mend it."""

    message: str
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class EnvironmentLost:
    """The environment is gone for good."""

    message: str
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class InputQueued:
    """An input waits; `block` is its API JSON and `digest` the sha256 of its content, for idempotency."""

    input_id: str
    block: Json
    digest: str
    origin: Origin = "user"
    settings: Json | None = None
    """The contract's CodexSettings that came with it."""
    modes: tuple[str, ...] = ()
    """Modes of the turn that takes it."""
    expansion: str = ""
    """What the agent hears instead of its text, where a command or template stood in it."""
    local: Local = ""
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class InputMoved:
    """A queued input goes before another one; an empty `before` means to the end."""

    input_id: str
    before: str = ""
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class InputDeleted:
    """A queued input will never be sent."""

    input_id: str
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class SteerRequested:
    """A queued input joins before the next model call."""

    input_id: str
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class InputTaken:
    """Queued inputs go to the agent, in this order."""

    input_ids: tuple[str, ...]
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class InputDropped:
    """A stop took a queued input away; it is shown and never sent."""

    input_id: str
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """A turn runs; `session` is its owner's incarnation, and it ends no sooner than `settle` seconds from here."""

    turn: int
    session: str
    settle: float = 0.0
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class TurnAdopted:
    """Another incarnation goes on where the last owner left; `alive_until` is when that one was last seen alive."""

    session: str
    alive_until: datetime | None = None
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class ModelCallStarted:
    """The intent to call the model."""

    call_id: str
    model: str
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class ModelCallFailed:
    """A call did not succeed; it is made again at `retry_at`, or given up when that is absent."""

    call_id: str
    message: str
    retry_at: datetime | None
    overflow: bool = False
    """The conversation is too long for the model: a shorter one may be accepted."""
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class ModelReplied:
    """The model's whole reply; `native` is the provider library's form of it, `native_format` names that form."""

    call_id: str
    parts: tuple[ModelPart, ...]
    usage: Usage
    finish: str = "stop"
    native: Json | None = None
    blocks: tuple[str, ...] = ()
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class CutText:
    """Text that was said before its call was cut off."""

    block: str
    text: str
    thinking: bool = False


@dataclass(frozen=True, slots=True)
class ModelCallCut:
    """A reply was cut off while it streamed; `said` is what people had been shown. Its usage is not known.

    `again` says that the same call is made once more, so that its reply stands for what the model said.
    """

    call_id: str
    said: tuple[CutText, ...]
    again: bool = False
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """The intent to run a tool; `call_id` is ours, `incarnation` the supervisor that may run it ('' = runs outside)."""

    call_id: str
    name: str
    arguments: str
    incarnation: str
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """The one result of a tool call: `text` for the model (bounded), `output` names the whole output's blob."""

    call_id: str
    outcome: Outcome
    text: str
    exit_code: int | None = None
    output: str = ""
    output_bytes: int = 0
    details: Json | None = None
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class OutputsSet:
    """Typed outputs of the execution, merged over the earlier ones."""

    values: Mapping[str, OutputScalar]
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class TodosSet:
    """The agent's whole to-do list."""

    todos: tuple[Todo, ...]
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class NextStep:
    """Something that could be done next: what it is called, and the prompt that would start it."""

    title: str
    prompt: str


@dataclass(frozen=True, slots=True)
class NextStepsProposed:
    """What the agent proposes to do next; it stands until an input is taken."""

    steps: tuple[NextStep, ...]
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class EgressRefused:
    """The environment asked for a host that its class does not allow."""

    host: str
    reason: str
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class HostAllowed:
    """Somebody allowed a host that had been refused: once, until the environment stops, or for its whole class.

    `by` is the principal's name.
    """

    host: str
    scope: Literal["once", "class"]
    by: str
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """The agent is idle."""

    turn: int
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class StopRequested:
    """Turn `turn`, and only that one, is to stop; `message` and `limit` say what is used up, where that is why."""

    turn: int
    message: str = ""
    limit: str = ""
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class Stopped:
    """The execution stopped; `failure`, `message` and `limit` (its name) say why when nobody asked for it."""

    turn: int
    failure: FailureReason = ""
    message: str = ""
    limit: str = ""
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class GroupGone:
    """No process of the execution is left in its environment."""

    turn: int
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class AnnotationsSet:
    """Annotations merged over the earlier ones; an empty value deletes its key."""

    values: Mapping[str, str]
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class Deleted:
    """The execution is to be removed; nobody sees it any more."""

    VERSION: ClassVar[int] = 1


PartEvent = (
    ModesEvent | JudgingEvent | MemoryEvent | InterestsEvent | FamilyEvent | ApprovalsEvent | McpEvent | ForgeEvent
)
"""Kinds that belong to one part of the state each."""

Event = (
    Started
    | EnvironmentReady
    | SupervisorLost
    | EnvironmentFailed
    | EnvironmentLost
    | InputQueued
    | InputMoved
    | InputDeleted
    | SteerRequested
    | InputTaken
    | InputDropped
    | TurnStarted
    | TurnAdopted
    | ModelCallStarted
    | ModelCallFailed
    | ModelReplied
    | ModelCallCut
    | ToolStarted
    | ToolFinished
    | OutputsSet
    | TodosSet
    | NextStepsProposed
    | EgressRefused
    | HostAllowed
    | TurnEnded
    | StopRequested
    | Stopped
    | GroupGone
    | AnnotationsSet
    | Deleted
    | AgentEvent
    | KeptEvent
    | PartEvent
)

KINDS: Mapping[str, type[Event]] = {cls.__name__: cls for cls in Event.__args__}
UPGRADES: Mapping[tuple[str, int], Callable[[Json], Json]] = {}
"""(kind, version) -> what turns a body of that version into one of the next."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event in its place in the log."""

    seq: int
    at: datetime
    event: Event


@cache
def _adapter(kind: str) -> TypeAdapter[Event]:
    return TypeAdapter(KINDS[kind])


def encode(event: Event) -> tuple[str, int, dict[str, Any]]:
    """Return (kind, version, JSON body) of an event."""
    kind = type(event).__name__
    return kind, event.VERSION, _adapter(kind).dump_python(event, mode="json")


def decode(kind: str, version: int, body: Json) -> Event:
    """Return the event, brought up to today's version; raises NewerRelease for a kind or version from the future."""
    if kind not in KINDS or version > KINDS[kind].VERSION:
        raise NewerRelease(f"the log holds an event {kind} version {version} of a newer release; upgrade Hostler first")
    for step in range(version, KINDS[kind].VERSION):
        body = UPGRADES[kind, step](body)
    return _adapter(kind).validate_python(body)
