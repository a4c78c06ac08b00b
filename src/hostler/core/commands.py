"""What people and programs ask of an execution, and the one place that answers: `decide(state, command)`.

A decision is a tuple of events to append at the state's position, or a refusal (a RequestError) that changes nothing.
An empty tuple means that what was asked is so already.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from hostler.core import agent_events as ae
from hostler.core import (
    approvals_plan,
    approving,
    family_commands,
    forge_plan,
    interests_plan,
    losing,
    memory_plan,
    modes_plan,
    waking,
)
from hostler.core import events as ev
from hostler.core.agents import GoalChange
from hostler.core.approving import DenyLate
from hostler.core.egress import Until, covers
from hostler.core.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted
from hostler.core.events import Event
from hostler.core.family_commands import GrantShare, HearChild
from hostler.core.goals import after
from hostler.core.judging_events import Condition, ConditionsSet, LimitsSet
from hostler.core.kept import WorkApplied, WorkRestored
from hostler.core.limits import reached
from hostler.core.memory_events import Answered, ContextCleared
from hostler.core.plan import NOT_STARTED_TEXT, Session
from hostler.core.state import State, annotated
from hostler.core.waking import CancelWaits, GiveUp, Wake

MAX_QUEUE = 1000
MAX_OUTPUTS = 100
MAX_SHELLS = 20
"""Commands that people typed and that run at once."""
MAX_ANNOTATIONS = 64


@dataclass(frozen=True, slots=True)
class Send:
    """Queue an input and start a turn where none runs; `digest` makes a repeated id idempotent."""

    input_id: str
    block: ev.Json
    digest: str
    origin: ev.Origin = "user"
    settings: ev.Json | None = None
    expansion: str = ""
    """What the agent hears instead of the text; for `local` bundle, what is answered."""
    local: ev.Local = ""
    modes: tuple[str, ...] = ()
    """Modes of the turn that takes it."""


@dataclass(frozen=True, slots=True)
class Compact:
    """Compact the agent's context now; `request` is a new id."""

    request: str


@dataclass(frozen=True, slots=True)
class ChangeGoal:
    """Set, pause, resume, complete or clear the goal; `request` is a new id."""

    request: str
    change: GoalChange


@dataclass(frozen=True, slots=True)
class DeleteInput:
    """Take a queued input back."""

    input_id: str


@dataclass(frozen=True, slots=True)
class MoveInput:
    """Put a queued input before another one, or at the end when `before` is empty."""

    input_id: str
    before: str = ""


@dataclass(frozen=True, slots=True)
class SteerInput:
    """Let a queued input join before the next model call."""

    input_id: str


@dataclass(frozen=True, slots=True)
class EditInput:
    """Put an input that says something else in the place of a queued one, all or nothing."""

    input_id: str
    new: Send


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop the turn that runs now."""


@dataclass(frozen=True, slots=True)
class Exhaust:
    """Stop the turn that runs now because something that it may use is used up; `limit` names that."""

    limit: str
    message: str


@dataclass(frozen=True, slots=True)
class Delete:
    """Stop and remove the execution."""


@dataclass(frozen=True, slots=True)
class Annotate:
    """Merge annotations; an empty value deletes its key."""

    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SetTerms:
    """Set the loop conditions (None leaves them), and limits by name; those that are not named stay."""

    conditions: tuple[Condition, ...] | None
    limits: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class ReportOutputs:
    """Merge typed outputs."""

    values: Mapping[str, ev.OutputScalar]


@dataclass(frozen=True, slots=True)
class ReportApplied:
    """Note that kept work was brought into somebody's repository; of work that is not the last one, nothing."""

    commit: str


@dataclass(frozen=True, slots=True)
class ReportHostAllowed:
    """Note that a host was allowed; nothing where it was not refused. `by` is the principal's name."""

    host: str
    scope: Until
    by: str


@dataclass(frozen=True, slots=True)
class ReportCredential:
    """Note that there is a credential for a host that had asked for one, and go on; nothing where it had not."""

    host: str


@dataclass(frozen=True, slots=True)
class Restore:
    """Go on in a new environment, made from what was kept of a turn."""

    environment_id: str
    turn: int
    commit: str


@dataclass(frozen=True, slots=True)
class LoseEnvironment:
    """Note that the environment is gone with its runner, and everything that ran in it."""

    environment_id: str
    message: str


Inputs = Send | DeleteInput | MoveInput | SteerInput | EditInput
Reports = SetTerms | ReportOutputs | ReportApplied | ReportHostAllowed | ReportCredential
Waits = Wake | GiveUp | CancelWaits
Relatives = HearChild | GrantShare
Command = (
    Inputs
    | Compact
    | ChangeGoal
    | Stop
    | Exhaust
    | Delete
    | Annotate
    | Reports
    | Restore
    | LoseEnvironment
    | Waits
    | Relatives
    | DenyLate
)


def decide(state: State, command: Command, session: Session) -> tuple[Event, ...]:
    """Return the events that the command comes to; raises a RequestError and changes nothing when it is refused."""
    if state.deleted:
        raise NotFound("there is no such agent execution", field="agent_execution_id")
    match command:
        case Send():
            return _send(state, command, session)
        case Compact(request):
            return _asked_of_agent(state, ae.CompactRequested(request), session)
        case ChangeGoal(request, change):
            return _change_goal(state, request, change, session)
        case DeleteInput(input_id):
            return (ev.InputDeleted(_queued(state, input_id)),)
        case MoveInput(input_id, before):
            return _move(state, _queued(state, input_id), before)
        case SteerInput(input_id):
            queued = _queued(state, input_id)
            return () if any(q.id == queued and q.steer for q in state.queue) else (ev.SteerRequested(queued),)
        case EditInput(input_id, new):
            return _edit(state, input_id, new, session)
        case Stop():
            return _stop(state)
        case Exhaust(limit, message):
            stoppable = state.phase == "RUNNING" and state.stop is None
            return (ev.StopRequested(state.turn, message, limit),) if stoppable else ()
        case Delete():
            return (ev.Deleted(), *_stop(state))
        case Annotate(values):
            return _annotate(state, values)
        case SetTerms(conditions, limits):
            return _set_terms(state, conditions, limits)
        case ReportOutputs(values):
            return _report(state, values)
        case ReportApplied(commit):
            last = state.kept if state.kept and state.kept.work.commit == commit else None
            return (WorkApplied(commit),) if last and not last.applied else ()
        case ReportHostAllowed(host, scope, by):
            refused = any(covers(host, one) for one in state.refused_hosts)
            return (ev.HostAllowed(host, scope, by),) if refused else ()
        case ReportCredential(host):
            return forge_plan.authenticated(state, host, session.incarnation, session.settle)
        case Restore():
            return _restore(state, command)
        case LoseEnvironment():
            return losing.lose(state, command.environment_id, command.message, session)
        case Wake():
            return waking.wake(state, command, session)
        case GiveUp():
            return waking.give_up(state, command, session)
        case CancelWaits():
            return waking.cancel(state, command)
        case HearChild():
            return family_commands.hear(state, command, session)
        case GrantShare():
            return family_commands.grant(state, command)
        case DenyLate():
            return approving.late(state, command, session)


def _restore(state: State, command: Restore) -> tuple[Event, ...]:
    if state.phase not in ("WAITING_FOR_INPUT", "STOPPED") or state.killing:
        raise FailedPrecondition("the execution is at work; stop it first")
    return (WorkRestored(command.environment_id, command.turn, command.commit),)


def _send(state: State, command: Send, session: Session) -> tuple[Event, ...]:
    if known := state.inputs.get(command.input_id):
        if known.digest == command.digest:
            return ()
        raise AlreadyExists("an input with this id and another content was sent before", field="user_input.id")
    if len(state.queue) >= MAX_QUEUE:
        raise ResourceExhausted(f"{MAX_QUEUE} inputs are queued already; delete some or wait", field="user_input")
    limit = reached(state)
    if state.phase == "STOPPED" and state.failure and state.failure.limit and limit:
        raise FailedPrecondition(limit.message)
    if command.local in ("clear", "bundle"):
        return _answered_here(state, command)
    if command.local == "shell" and len(state.memory.shells) >= MAX_SHELLS:
        raise ResourceExhausted(f"{MAX_SHELLS} typed commands run already; wait for one", field="user_input")
    queued = queued_by(command)
    starts = state.phase in ("WAITING_FOR_INPUT", "STOPPED") or (state.phase == "PENDING" and state.environment.ready)
    came = interests_plan.answered(state, command.block) if command.origin == "agent" else ()
    if not starts:
        return (*came, queued)
    return (*came, queued, ev.TurnStarted(state.turn + 1, session.incarnation, session.settle))


def queued_by(send: Send) -> ev.InputQueued:
    """Return the event that queues an input."""
    return ev.InputQueued(
        send.input_id,
        send.block,
        send.digest,
        send.origin,
        send.settings,
        send.modes,
        expansion=send.expansion,
        local=send.local,
    )


def _answered_here(state: State, send: Send) -> tuple[Event, ...]:
    """Do at once what needs neither the agent nor its environment: clear the context, or answer."""
    queued = replace(queued_by(send), expansion="")
    if send.local == "bundle":
        return (queued, Answered(send.input_id, send.expansion))
    if state.begun.agent.driver != "builtin":
        raise FailedPrecondition(f"agent {state.begun.agent.name} cannot clear its context; start a new one")
    if state.phase == "RUNNING" or state.tools:
        raise FailedPrecondition("the agent is at work; stop it, or wait until it rests, and clear the context then")
    return (queued, *(ae.QuestionsClosed(ask.ask) for ask in state.external.asks), ContextCleared("a person"))


def _change_goal(state: State, request: str, change: GoalChange, session: Session) -> tuple[Event, ...]:
    """Ask for another goal; all but `set` need one that is not completed (the contract leaves it open)."""
    goal = state.external.goal
    if change.action != "set" and goal is None:
        raise FailedPrecondition(f"there is no goal to {change.action}", field="control_input.goal")
    if goal and goal.status == "completed" and change.action in ("pause", "resume", "complete"):
        raise FailedPrecondition("the goal is completed already", field="control_input.goal")
    wish = ae.GoalRequested(request, change)
    if state.begun.agent.driver != "builtin":
        return _asked_of_agent(state, wish, session)
    goal = after(goal, change)
    events = (wish, ae.GoalChanged(goal, request))
    rests = state.phase in ("WAITING_FOR_INPUT", "STOPPED")
    if not rests or goal is None or goal.status != "active":
        return events
    limit = reached(state)
    if state.failure and state.failure.limit and limit:
        raise FailedPrecondition(limit.message)
    return (*events, ev.TurnStarted(state.turn + 1, session.incarnation, session.settle))


def _asked_of_agent(state: State, wish: ae.CompactRequested | ae.GoalRequested, session: Session) -> tuple[Event, ...]:
    """Ask something of an agent in the environment, which needs a running turn; the first one may begin with a goal."""
    builtin = state.begun.agent.driver == "builtin"
    empty = state.phase == "PENDING" or (builtin and state.phase != "RUNNING" and not state.memory.weight)
    if empty and isinstance(wish, ae.CompactRequested):
        raise FailedPrecondition("there is nothing to compact yet", field="control_input")
    if state.phase == "RUNNING" or (state.phase == "PENDING" and not state.environment.ready):
        return (wish,)
    limit = reached(state)
    if state.failure and state.failure.limit and limit:
        raise FailedPrecondition(limit.message)
    return (wish, ev.TurnStarted(state.turn + 1, session.incarnation, session.settle))


def _queued(state: State, input_id: str) -> str:
    known = state.inputs.get(input_id)
    if known is None:
        raise NotFound(f"no input {input_id!r} was sent to this execution", field="user_input_id")
    if known.state == "taken":
        raise FailedPrecondition(f"input {input_id!r} was already sent to the agent", field="user_input_id")
    if known.state != "queued":
        raise FailedPrecondition(f"input {input_id!r} was {known.state} and is not queued", field="user_input_id")
    return input_id


def _move(state: State, input_id: str, before: str) -> tuple[Event, ...]:
    order = [q.id for q in state.queue]
    if before and before not in order:
        raise NotFound(f"no input {before!r} is queued", field="before_user_input_id")
    after = order[order.index(input_id) + 1 : order.index(input_id) + 2]
    if before == input_id or (after == [before] if before else not after):
        return ()
    return (ev.InputMoved(input_id, before),)


def _edit(state: State, input_id: str, new: Send, session: Session) -> tuple[Event, ...]:
    """Replace a queued input where it stands; the new one joins the running turn if the old one was to.

    At rest only inputs are queued that a call's approval came before; the new one is the word on it.
    """
    if known := state.inputs.get(new.input_id):
        if known.digest == new.digest and input_id != new.input_id:
            return ()
        raise AlreadyExists("an input with this id was sent before; an edited one needs a new id", field="id")
    at = [q.id for q in state.queue].index(_queued(state, input_id))
    if (asked := state.modes.asked.get(input_id)) and not new.modes:
        new = replace(new, modes=asked.modes)
    after, rests = state.queue[at + 1 : at + 2], state.phase == "WAITING_FOR_INPUT"
    return (
        ev.InputDeleted(input_id),
        queued_by(new),
        *(ev.InputMoved(new.input_id, q.id) for q in after),
        *((ev.SteerRequested(new.input_id),) if state.queue[at].steer else ()),
        *((ev.TurnStarted(state.turn + 1, session.incarnation, session.settle),) if rests else ()),
    )


def _stop(state: State) -> tuple[Event, ...]:
    """Request a stop of the live turn; without one, the request and its outcome are one append."""
    if state.phase == "STOPPED" or state.stop is not None:
        return ()
    request = ev.StopRequested(state.turn)
    if state.phase == "RUNNING":
        return (request,)
    dropped = tuple(ev.InputDropped(q.id) for q in state.queue)
    waits = interests_plan.dropped(state, "the execution was stopped")
    typed = memory_plan.cut(state, "cancelled", NOT_STARTED_TEXT, NOT_STARTED_TEXT)
    typed = (*approvals_plan.cut(state, NOT_STARTED_TEXT), *typed)
    goal = modes_plan.ended(state, "paused")
    return (request, *typed, *dropped, *waits, *goal, ev.Stopped(state.turn))


def _annotate(state: State, values: Mapping[str, str]) -> tuple[Event, ...]:
    merged = annotated(state.annotations, values)
    if len(merged) > MAX_ANNOTATIONS:
        raise InvalidArgument(f"an execution has at most {MAX_ANNOTATIONS} annotations", field="metadata.annotations")
    return () if merged == dict(state.annotations) else (ev.AnnotationsSet(dict(values)),)


def _set_terms(
    state: State, conditions: tuple[Condition, ...] | None, limits: Mapping[str, float]
) -> tuple[Event, ...]:
    if limits and state.begun.parent:
        raise FailedPrecondition("the limits of a sub-agent are its share of its parent's", field="spec.limits")
    changed = conditions is not None and conditions != state.judging.conditions
    events: list[Event] = [ConditionsSet(conditions)] if changed and conditions is not None else []
    return (*events, *((LimitsSet(dict(limits)),) if limits else ()))


def _report(state: State, values: Mapping[str, ev.OutputScalar]) -> tuple[Event, ...]:
    if len({**state.outputs, **values}) > MAX_OUTPUTS:
        raise InvalidArgument(f"an execution has at most {MAX_OUTPUTS} outputs", field="outputs")
    for key, value in values.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise InvalidArgument("a number must be finite", field=f"outputs[{key}]")
    return (ev.OutputsSet(dict(values)),)
