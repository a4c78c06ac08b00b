"""The protocols between the pure middle and the world, each with its promises; every one has a conformance suite.

Machines and environments have a file of their own, `machines.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, Protocol

from hostler.core.conversation import Delta, ModelReply, ModelRequest
from hostler.core.events import Agent, Event, Json, Recorded
from hostler.core.roles import Role, Scope, least
from hostler.core.spending import Key, Spent

# --- the store -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Position:
    """Where a decision was made: the owner's fence and the last event's seq."""

    fence: int
    seq: int


@dataclass(frozen=True, slots=True)
class Fact:
    """The result of an effect; appending the same (effect, kind of event) again is a no-op."""

    effect: str
    event: Event


@dataclass(frozen=True, slots=True)
class Projection:
    """What the store keeps beside the log, in the same commit: columns for lists and the cached view."""

    phase: str
    turn: int
    busy: bool
    due_at: datetime | None
    agent_id: str
    environment_ids: tuple[str, ...]
    project_id: str
    creator_id: str
    session_id: str
    role: str
    annotations: Mapping[str, str]
    view: Mapping[str, Any]
    standing: str = "done"
    """Whose turn it is, for lists: needs, working or done."""
    words: str = ""
    """What a search looks through, case folded."""
    spent: Mapping[Key, Spent] = field(default_factory=dict[Key, Spent])


@dataclass(frozen=True, slots=True)
class Row:
    """An execution as lists know it; `owner` is a runner's incarnation or empty, `view` the cached projection."""

    id: str
    runner: str
    owner: str
    fence: int
    attempts: int
    last_seq: int
    phase: str
    turn: int
    busy: bool
    due_at: datetime | None
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None
    view: Mapping[str, Any]

    @property
    def position(self) -> Position:
        """Return where the log stands."""
        return Position(self.fence, self.last_seq)


@dataclass(frozen=True, slots=True)
class Idempotency:
    """A caller's key for a start: the same key and body within 24 hours answer the first execution."""

    principal: str
    key: str
    body_sha256: str


@dataclass(frozen=True, slots=True)
class Appended:
    """What an append did: `recorded` are the new events in order; `decided` is False when only the facts were kept.

    `state` is what the whole log folds to after it, where the store had to fold it.
    """

    position: Position
    recorded: tuple[Recorded, ...]
    decided: bool
    state: object = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ExecutionQuery:
    """Filters of a list; an empty one matches everything, annotations must all match."""

    agent_ids: Sequence[str] = ()
    project_ids: Sequence[str] = ()
    environment_ids: Sequence[str] = ()
    creator_ids: Sequence[str] = ()
    phases: Sequence[str] = ()
    roles: Sequence[str] = ()
    session_ids: Sequence[str] = ()
    execution_ids: Sequence[str] = ()
    annotations: Mapping[str, str] = field(default_factory=dict[str, str])
    standings: Sequence[str] = ()
    words: str = ""
    """A part of name, description or repository, in any case, or the beginning of an id."""


PRESENT = "*"
"""Stands for the incarnation that an execution's runner has at the commit."""


class Executions(Protocol):
    """The log and the row of every execution."""

    async def create(
        self, execution: str, runner: str, events: Sequence[Event], at: datetime, once: Idempotency | None = None
    ) -> tuple[str, bool]:
        """Write a new execution with its first events, in one commit; return (its id, whether it is new).

        A known key with the same body returns the first id and writes nothing; with another body AlreadyExists.
        """
        ...

    async def append(
        self,
        execution: str,
        position: Position,
        at: datetime,
        *,
        facts: Sequence[Fact] = (),
        decisions: Sequence[Event] = (),
        own: str | None = None,
        new_fence: bool = False,
        progress: bool = False,
    ) -> Appended:
        """Append facts, then decisions, in one commit, with the projection of the log as it then is.

        Facts need the fence only: at another fence nothing is written and StaleFence is raised. Decisions also need
        `position.seq` to be the last one (facts of the same append apart); otherwise the facts are kept, `decided`
        is False and, if there were no facts at all, Conflict is raised. A fact already in the log is left out of
        `recorded` and does not count as growth. `own` sets the owner, `new_fence` raises the fence by one together
        with the decisions (so a lost decision leaves both alone; alone they are a decision themselves), `progress`
        sets attempts to 0. StaleFence when `own` is not the present incarnation of the execution's runner; PRESENT
        stands for that incarnation, whichever it is at the commit.
        NotFound for an unknown or purged execution.
        """
        ...

    async def claim(self, execution: str, seen_fence: int, owner: str) -> Position | None:
        """Take the execution: fence + 1, this owner, attempts + 1; None when the fence is not `seen_fence` any more.

        StaleFence when `owner` is not the present incarnation of the execution's runner, NotFound for an unknown id.
        """
        ...

    async def read(self, execution: str, after: int = 0, limit: int = 0) -> tuple[Recorded, ...]:
        """Return the events behind seq `after` in order, all of them when `limit` is 0."""
        ...

    def head(self, execution: str) -> int | None:
        """Return the seq of the last event as far as this process has heard; None when it can only be read.

        Every append of this process is heard before its caller goes on and before a watch tells of it; that of
        another process may be on its way.
        """
        ...

    async def row(self, execution: str) -> Row | None:
        """Return the row, also of a deleted execution; None when there is none."""
        ...

    async def find(self, query: ExecutionQuery, before: str = "", limit: int = 25) -> tuple[Row, ...]:
        """Return rows that are not deleted, newest first, ids below `before` when it is given."""
        ...

    async def count(self, query: ExecutionQuery, most: int) -> int:
        """Return how many rows `find` would find, but never more than `most`, so that counting stays cheap."""
        ...

    async def with_prefix(self, prefix: str, limit: int = 2, creator: str = "") -> tuple[Row, ...]:
        """Return rows, not deleted, whose id begins with `prefix`; with `creator` only those of one person."""
        ...

    async def busy(self, runner: str) -> tuple[Row, ...]:
        """Return the runner's rows that have something to do (deleted ones too), oldest first."""
        ...

    async def purge(self, execution: str) -> None:
        """Remove every trace of an execution; repeating it is fine."""
        ...

    def watch(self, execution: str | None = None) -> AbstractAsyncContextManager["Watch"]:
        """Watch one execution, or all of them: from entering on, no commit is missed."""
        ...


EVERYTHING = "*"
"""Stands among the ids that a watch of everything returns when changes may have been missed: look at all again."""


class Watch(Protocol):
    """Says "look again"; signals carry no data but the ids and may come together."""

    async def changed(self, timeout: float) -> frozenset[str]:
        """Return the ids of executions and environments that changed; empty after `timeout` seconds of quiet."""
        ...


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls: a user or a service account of the one organization; who is suspended may do nothing."""

    id: str
    kind: Literal["user", "service_account"]
    name: str
    role: Role = "run"
    suspended: bool = False
    until: datetime | None = None
    """From when on it is let in no more."""

    @property
    def admin(self) -> bool:
        """Return whether everything may be done."""
        return self.role == "admin"


@dataclass(frozen=True, slots=True)
class ApiToken:
    """What is kept of an API token: never the token, only its sha256."""

    id: str
    sha256: str
    principal: Principal
    name: str
    scope: Scope
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = None
    creator_id: str = ""
    """Who made it; empty where that is not known."""
    purpose: Literal["", "sign_in"] = ""
    """`sign_in`: nobody has its text, a browser rests on it."""

    @property
    def ends_at(self) -> datetime | None:
        """Return when it, or whom it belongs to, is let in no more."""
        return min((at for at in (self.expires_at, self.principal.until) if at is not None), default=None)

    @property
    def bearer(self) -> Principal:
        """Return whoever shows it, with no more than the token's scope."""
        return replace(self.principal, role=least(self.principal.role, self.scope))

    def holds(self, now: datetime) -> bool:
        """Return whether it lets anybody in: it has not expired, and nobody suspended whom it belongs to."""
        return not self.principal.suspended and (self.ends_at is None or now < self.ends_at)


class Tokens(Protocol):
    """API tokens and the principals behind them."""

    async def add(self, token: ApiToken) -> None:
        """Keep a token, and its principal if it is new."""
        ...

    async def by_sha256(self, sha256: str) -> ApiToken | None:
        """Return the token with this hash, expired or not."""
        ...

    async def find(self, of: str = "") -> tuple[ApiToken, ...]:
        """Return all tokens, or those of one principal, newest first."""
        ...

    async def used(self, token: str, at: datetime) -> None:
        """Note when a token was used; one that is gone meanwhile is let alone."""
        ...

    async def revoke(self, token: str) -> bool:
        """Remove a token by id; return whether it was there."""
        ...


@dataclass(frozen=True, slots=True)
class EnvironmentRow:
    """An environment as we keep it; `spec`, `handle` and `status` are JSON of the engine's own making.

    `phase` is creating, starting, running, stopping, stopped, deleting or deleted; `version` rises with every write.
    """

    id: str
    runner: str
    phase: str
    version: int
    class_id: str
    name: str
    creator_id: str
    created_at: datetime
    last_used_at: datetime
    spec: Mapping[str, Any]
    handle: Mapping[str, Any] | None
    status: Mapping[str, Any]
    owner_execution: str = ""


class EnvironmentRows(Protocol):
    """The rows of environments and who uses them."""

    async def save(self, row: EnvironmentRow) -> EnvironmentRow:
        """Write a row whose `version` is the one that was read (0 = new); return it with the next version.

        Conflict when somebody else wrote it meanwhile.
        """
        ...

    async def get(self, environment: str) -> EnvironmentRow | None:
        """Return a row."""
        ...

    async def find(
        self, *, runner: str = "", phases: Sequence[str] = (), before: str = "", limit: int = 0, creator: str = ""
    ) -> tuple[EnvironmentRow, ...]:
        """Return rows, newest first, ids below `before` when given, all of them when `limit` is 0."""
        ...

    async def remove(self, environment: str) -> None:
        """Remove a row and its uses; repeating it is fine."""
        ...

    async def use(self, environment: str, execution: str, since: datetime) -> None:
        """Note that an execution uses an environment; repeating it is fine, the first time raises the row's version.

        NotFound without the row, FailedPrecondition when a new use meets the phase deleting or deleted.
        """
        ...

    async def release(self, environment: str, execution: str) -> None:
        """Note that it does not any more; raises the row's version if it did."""
        ...

    async def users(self, environment: str) -> tuple[str, ...]:
        """Return the executions that use an environment."""
        ...


# --- the model -------------------------------------------------------------------------------------------------

OF_DRIVERS: Mapping[str, tuple[str, ...]] = {"codex": ("FAST_SERVICE_TIER", "GOAL_MODE")}
"""Capabilities that an agent brings itself, whatever Hostler's own model layer can do."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is known of a model: `name` is PROVIDER:NAME, `context_window` in tokens (0 = unknown).

    `supported` is the contract's name for it, `disabled` are the contract's capabilities that it does not offer here.
    """

    name: str
    context_window: int = 0
    vision: bool = True
    scripted: bool = False
    supported: str = "SUPPORTED_MODEL_UNSPECIFIED"
    disabled: tuple[str, ...] = ("WEB_SEARCH", "FAST_SERVICE_TIER", "SERVER_SIDE_TOOL_SEARCH", "GOAL_MODE")

    def given_to(self, agent: Agent) -> Agent:
        """Return the agent with this model."""
        return replace(
            agent,
            model=self.name,
            context_window=self.context_window,
            supported_model=self.supported,
            disabled_capabilities=tuple(name for name in self.disabled if name not in OF_DRIVERS.get(agent.driver, ())),
        )


class Model(Protocol):
    """One model of one provider."""

    @property
    def info(self) -> ModelInfo:
        """Return what is known of it without a call."""
        ...

    async def call(self, request: ModelRequest, on_delta: Callable[[Delta], None]) -> ModelReply:
        """Make one streamed call; deltas are hints, the reply is the record.

        ModelUnavailable when another try may help (rate limit, 5xx, broken stream), ModelRefused when not. Cancelling
        the task closes the connection at once.
        """
        ...


class Models(Protocol):
    """The registry of models."""

    def get(self, name: str) -> Model:
        """Return the model PROVIDER:NAME; FailedPrecondition with the reason when it is not configured."""
        ...

    async def prepare(self, name: str) -> Model:
        """Return the same without holding up the event loop while the provider's library is loaded."""
        ...


# --- the dispatcher ---------------------------------------------------------------------------------------------


class Dispatch(Protocol):
    """Wakes the owner of an execution. It carries no data, and a nudge may be lost or doubled without harm."""

    async def nudge(self, execution: str, runner: str, at: datetime | None = None) -> None:
        """Ask the runner to look at an execution now, or at `at`."""
        ...

    async def start(self, look: Callable[[str], None]) -> None:
        """Begin to call `look(execution)` for every nudge to this process."""
        ...

    async def stop(self) -> None:
        """Stop calling; nudges that have not been delivered may be dropped."""
        ...


# --- live text --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpenBlock:
    """A block of text that is still being said: `sequence` numbers its pieces from 1, `text` is all said so far."""

    block: str
    call_id: str
    part: int
    kind: Literal["text", "thinking"]
    sequence: int
    text: str


# --- blobs ------------------------------------------------------------------------------------------------------


class Blobs(Protocol):
    """Large bytes by their sha256, beside the log."""

    async def put(self, execution: str, data: bytes) -> str:
        """Keep bytes for an execution and return their sha256 in hex; repeating it is fine."""
        ...

    async def get(self, sha256: str, execution: str = "") -> bytes | None:
        """Return the bytes, with `execution` only if that one names them; None when there are none."""
        ...

    async def purge(self, execution: str) -> None:
        """Remove the blobs that only this execution names."""
        ...


Carried = Json
