"""What is known of an execution: a fold over its log, and nothing else."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from hostler.core import agent_events as ae
from hostler.core import approvals, family, forge, interests, judging, mcp, memory, modes
from hostler.core import events as ev
from hostler.core.approvals import Approvals
from hostler.core.changing import changed as replace
from hostler.core.conversation import ToolCall, Usage
from hostler.core.egress import covers
from hostler.core.events import Event, Recorded
from hostler.core.external import External, adopted, evolve_agent, gone, taken
from hostler.core.family import Family
from hostler.core.forge import Forge
from hostler.core.goals import spent
from hostler.core.interests import Interests
from hostler.core.interests_events import InterestsRegistered
from hostler.core.judging import Judging
from hostler.core.judging_events import Judged, JudgementFailed
from hostler.core.kept import Kept, KeptEvent, WorkApplied, WorkKept, WorkNotKept, WorkRestored
from hostler.core.mcp import Mcp
from hostler.core.memory import Memory
from hostler.core.memory_events import ContextCleared, ContextCompacted, ShellStarted
from hostler.core.modes import Modes
from hostler.core.phases import Phase, check
from hostler.core.spending import Spending

MAX_HOSTS = 50
"""Refused hosts that are shown; an agent may try any number."""
InputState = Literal["queued", "taken", "deleted", "dropped"]


@dataclass(frozen=True, slots=True)
class Environment:
    """The execution's environment as its log knows it; `ready` is asked again at every turn and adoption."""

    id: str = ""
    owned: bool = False
    ready: bool = False
    incarnation: str = ""
    base_commit: str = ""
    failed: str = ""
    read_only: bool = False
    """Whether a command can be kept from writing there."""


@dataclass(frozen=True, slots=True)
class Queued:
    """An input that waits; `seq` is where it came in."""

    id: str
    seq: int
    steer: bool = False


@dataclass(frozen=True, slots=True)
class InputRecord:
    """What became of an input."""

    digest: str
    state: InputState
    origin: ev.Origin = "user"


@dataclass(frozen=True, slots=True)
class OpenCall:
    """A model call without a reply: `retry_at` is set between a failure and the next try, `lost` when given up.

    `overflow` says that it was given up because the conversation is too long for the model.
    """

    id: str
    attempt: int = 0
    retry_at: datetime | None = None
    lost: str = ""
    overflow: bool = False


@dataclass(frozen=True, slots=True)
class OpenTool:
    """A tool call without a result; `incarnation` is set once it is started inside."""

    id: str
    name: str
    arguments: str
    started: bool = False
    incarnation: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the execution stopped by itself; `limit` names the limit that was reached."""

    reason: ev.FailureReason
    message: str
    limit: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """One execution. Durations are in seconds."""

    seq: int = 0
    phase: Phase = ""
    started: ev.Started | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    environment: Environment = Environment()
    turn: int = 0
    session: str = ""
    turn_since: datetime | None = None
    settled_at: datetime | None = None
    waiting_since: datetime | None = None
    queue: tuple[Queued, ...] = ()
    inputs: Mapping[str, InputRecord] = field(default_factory=dict[str, InputRecord])
    headline: str = ""
    call: OpenCall | None = None
    tools: tuple[OpenTool, ...] = ()
    fresh: bool = False
    calls: int = 0
    iterations: int = 0
    usage: Usage = field(default_factory=Usage)
    spending: Spending = field(default_factory=Spending)
    context_length: int = 0
    ran: float = 0.0
    ran_since: datetime | None = None
    stop: int | None = None
    stop_seq: int = 0
    exhausted: Failure | None = None
    """What is used up, where a stop was asked for because of that."""
    dirty: bool = False
    killing: bool = False
    unkept: bool = False
    """Something ran inside since the work was kept last."""
    kept: Kept | None = None
    not_kept: str = ""
    """Why the last turn's work could not be kept."""
    losses: int = 0
    failure: Failure | None = None
    warning: str = ""
    notes: tuple[str, ...] = ()
    outputs: Mapping[str, ev.OutputScalar] = field(default_factory=dict[str, ev.OutputScalar])
    todos: tuple[ev.Todo, ...] = ()
    next_steps: tuple[ev.NextStep, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict[str, str])
    refused_hosts: tuple[str, ...] = ()
    hosts_allowed: int = 0
    """How often somebody allowed a host that had been refused."""
    spec_version: int = 0
    deleted: bool = False
    external: External = field(default_factory=External)
    modes: Modes = field(default_factory=Modes)
    judging: Judging = field(default_factory=Judging)
    memory: Memory = field(default_factory=Memory)
    interests: Interests = field(default_factory=Interests)
    family: Family = field(default_factory=Family)
    approvals: Approvals = field(default_factory=Approvals)
    mcp: Mcp = field(default_factory=Mcp)
    forge: Forge = field(default_factory=Forge)

    @property
    def begun(self) -> ev.Started:
        """Return the first event of the log."""
        assert self.started is not None, "a log begins with Started"
        return self.started

    @property
    def limits(self) -> ev.Limits:
        """Return the budget."""
        limits = self.family.limits or self.begun.agent.limits
        return dataclasses.replace(limits, **self.judging.limits) if self.judging.limits else limits


def unchanged(state: State) -> bool:
    """Return whether nothing that was ever done inside the environment would be missed, as far as is known."""
    return not (state.unkept or state.not_kept or (state.kept and state.kept.work.commit))


def fold(log: Iterable[Recorded], state: State | None = None) -> State:
    """Return the state after a log."""
    state = state or State()
    for recorded in log:
        state = evolve(state, recorded)
    return state


def evolve(state: State, recorded: Recorded) -> State:
    """Return the state after one more event; raises IllegalEvent when the life cycle has no such step."""
    event, at = recorded.event, recorded.at
    phase = check(state.phase, type(event).__name__)
    created, spending = state.created_at or at, state.spending.after(recorded)
    moved = replace(state, seq=recorded.seq, phase=phase, created_at=created, updated_at=at, spending=spending)
    after = _apply(moved, state, event, recorded)
    for name, follow in LISTENERS.get(type(event), ()):
        part = getattr(after, name)
        if (heard := follow(part, after, recorded)) is not part:
            after = replace(after, **{name: heard})
    return after


def _listeners() -> Mapping[type[Event], tuple[tuple[str, Callable[..., Any]], ...]]:
    found: dict[type[Event], tuple[tuple[str, Callable[..., Any]], ...]] = {}
    for part in (modes, judging, memory, interests, family, approvals, mcp, forge):
        for kind in part.HEARD:
            found[kind] = (*found.get(kind, ()), (part.__name__.rpartition(".")[2], part.follow))
    return found


LISTENERS = _listeners()
"""Kind of event -> the parts of the state that follow it, beside what the state itself knows of it."""


def _apply(s: State, before: State, event: Event, recorded: Recorded) -> State:
    """Split the kinds over the four rooms of the state: life, environment, queue, step; parts listen for themselves."""
    if isinstance(event, ev.PartEvent):
        return _part(s, event)
    match event:
        case ev.Started() | ev.TurnStarted() | ev.TurnAdopted() | ev.TurnEnded() | ev.StopRequested() | ev.Stopped():
            return _life(s, before, event, recorded)
        case ev.EnvironmentReady() | ev.SupervisorLost() | ev.EnvironmentFailed() | ev.EnvironmentLost():
            return _environment(s, event)
        case ev.InputQueued() | ev.InputMoved() | ev.InputDeleted() | ev.SteerRequested():
            return _queue(s, event)
        case ev.InputTaken() | ev.InputDropped():
            return _unqueue(s, event)
        case ev.ModelCallStarted() | ev.ModelCallFailed() | ev.ModelReplied() | ev.ToolStarted() | ev.ToolFinished():
            return _step(s, event)
        case ev.ModelCallCut():
            return s
        case ev.GroupGone():
            return replace(s, dirty=False, killing=False)
        case ev.OutputsSet(values):
            return replace(s, outputs={**s.outputs, **values})
        case ev.TodosSet(todos):
            return replace(s, todos=todos)
        case ev.NextStepsProposed(steps):
            return replace(s, next_steps=steps)
        case ev.AnnotationsSet(values):
            return replace(s, annotations=annotated(s.annotations, values))
        case ev.EgressRefused(host):
            known = host in s.refused_hosts or len(s.refused_hosts) >= MAX_HOSTS
            return s if known else replace(s, refused_hosts=(*s.refused_hosts, host))
        case ev.HostAllowed(host):
            left = tuple(refused for refused in s.refused_hosts if not covers(host, refused))
            return replace(s, refused_hosts=left, hosts_allowed=s.hosts_allowed + 1)
        case ev.Deleted():
            return replace(s, deleted=True)
        case WorkKept() | WorkNotKept() | WorkApplied() | WorkRestored():
            return _work(s, event, recorded.at)
        case _:
            return _agent(s, event, recorded.at)


def _part(s: State, event: ev.PartEvent) -> State:
    """Return what the state itself knows after an event of one of its parts."""
    match event:
        case ContextCompacted(tokens=tokens, model=model, usage=usage):
            lost = s.call is not None and s.call.overflow
            over = replace(s, call=None, fresh=True) if lost else s
            external = replace(s.external, compact="")
            counted = replace(over, external=external, context_length=tokens, usage=s.usage + usage)
            return replace(counted, iterations=s.iterations + bool(model))
        case Judged(usage=usage):
            return replace(s, usage=s.usage + usage, iterations=s.iterations + 1)
        case JudgementFailed(_, message):
            return replace(s, warning=f"there is no verdict: {message}")
        case ContextCleared():
            return replace(s, context_length=0)
        case ShellStarted():
            return replace(s, dirty=True, unkept=True)
        case InterestsRegistered() if s.begun.agent.driver == "builtin":
            return replace(s, fresh=False)  # The model is called when it is woken.
        case _:
            return s


def annotated(known: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    """Return annotations after a change, in which an empty value deletes its key."""
    return {key: value for key, value in {**known, **values}.items() if value or key not in values}


def _life(
    s: State,
    before: State,
    event: ev.Started | ev.TurnStarted | ev.TurnAdopted | ev.TurnEnded | ev.StopRequested | ev.Stopped,
    recorded: Recorded,
) -> State:
    at = recorded.at
    match event:
        case ev.Started():
            return replace(
                s,
                started=event,
                environment=Environment(event.environment_id, event.owns_environment),
                annotations=dict(event.request.get("annotations", {})),
                spec_version=1,
            )
        case ev.TurnStarted(turn, session, settle):
            ready = before.phase == "PENDING" and s.environment.ready
            return replace(
                s,
                turn=turn,
                session=session,
                turn_since=at,
                settled_at=at + timedelta(seconds=settle),
                waiting_since=None,
                ran_since=at,
                stop=None,
                failure=None,
                losses=0,
                warning="",
                environment=replace(s.environment, ready=ready, failed=""),
                spec_version=s.spec_version + (before.phase == "STOPPED"),
            )
        case ev.TurnAdopted(session, alive_until):
            signs = [sign for sign in (alive_until, before.updated_at) if sign]
            last = min(at, max(signs)) if signs else None
            rested = _rest(s, last) if last else s
            environment = replace(s.environment, ready=False)
            external = adopted(s.external)
            return replace(rested, session=session, ran_since=at, environment=environment, external=external)
        case ev.TurnEnded():
            return replace(_rest(s, at), waiting_since=at, turn_since=None)
        case ev.StopRequested(turn, message, limit):
            why = Failure("agent_execution", message, limit) if message else None
            return replace(s, stop=turn, stop_seq=recorded.seq, exhausted=why)
        case ev.Stopped(_, failure, message, limit):
            why = Failure(failure, message, limit) if failure else None
            rested = replace(
                _rest(s, at), failure=why, warning="", stop=None, exhausted=None, waiting_since=None, turn_since=None
            )
            rested = replace(rested, spec_version=s.spec_version + 1)
            external = _released(s.external, failed=bool(failure))
            return replace(rested, call=None, tools=(), fresh=False, killing=s.dirty, external=external)


def _released(x: External, *, failed: bool) -> External:
    """Return what is known of an agent when its execution stops: a stop means the work it was given, a failure not."""
    over = replace(gone(x), fault=None, deaths=0, falls=0, compact="", change=None, change_id="")
    return over if failed else replace(over, cut=False, given=())


def _agent(s: State, event: ae.AgentEvent, at: datetime) -> State:
    external = evolve_agent(s.external, event, at)
    match event:
        case ae.AgentStarting():
            return replace(s, external=external, dirty=True, unkept=True)
        case ae.AgentCallFinished(_, usage):
            return replace(
                s, external=external, usage=s.usage + usage, iterations=s.iterations + 1, losses=0, warning=""
            )
        case ae.AgentTurnBegan():
            return replace(s, external=external, unkept=True)
        case ae.QuestionsAsked() if s.begun.agent.driver == "builtin":
            return replace(s, external=external, fresh=False)  # The model is called when there is an answer.
        case ae.GoalChanged(goal) if s.begun.agent.driver == "builtin":
            over = goal is not None and goal.status == "budget_exhausted"
            return replace(s, external=external, fresh=s.fresh and not over)
        case ae.ContextMeasured(length):
            return replace(s, external=external, context_length=length)
        case _:
            return replace(s, external=external)


def _rest(s: State, at: datetime) -> State:
    """Stop the clock that counts time in RUNNING."""
    if s.ran_since is None:
        return s
    return replace(s, ran=s.ran + max(0.0, (at - s.ran_since).total_seconds()), ran_since=None)


def _work(s: State, event: KeptEvent, at: datetime) -> State:
    match event:
        case WorkKept():
            applied = s.kept.applied if s.kept and s.kept.work.commit == event.commit else False
            return replace(s, unkept=False, kept=Kept(event, at, applied), not_kept="")
        case WorkNotKept(_, reason):
            return replace(s, unkept=False, not_kept=reason)
        case WorkApplied(commit):
            same = s.kept is not None and s.kept.work.commit == commit
            return replace(s, kept=replace(s.kept, applied=True)) if s.kept and same else s
        case WorkRestored(environment_id):
            fresh = Environment(environment_id, owned=True)
            return replace(s, environment=fresh, external=gone(s.external), dirty=False, killing=False, unkept=False)


def _environment(
    s: State, event: ev.EnvironmentReady | ev.SupervisorLost | ev.EnvironmentFailed | ev.EnvironmentLost
) -> State:
    match event:
        case ev.EnvironmentReady(id_, incarnation, base, notes, read_only=able):
            base = base or s.environment.base_commit
            ready = replace(s.environment, id=id_, ready=True, incarnation=incarnation, base_commit=base, failed="")
            ready = replace(ready, read_only=able)
            return replace(s, environment=ready, notes=notes or s.notes)
        case ev.SupervisorLost(incarnation):
            if incarnation != s.environment.incarnation or not s.environment.ready:
                return s  # Everybody who was there tells of one loss.
            return replace(s, environment=replace(s.environment, ready=False), losses=s.losses + 1)
        case ev.EnvironmentFailed(message) | ev.EnvironmentLost(message):
            return replace(s, environment=replace(s.environment, ready=False, failed=message))


def _queue(s: State, event: ev.InputQueued | ev.InputMoved | ev.InputDeleted | ev.SteerRequested) -> State:
    match event:
        case ev.InputQueued(input_id, _, digest, origin, local=local) if local:
            return replace(s, inputs={**s.inputs, input_id: InputRecord(digest, "taken", origin)})
        case ev.InputQueued(input_id, block, digest, origin):
            inputs = {**s.inputs, input_id: InputRecord(digest, "queued", origin)}
            headline = s.headline or first_line(block)
            return replace(s, inputs=inputs, queue=(*s.queue, Queued(input_id, s.seq)), headline=headline)
        case ev.InputMoved(input_id, before):
            one = next(q for q in s.queue if q.id == input_id)
            rest = [q for q in s.queue if q.id != input_id]
            at = next((i for i, q in enumerate(rest) if q.id == before), len(rest))
            return replace(s, queue=(*rest[:at], one, *rest[at:]))
        case ev.InputDeleted(input_id):
            return _gone(s, (input_id,), "deleted")
        case ev.SteerRequested(input_id):
            return replace(s, queue=tuple(replace(q, steer=q.steer or q.id == input_id) for q in s.queue))


def _unqueue(s: State, event: ev.InputTaken | ev.InputDropped) -> State:
    match event:
        case ev.InputTaken(input_ids):
            steered = frozenset(q.id for q in s.queue if q.steer)
            left = replace(_gone(s, input_ids, "taken"), next_steps=())
            if s.begun.agent.driver == "builtin":
                return replace(left, fresh=True)
            return replace(left, external=taken(s.external, input_ids, steered))
        case ev.InputDropped(input_id):
            return _gone(s, (input_id,), "dropped")


def _gone(s: State, input_ids: tuple[str, ...], state: InputState) -> State:
    inputs = {**s.inputs, **{i: replace(s.inputs[i], state=state) for i in input_ids}}
    return replace(s, inputs=inputs, queue=tuple(q for q in s.queue if q.id not in input_ids))


def _step(
    s: State, event: ev.ModelCallStarted | ev.ModelCallFailed | ev.ModelReplied | ev.ToolStarted | ev.ToolFinished
) -> State:
    match event:
        case ev.ModelCallStarted(call_id):
            return replace(s, call=OpenCall(call_id), calls=s.calls + 1, fresh=False)
        case ev.ModelCallFailed(call_id, message, retry_at, overflow):
            attempt = s.call.attempt + 1 if s.call else 1
            lost = "" if retry_at else message
            return replace(
                s, call=OpenCall(call_id, attempt, retry_at, lost, overflow), warning="" if lost else message
            )
        case ev.ModelReplied(call_id, parts, usage):
            asked = [part for part in parts if isinstance(part, ToolCall)]
            return replace(
                s,
                call=None,
                tools=tuple(OpenTool(f"{call_id}.{n}", c.name, c.arguments) for n, c in enumerate(asked)),
                iterations=s.iterations + 1,
                usage=s.usage + usage,
                context_length=usage.whole_input,
                external=spent(s.external, usage, s.updated_at, s.turn_since) if s.updated_at else s.external,
                losses=0,
                warning="",
            )
        case ev.ToolStarted(call_id, _, _, incarnation):
            started = (replace(t, started=True, incarnation=incarnation) if t.id == call_id else t for t in s.tools)
            inside = bool(incarnation)
            return replace(s, tools=tuple(started), dirty=s.dirty or inside, unkept=s.unkept or inside)
        case ev.ToolFinished(call_id):
            asked = any(step_of(ask.ask) == step_of(call_id) for ask in s.external.asks)
            fresh = not (asked or s.interests.resting)
            return replace(s, tools=tuple(t for t in s.tools if t.id != call_id), fresh=fresh, losses=0)


def step_of(call_id: str) -> str:
    """Return the model call that a tool call belongs to."""
    return call_id.rpartition(".")[0]


def first_line(block: ev.Json) -> str:
    """Return the first line of an input's text, cut to 100 characters; empty when it has none."""
    text = block.get("text") or next((i["text"] for i in block.get("inputs", ()) if "text" in i), None)
    said = str(text["content"]) if text else str(block.get("payload", ""))
    line = next((line.strip() for line in said.splitlines() if line.strip()), "")
    return line if len(line) <= 100 else line[:99] + "…"
