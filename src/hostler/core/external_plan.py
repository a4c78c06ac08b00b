"""What is due and wanted for an agent that lives in the environment.

Everything that is told to the agent is an effect that stays wanted until the agent's own output shows that it came
true; its message has an id, so telling it again to the same process is harmless.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from hostler.core import agent_events as ae
from hostler.core import events as ev
from hostler.core.conversation import Usage
from hostler.core.events import Event
from hostler.core.state import State

MAX_DEATHS = 3
"""Times in a row that the agent's process may end by itself before an action of it comes to an end."""
MAX_FALLS = 10
"""Processes that may be lost within one turn of the agent, whatever they got done."""
LINGER = 60.0
"""Seconds that an idle agent's process is kept for the next input."""
CUT_TEXT = (
    "The outcome of this action is unknown: the agent's process was lost while it ran. Look before you repeat it."
)
LOST_TEXT = "the environment's supervisor was lost"
ORPHANED_TEXT = "the server went down while the call was in flight"
ENDED_TEXT = "the agent's process ended while the call was in flight"
STOPPED_CALL = "the turn was stopped while the call was in flight"
RESTARTED_NOTE = (
    "Note from the system: your process was restarted in the middle of its work. Your last action may have been cut "
    "short, and its outcome is unknown. Look at the state of things before you go on."
)


@dataclass(frozen=True, slots=True)
class RunAgent:
    """Start or rejoin the agent's process and read what it says; ends in AgentEnded or SupervisorLost."""

    process: str
    incarnation: str


@dataclass(frozen=True, slots=True)
class TellAgent:
    """Tell the agent's process one thing; wanted until its output shows that it was understood.

    `what` is deliver, steer, answer, resume, compact or goal; `subject` the input, ask or request it is about; `missed`
    the agent's turn that would not take the input, so that it is told once more.
    """

    process: str
    what: str
    subject: str
    answer: str = ""
    missed: str = ""


@dataclass(frozen=True, slots=True)
class CloseAgent:
    """End the process of an idle agent, not before `not_before`; ends in AgentEnded."""

    process: str
    not_before: datetime


AgentEffect = RunAgent | TellAgent | CloseAgent


def wanted_of_agent(state: State) -> frozenset[AgentEffect]:
    """Return the effects of a running turn whose environment is ready."""
    x = state.external
    if not x.process:
        return frozenset()
    effects: set[AgentEffect] = {RunAgent(x.process, x.incarnation)}
    if not x.opened:
        return frozenset(effects)
    effects.update(TellAgent(x.process, "answer", ask.ask, ask.answer) for ask in x.asks if ask.answer)
    if x.turn and (steered := [given for given in x.given if given.steer]):
        effects.add(TellAgent(x.process, "steer", steered[0].id))  # one after the other, so that their order holds
    if x.change:
        effects.add(TellAgent(x.process, "goal", x.change_id))
    if x.turn and not pursues(state):
        return frozenset(effects)
    if x.compact and not x.turn:
        effects.add(TellAgent(x.process, "compact", x.compact))
    elif x.given:
        first = x.given[0]
        if not x.turn or not (first.steer or first.missed == x.turn):
            effects.add(TellAgent(x.process, "deliver", first.id, missed=first.missed))
    elif x.cut:
        effects.add(TellAgent(x.process, "resume", x.process))
    return frozenset(effects)


def idle_agent(state: State) -> bool:
    """Return whether nothing is to be done, or nothing can be until a question is answered."""
    x = state.external
    if x.waiting and not _next_queued(state):
        return not (x.calls or x.actions or x.change or any(ask.answer for ask in x.asks))
    working = x.turn or x.cut or x.given or x.asks or x.calls or x.actions or x.compact or x.change
    return not (working or state.queue or pursues(state) or any(child.state == "running" for child in x.children))


def pursues(state: State) -> bool:
    """Return whether the agent goes on by itself towards a goal; what it is told meanwhile joins its running turn."""
    return state.external.goal is not None and state.external.goal.status == "active"


def due_for_agent(state: State) -> tuple[Event, ...]:
    """Return the decisions of a running turn whose environment is ready and which nothing stops."""
    x = state.external
    if x.process and x.incarnation != state.environment.incarnation:
        return (ae.AgentEnded(x.process, LOST_TEXT),)
    if not x.process and x.actions:
        return tuple(ae.ActionFinished(action.item, "unknown", CUT_TEXT) for action in x.actions)
    if orphans := tuple(call for call in x.calls if call.orphaned):
        return tuple(ae.AgentCallCut(call.id, Usage(), ORPHANED_TEXT) for call in orphans)
    if not x.process and x.calls:
        return tuple(ae.AgentCallCut(call.id, Usage(), ENDED_TEXT) for call in x.calls)
    work = x.given or x.cut or x.compact or x.change or state.queue or pursues(state)
    if not x.process:
        return (ae.AgentStarting(f"agent-{x.processes + 1}", state.environment.incarnation),) if work else ()
    return _next_input(state) if x.opened else ()


def _next_input(state: State) -> tuple[Event, ...]:
    """Take steered inputs into a running turn, or the next one when the agent is idle or waits for an answer."""
    x = state.external
    if steered := tuple(q.id for q in state.queue if q.steer):
        return (ev.InputTaken(steered),)
    occupied = bool(x.turn) and not pursues(state)
    busy = occupied or x.given or x.change or x.compact or any(ask.answer for ask in x.asks)
    if (first := _next_queued(state)) and (x.waiting or not busy):
        return (ev.InputTaken((first,)),)
    return ()


def _next_queued(state: State) -> str:
    """Return the input that goes next, '' when none does: no word of Hostler's own answers a question."""
    own = ("harness", "wake") if state.external.waiting else ()
    return next((queued.id for queued in state.queue if state.inputs[queued.id].origin not in own), "")


def cut_agent(state: State, outcome: ev.Outcome, text: str) -> tuple[Event, ...]:
    """Give every open action and model call its one end."""
    x = state.external
    actions = tuple(ae.ActionFinished(action.item, outcome, text) for action in x.actions)
    return (*actions, *(ae.AgentCallCut(call.id, Usage(), STOPPED_CALL) for call in x.calls))


def lingering(state: State) -> frozenset[AgentEffect]:
    """Return what an idle execution wants: that its agent's process ends after a while."""
    x = state.external
    if not x.process or state.waiting_since is None or x.waiting:
        return frozenset()
    return frozenset({CloseAgent(x.process, state.waiting_since + timedelta(seconds=LINGER))})
