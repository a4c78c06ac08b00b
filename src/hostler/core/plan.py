"""What should happen now: `due` gives the decisions to append, `wanted` the effects that should be in flight.

Both are pure functions of the state. An effect is only ever wanted when its intent is in the log, so the engine is
`append due; run wanted` for ever, and recovery after a crash is the same two calls.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from hostler.core import agent_events as ae
from hostler.core import (
    approvals_plan,
    family_plan,
    forge_plan,
    interests_plan,
    judging_plan,
    mcp_plan,
    memory_plan,
    modes_plan,
)
from hostler.core import events as ev
from hostler.core.events import Event
from hostler.core.external_plan import (
    MAX_DEATHS,
    MAX_FALLS,
    AgentEffect,
    cut_agent,
    due_for_agent,
    idle_agent,
    lingering,
    pursues,
    wanted_of_agent,
)
from hostler.core.limits import reached, said
from hostler.core.mcp_servers import is_mcp
from hostler.core.state import OpenTool, State


@dataclass(frozen=True, slots=True)
class PrepareEnvironment:
    """Make or find the environment; ends in EnvironmentReady or EnvironmentFailed."""

    environment_id: str
    turn: int


@dataclass(frozen=True, slots=True)
class CallModel:
    """Call the model, not before `not_before`; ends in ModelReplied or ModelCallFailed."""

    call_id: str
    attempt: int
    not_before: datetime | None


@dataclass(frozen=True, slots=True)
class RunTool:
    """Run, or rejoin, a tool; ends in ToolFinished or SupervisorLost."""

    call_id: str
    name: str
    arguments: str
    incarnation: str


@dataclass(frozen=True, slots=True)
class EndTurn:
    """End the turn, not before `not_before`, unless an input came."""

    turn: int
    not_before: datetime


@dataclass(frozen=True, slots=True)
class EnforceTime:
    """Stop the turn when its execution's time in RUNNING is used up, at `not_before`."""

    turn: int
    not_before: datetime


@dataclass(frozen=True, slots=True)
class KillGroup:
    """End every process of the execution in its environment; ends in GroupGone."""

    turn: int


@dataclass(frozen=True, slots=True)
class KeepWork:
    """Keep the workspace's changes outside; ends in WorkKept or WorkNotKept, unless a new turn comes first."""

    turn: int


@dataclass(frozen=True, slots=True)
class Purge:
    """Remove the execution, and the environment that was made for it."""


PartEffect = (
    modes_plan.Effect
    | judging_plan.Effect
    | memory_plan.Effect
    | interests_plan.Effect
    | family_plan.Effect
    | approvals_plan.Effect
    | mcp_plan.Effect
    | forge_plan.Effect
)
Effect = (
    PrepareEnvironment
    | CallModel
    | RunTool
    | EndTurn
    | EnforceTime
    | KillGroup
    | KeepWork
    | Purge
    | AgentEffect
    | PartEffect
)
PARTS = (modes_plan, judging_plan, memory_plan, interests_plan, family_plan, approvals_plan, mcp_plan, forge_plan)
"""What each part of the state wants beside the turn itself."""

FOREVER = 10 * 365 * 86_400.0
"""Seconds; a time limit above it is as good as none."""
MAX_LOSSES = 4
"""Times in a row that the supervisor may be lost before any result comes."""
LOST_TEXT = f"The environment's supervisor was lost {MAX_LOSSES} times in a row; stop and start the environment."
STOPPED_TEXT = "This call was stopped before it finished. What it had done by then stands."
NOT_STARTED_TEXT = "This call was not started: the turn was stopped first."
UNKNOWN_TEXT = (
    "The outcome of this call is unknown: the environment's supervisor was lost while it ran. It may have taken "
    "effect in part or in whole; look before you repeat it."
)


@dataclass(frozen=True, slots=True)
class Session:
    """What a decision may need of its maker: the owner's incarnation and the settling time of a turn in seconds."""

    incarnation: str
    settle: float


def wanted(state: State) -> frozenset[Effect]:
    """Return every effect that should be in flight now."""
    return _wanted_of_turn(state).union(*(part.wanted(state) for part in PARTS))


def _wanted_of_turn(state: State) -> frozenset[Effect]:
    match state.phase:
        case "PENDING" if forge_plan.blocks(state):
            return frozenset()
        case "PENDING" if not state.environment.ready and state.stop is None:
            return frozenset({PrepareEnvironment(state.environment.id, state.turn)})
        case "RUNNING" if state.stop is None:
            return _wanted_in_turn(state)
        case "WAITING_FOR_INPUT":
            return lingering(state) | _wanted_of_work(state)
        case "STOPPED" if state.killing:
            return frozenset({KillGroup(state.turn)})
        case "STOPPED" if state.deleted:
            return frozenset() if family_plan.keeps(state) else frozenset({Purge()})
        case "STOPPED":
            return _wanted_of_work(state)
        case _:
            return frozenset()


def _wanted_of_work(state: State) -> frozenset[Effect]:
    """Return what keeps the work of a turn that has ended."""
    return frozenset({KeepWork(state.turn)}) if state.unkept and not state.deleted else frozenset()


def _wanted_in_turn(state: State) -> frozenset[Effect]:
    if state.killing:
        return frozenset({KillGroup(state.turn)})
    if forge_plan.blocks(state) or (state.environment.ready and forge_plan.looks(state)):
        return frozenset()
    if not state.environment.ready:
        return frozenset({PrepareEnvironment(state.environment.id, state.turn)})
    effects: set[Effect] = set()
    if (seconds := state.limits.max_seconds) and state.ran_since:
        left = min(max(0.0, seconds - state.ran), FOREVER)
        effects.add(EnforceTime(state.turn, state.ran_since + timedelta(seconds=left)))
    if state.call and not state.call.lost:
        effects.add(CallModel(state.call.id, state.call.attempt, state.call.retry_at))
    effects.update(wanted_of_agent(state))
    effects.update(RunTool(t.id, t.name, t.arguments, t.incarnation) for t in state.tools if t.started)
    if idle(state) and state.settled_at:
        effects.add(EndTurn(state.turn, state.settled_at))
    return frozenset(effects)


def idle(state: State) -> bool:
    """Return whether a running turn has nothing left to do."""
    if state.begun.agent.driver != "builtin":
        rests = idle_agent(state)
    elif state.call:
        rests = False
    else:
        rests = approvals_plan.waits(state) or not (state.tools or state.fresh or state.queue)
    return rests and not any(part.holds(state) for part in PARTS)


def due(state: State, session: Session) -> tuple[Event, ...]:
    """Return the decisions to append now; empty when none is due."""
    if state.phase == "PENDING":
        return _due_while_pending(state, session)
    if state.phase != "RUNNING":
        return ()
    if state.stop is not None and (why := state.exhausted):
        return failing(state, why.reason, why.message, why.limit)
    if state.stop is not None:
        return stopping(state, session)
    if state.environment.failed:
        return failing(state, "environment", state.environment.failed)
    if state.losses >= MAX_LOSSES:
        return failing(state, "environment", LOST_TEXT)
    if state.killing or not state.environment.ready or forge_plan.looks(state) or family_plan.asks_share(state):
        return ()
    if state.family.denied:
        return failing(state, "agent_execution", state.family.denied, "max_iterations")
    if first := memory_plan.due(state) or approvals_plan.answered(state):
        return first
    events = _due_in_external_turn(state) if state.begun.agent.driver != "builtin" else _due_in_step(state)
    return events or (_going_on(state) if idle(state) else ())


def _due_in_step(state: State) -> tuple[Event, ...]:
    """Return what is due between a model call and the next one."""
    if state.memory.compacting:
        return ()
    if state.call:
        lost = state.call.lost
        return (memory_plan.after_overflow(state) or failing(state, "llm_integration", lost)) if lost else ()
    if state.tools:
        return family_plan.first_only(tuple((tool, _next_of(tool, state)) for tool in state.tools))
    return _next_call(state)


def _going_on(state: State) -> tuple[Event, ...]:
    """Return what an idle turn goes on with by itself; a limit that is used up ends it instead."""
    if interests_plan.resting(state):
        return ()
    if state.external.asks or state.modes.halted:
        return ()
    events = modes_plan.going_on(state) or judging_plan.going_on(state)
    if not events and (why := judging_plan.undone(state)):
        return failing(state, "agent_execution", why)
    if not any(isinstance(event, ev.InputQueued) for event in events):
        return events
    if limit := reached(state):
        return () if family_plan.short(state) else failing(state, "agent_execution", limit.message, limit.name)
    return modes_plan.broken(state) or events


def _due_in_external_turn(state: State) -> tuple[Event, ...]:
    """Return what is due where another program is the agent; its model calls are bounded where they are made."""
    x = state.external
    if x.fault:
        return failing(state, x.fault.reason, x.fault.message, x.fault.limit)
    if x.deaths >= MAX_DEATHS:
        text = f"The agent's process ended {x.deaths} times in a row before it got anything done: {x.death}"
        return failing(state, "agent_execution", text)
    if x.falls >= MAX_FALLS:
        text = (
            f"The agent's process was lost {x.falls} times before its turn came to an end: {x.death or 'see the log'}"
        )
        return failing(state, "agent_execution", text)
    events = due_for_agent(state)
    take = next((event for event in events if isinstance(event, ev.InputTaken)), None)
    if take and (limit := reached(state)):
        return failing(state, "agent_execution", limit.message, limit.name)
    return modes_plan.told_inside(state, take) if take else events


def _due_while_pending(state: State, session: Session) -> tuple[Event, ...]:
    if state.environment.failed:
        return failing(state, "environment", state.environment.failed)
    if state.environment.ready and (state.queue or state.external.change or state.memory.shells or pursues(state)):
        return (ev.TurnStarted(state.turn + 1, session.incarnation, session.settle),)
    return ()


def _next_of(tool: OpenTool, state: State) -> tuple[Event, ...]:
    """Start a tool, or say what became of one whose supervisor is gone."""
    agent = state.begun.agent
    if tool.started:
        if adrift := mcp_plan.adrift(tool, state):
            return adrift
        lost = tool.incarnation and tool.incarnation != state.environment.incarnation
        return (ev.ToolFinished(tool.id, "unknown", UNKNOWN_TEXT),) if lost else ()
    names = modes_plan.offered(state)
    if tool.name not in names and not is_mcp(tool.name):
        text = f"There is no tool {tool.name!r}. The tools are: {', '.join(names)}."
        return (ev.ToolFinished(tool.id, "failed", text),)
    if refused := modes_plan.refusal(tool, state):
        return (ev.ToolFinished(tool.id, "failed", refused),)
    if (held := approvals_plan.gate(tool, state)) is not None:
        return held
    if (held := family_plan.gate(tool, state)) is not None:
        return held
    inside = state.environment.incarnation if tool.name in agent.tools_inside else ""
    return (ev.ToolStarted(tool.id, tool.name, tool.arguments, inside),)


def _next_call(state: State) -> tuple[Event, ...]:
    steered = tuple(q.id for q in state.queue if q.steer)
    if not (state.fresh or state.queue or memory_plan.asked(state)):
        return ()
    if limit := reached(state):
        return () if family_plan.short(state) else failing(state, "agent_execution", limit.message, limit.name)
    if first := modes_plan.out_of_budget(state) or memory_plan.before_call(state):
        return first
    taken = steered if state.fresh or steered else (state.queue[0].id,)
    take = (ev.InputTaken(taken), *_answered(state, taken), *modes_plan.entering(state, taken)) if taken else ()
    if echo := family_plan.echoing(state, taken):
        return (ev.InputTaken(taken), *echo)
    return (*take, ev.ModelCallStarted(f"c{state.calls + 1}", state.begun.agent.model))


def _answered(state: State, taken: tuple[str, ...]) -> tuple[Event, ...]:
    """Close the questions that wait when a person's input is among those taken: it is the answer."""
    if all(state.inputs[input_id].origin != "user" for input_id in taken):
        return ()
    return tuple(ae.QuestionsClosed(ask.ask) for ask in state.external.asks)


def ending(state: State) -> tuple[Event, ...]:
    """Return what ends an idle turn."""
    if state.phase != "RUNNING" or state.stop is not None or not idle(state):
        return ()
    if not family_plan.over(state):
        return (ev.TurnEnded(state.turn),)
    dropped = interests_plan.dropped(state, "its parent needs it no more")
    goal = modes_plan.ended(state, "paused")
    return (*approvals_plan.cut(state, NOT_STARTED_TEXT), *dropped, *goal, ev.Stopped(state.turn))


def out_of_time(state: State, now: datetime) -> tuple[Event, ...]:
    """Return what ends a turn whose execution has used up its time."""
    if state.phase != "RUNNING" or state.stop is not None or state.ran_since is None:
        return ()
    used = int(state.ran + (now - state.ran_since).total_seconds())
    message = said("max_seconds", state.limits.max_seconds, used, "seconds of running")
    return failing(state, "agent_execution", message, "max_seconds")


def stopping(state: State, session: Session) -> tuple[Event, ...]:
    """Return what a requested stop comes to; inputs that came after the request start the next turn."""
    dropped = tuple(ev.InputDropped(q.id) for q in state.queue if q.seq <= state.stop_seq)
    after = any(q.seq > state.stop_seq for q in state.queue) and not state.deleted
    again = (ev.TurnStarted(state.turn + 1, session.incarnation, session.settle),) if after else ()
    waits = interests_plan.dropped(state, "the execution was stopped")
    goal = modes_plan.ended(state, "paused")
    return (*_cut(state, STOPPED_TEXT, "cancelled"), *dropped, *waits, *goal, ev.Stopped(state.turn), *again)


def failing(state: State, reason: ev.FailureReason, message: str, limit: str = "") -> tuple[Event, ...]:
    """Return what a failure comes to; queued inputs stay, visibly, and go with the next Send."""
    environment = reason == "environment"
    text, outcome = (UNKNOWN_TEXT, "unknown") if environment else (STOPPED_TEXT, "cancelled")
    waits = interests_plan.dropped(state, "the execution stopped by itself")
    goal = modes_plan.ended(state, "usage_limited" if limit else "paused")
    return (*_cut(state, text, outcome), *waits, *goal, ev.Stopped(state.turn, reason, message, limit))


def _cut(state: State, text: str, outcome: ev.Outcome) -> tuple[Event, ...]:
    """Give every open call its one result."""
    tools = tuple(
        ev.ToolFinished(t.id, outcome, text) if t.started else ev.ToolFinished(t.id, "cancelled", NOT_STARTED_TEXT)
        for t in state.tools
    )
    typed = memory_plan.cut(state, outcome, text, NOT_STARTED_TEXT)
    return (*tools, *typed, *cut_agent(state, outcome, text))
