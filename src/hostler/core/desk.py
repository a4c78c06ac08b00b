"""What the API asks of the engine: to start, to command, to read an execution, and to look after environments."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from hostler.core.commands import Command
from hostler.core.environment_log import LogEntry
from hostler.core.events import Agent, InputQueued, Json, Recorded
from hostler.core.family_events import Parent
from hostler.core.machines import Machine, Patch
from hostler.core.ports import EnvironmentRow, Idempotency, OpenBlock, Principal, Row
from hostler.core.providers import Source
from hostler.core.state import State


@dataclass(frozen=True, slots=True)
class AgentDefinition:
    """An agent as hostler.toml defines it; `agent` is what an execution keeps of it."""

    agent: Agent
    description: str
    initial_message: str = ""
    judgement_prompt: str = ""


class AgentDefinitions(Protocol):
    """The agents that can be started."""

    def default(self) -> AgentDefinition:
        """Return the agent that is meant when none is named."""
        ...

    def get(self, agent_id: str) -> AgentDefinition | None:
        """Return an agent by id."""
        ...

    def all(self) -> Sequence[AgentDefinition]:
        """Return every agent, the default first."""
        ...


@dataclass(frozen=True, slots=True)
class EnvironmentClass:
    """A size of environment, from the configuration; sizes in bytes, times in seconds."""

    id: str
    name: str
    description: str
    cpus: float
    memory_bytes: int
    disk_bytes: int
    processes: int
    idle_seconds: float
    allow: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    """Shell commands that are run once in every environment of the class, after its content is there."""
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    """Plain variables for every command inside."""


@dataclass(frozen=True, slots=True)
class SecretMount:
    """A secret of the user's own that is meant for the inside: in a variable, or in a file.

    Exactly one of `variable` and `path` is set; the value is in no row, log or transcript.
    """

    name: str
    value: str = field(repr=False)
    variable: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True)
class NewEnvironment:
    """An environment to be made: its class, what is brought into it, and what it was asked for with."""

    class_id: str
    source: Source
    name: str = ""
    request: Json | None = None
    """The request's own JSON, without secrets; its annotations and session are shown."""
    variables: Mapping[str, str] | None = None
    project_id: str = ""
    setup: tuple[str, ...] = ()
    """Shell commands of the project, run once after those of the class."""
    secrets: tuple[SecretMount, ...] = ()
    idle_seconds: float | None = None
    """After this long without use it stops by itself; None: as its class says, 0: never."""
    devcontainer: str = ""
    """Path of the devcontainer.json below the workspace; empty: where it usually is."""
    checkout: str = ""
    """Where below /workspaces the workspace is seen too."""
    running: bool = True
    """Whether it is to run; otherwise it is only made when it is started."""


@dataclass(frozen=True, slots=True)
class EnvironmentChange:
    """What is to be different about an environment; None leaves it as it is."""

    name: str | None = None
    class_id: str | None = None
    """Only while it is stopped."""
    idle_seconds: float | None = None
    """0: it never stops by itself."""
    variables: Mapping[str, str] | None = None
    """Added to its own; they are seen inside from its next start on."""
    request: Json | None = None
    """What the spec shows from now on, laid over the request's own JSON."""


@dataclass(frozen=True, slots=True)
class NewExecution:
    """An execution to be started, in an environment of its own or (by id) in one that exists."""

    request: Json
    agent: Agent
    environment: NewEnvironment | str
    creator: Principal
    session_id: str
    name: str = ""
    first_input: str = ""
    once: Idempotency | None = None
    id: str = ""
    """Its id, where that follows from who starts it; starting it again then does nothing."""
    parent: Parent | None = None
    inputs: tuple[InputQueued, ...] = ()
    """What it begins with, after the first input."""


Liveness = Literal["live", "waiting_for_slot", "recovering", "gone"]
"""live: an owner works on it; recovering: its owner is being replaced; gone: its runner is away."""


@dataclass(frozen=True, slots=True)
class Seen:
    """An execution as it is now; `row.view` is the projection of the log, `liveness` the truth about its owner."""

    row: Row
    liveness: Liveness


class Desk(Protocol):
    """The engine's front. Every method that changes something is atomic: it changes all of it or raises."""

    async def start(self, new: NewExecution) -> str:
        """Write the execution (and its environment) and wake its owner; return its id.

        NotFound for an unknown environment, FailedPrecondition for one that is being deleted, AlreadyExists for an
        idempotency key with another body, Unavailable while draining.
        """
        ...

    async def command(self, execution: str, command: Command) -> State:
        """Decide a command on the latest state, append what it comes to, wake the owner; return the state after it.

        RequestErrors of `decide`; NotFound when there is no such execution; Unavailable for a Send while draining.
        """
        ...

    async def seen(self, execution: str) -> Seen:
        """Return an execution; NotFound when there is none or it is deleted."""
        ...

    def liveness(self, row: Row) -> Liveness:
        """Return the truth about a row's owner."""
        ...

    async def log(self, execution: str, after: int = 0) -> tuple[Recorded, ...]:
        """Return the log behind a seq."""
        ...

    def open_blocks(self, execution: str) -> tuple[OpenBlock, ...]:
        """Return the text that is being said right now."""
        ...

    def pieces(self, execution: str) -> AsyncIterator[None]:
        """Yield whenever the text being said has grown; coalesced, in this process only."""
        ...


class EnvironmentDesk(Protocol):
    """The engine's front for environments.

    NotFound when there is none; what changes one that is being deleted is refused with FailedPrecondition.
    """

    async def create(self, new: NewEnvironment, creator: Principal) -> EnvironmentRow:
        """Write an environment and begin to make it."""
        ...

    async def get(self, environment: str) -> EnvironmentRow:
        """Return an environment, also one that is being deleted, until it is gone."""
        ...

    async def start(self, environment: str) -> EnvironmentRow:
        """Bring a stopped environment back; starting a running one changes nothing."""
        ...

    async def stop(self, environment: str) -> EnvironmentRow:
        """End every process of the environment and keep its files; FailedPrecondition while one runs in it."""
        ...

    async def delete(self, environment: str, *, force: bool) -> None:
        """Remove the environment; FailedPrecondition while an execution uses it, unless forced."""
        ...

    async def update(self, environment: str, change: EnvironmentChange) -> EnvironmentRow:
        """Change an environment; FailedPrecondition for a class while it is not stopped. It changes all or nothing."""
        ...

    async def archive(self, environment: str, *, archived: bool) -> EnvironmentRow:
        """Put an environment into the archive, stopped, or take it out again; repeating it changes nothing."""
        ...

    async def active(self, environment: str, source: str) -> None:
        """Note that somebody is at work in an environment, so that it does not stop as idle."""
        ...

    async def machine(self, environment: str) -> Machine:
        """Return the inside of a running environment (it is started when stopped)."""
        ...

    async def diff(self, environment: str) -> Patch:
        """Return what has changed in the workspace since it was made."""
        ...

    async def log(self, environment: str, after: int = 0, limit: int = 1000) -> Sequence[LogEntry]:
        """Return what happened in an environment, behind a seq."""
        ...

    def protections(self, row: EnvironmentRow) -> Sequence[Mapping[str, Any]]:
        """Return which limits hold in an environment, and by which means."""
        ...
