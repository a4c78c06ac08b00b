"""What the log knows of an agent that lives in the environment: a part of the state, folded like the rest of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from hostler.core import agent_events as ae
from hostler.core.agents import Child, FailureReason, Goal, GoalChange, Known, Question, TurnStatus
from hostler.core.conversation import Usage


@dataclass(frozen=True, slots=True)
class Given:
    """An input that was taken from the queue and is not yet seen in the agent's history.

    `missed` is the agent's own turn that would not take it.
    """

    id: str
    steer: bool = False
    missed: str = ""


@dataclass(frozen=True, slots=True)
class OpenAction:
    """Something that the agent does itself and has not finished."""

    item: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class OpenAsk:
    """Questions that the agent waits for; `answer` is the input that was taken to answer them."""

    ask: str
    questions: tuple[Question, ...]
    answer: str = ""


@dataclass(frozen=True, slots=True)
class GatewayCall:
    """A model call of the agent that is not over; `orphaned` when the process that carried it has died."""

    id: str
    model: str
    orphaned: bool = False


@dataclass(frozen=True, slots=True)
class Fault:
    """Why the agent cannot go on; `limit` names the limit that was reached."""

    reason: FailureReason
    message: str
    limit: str = ""


@dataclass(frozen=True, slots=True)
class External:
    """An external agent. `process` is the attached process that was started and has not ended, '' when there is none.

    `turn` is the agent's own running turn; `cut` says that its last process ended in the middle of one. `deaths` counts
    ends by itself without an action done in between, `falls` the processes that were lost, however, within one turn.
    """

    processes: int = 0
    process: str = ""
    incarnation: str = ""
    opened: bool = False
    thread: str = ""
    version: str = ""
    offset: int = 0
    turn: str = ""
    cut: bool = False
    deaths: int = 0
    falls: int = 0
    death: str = ""
    given: tuple[Given, ...] = ()
    actions: tuple[OpenAction, ...] = ()
    asks: tuple[OpenAsk, ...] = ()
    heard: tuple[str, ...] = ()
    """Answers whose question is closed: whether the agent read them shows only when it goes on."""
    calls: tuple[GatewayCall, ...] = ()
    called: int = 0
    estimated: Usage = field(default_factory=Usage)
    cuts: int = 0
    """Calls that were cut off and may have cost something: `estimated` in all."""
    compact: str = ""
    compacting: str = ""
    """The wish for a compaction that stood when the agent's running turn began."""
    change: GoalChange | None = None
    change_id: str = ""
    goal: Goal | None = None
    fault: Fault | None = None
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    children: tuple[Child, ...] = ()
    context_limit: int = 0
    warning: str = ""
    times: Mapping[str, tuple[datetime, datetime]] = field(default_factory=dict[str, "tuple[datetime, datetime]"])
    """When the goal ("goal") and each child (by id) were first and last heard of."""

    @property
    def known(self) -> Known:
        """Return what a driver may know."""
        return Known(
            self.thread,
            self.turn,
            tuple(one.id for one in self.given),
            tuple(action.item for action in self.actions),
            tuple(ask.ask for ask in self.asks),
            tuple(ask.questions for ask in self.asks),
            self.children,
        )

    @property
    def waiting(self) -> bool:
        """Return whether the agent waits for an answer that nobody has given yet."""
        return any(not ask.answer for ask in self.asks)


Conversation = (
    ae.AgentSaid
    | ae.ActionStarted
    | ae.ActionFinished
    | ae.FilesChanged
    | ae.QuestionsAsked
    | ae.QuestionsClosed
    | ae.SettingsConfirmed
    | ae.ContextMeasured
    | ae.ChildReported
    | ae.AgentNoted
)
Life = ae.AgentStarting | ae.AgentOpened | ae.AgentRead | ae.AgentEnded | ae.AgentFault
Turn = ae.InputSeen | ae.SteerMissed | ae.AgentTurnBegan | ae.AgentTurnDone
Wish = ae.CompactRequested | ae.Compacted | ae.GoalRequested | ae.GoalChanged
Call = ae.AgentCallStarted | ae.AgentCallFinished | ae.AgentCallCut | ae.AgentCallRefused


def evolve_agent(x: External, event: ae.AgentEvent, at: datetime) -> External:
    """Return what is known after one more event."""
    match event:
        case ae.GoalChanged(goal):
            x = replace(
                x, times=_heard(x, "goal", at, anew=not (goal and x.goal and goal.objective == x.goal.objective))
            )
        case ae.ChildReported(child):
            x = replace(x, times=_heard(x, child.id, at))
        case _:
            pass
    match event:
        case ae.AgentStarting() | ae.AgentOpened() | ae.AgentRead() | ae.AgentEnded() | ae.AgentFault():
            return _life(x, event)
        case ae.InputSeen() | ae.SteerMissed() | ae.AgentTurnBegan() | ae.AgentTurnDone():
            return _turn(x, event)
        case ae.CompactRequested() | ae.Compacted() | ae.GoalRequested() | ae.GoalChanged():
            return _wish(x, event)
        case ae.AgentCallStarted() | ae.AgentCallFinished() | ae.AgentCallCut() | ae.AgentCallRefused():
            return _call(x, event)
        case _:
            return _conversation(x, event)


def _heard(x: External, name: str, at: datetime, *, anew: bool = False) -> Mapping[str, tuple[datetime, datetime]]:
    first = at if anew or name not in x.times else x.times[name][0]
    return {**x.times, name: (first, at)}


def _life(x: External, event: Life) -> External:
    match event:
        case ae.AgentStarting(process, incarnation):
            fresh = replace(x, process=process, incarnation=incarnation, processes=x.processes + 1)
            return replace(fresh, opened=False, offset=0)
        case ae.AgentOpened(_, thread, version):
            return replace(x, opened=True, thread=thread, version=version)
        case ae.AgentRead(process, offset):
            return replace(x, offset=offset) if process == x.process else x
        case ae.AgentEnded(process, message, died):
            return gone(x, message if died else "") if process == x.process else x
        case ae.AgentFault(reason, message):
            return replace(x, fault=x.fault or Fault(reason, message))


def gone(x: External, death: str = "") -> External:
    """Return what is known when the process is gone: its turn is cut, its questions are void, its helpers gone too."""
    asked = _unheard(x)
    return replace(
        x,
        heard=(),
        process="",
        incarnation="",
        opened=False,
        offset=0,
        turn="",
        cut=x.cut or bool(x.turn and not x.waiting),
        deaths=x.deaths + bool(death),
        falls=x.falls + bool(x.turn),
        death=death or x.death,
        given=(*asked, *(replace(one, steer=False, missed="") for one in x.given)),
        asks=(),
        children=tuple(replace(one, state="failed") if one.state == "running" else one for one in x.children),
    )


def _unheard(x: External) -> tuple[Given, ...]:
    """Return the answers that the agent may not have read."""
    return tuple(Given(answer) for answer in (*x.heard, *(ask.answer for ask in x.asks)) if answer)


def _turn(x: External, event: Turn) -> External:
    match event:
        case ae.InputSeen(input_id):
            return replace(x, given=tuple(one for one in x.given if one.id != input_id))
        case ae.SteerMissed(input_id):
            missed = (replace(g, steer=False, missed=x.turn) if g.id == input_id else g for g in x.given)
            return replace(x, given=tuple(missed))
        case ae.AgentTurnBegan(ref):
            # What an idle agent was given may be what it begins with, so it is not told once more to join.
            joins = x.given if x.turn else (*(replace(one, steer=False) for one in x.given[:1]), *x.given[1:])
            return replace(x, turn=ref, cut=False, given=joins, compacting=x.compact)
        case ae.AgentTurnDone(ref, status):
            return _turn_done(x, ref, status)


def _turn_done(x: External, ref: str, status: TurnStatus) -> External:
    """Return what is known after a turn: what it was given and did not take, or was not told, is given again."""
    over = replace(x, turn="" if ref in (x.turn, "") else x.turn, asks=(), heard=(), deaths=0, falls=0, compacting="")
    if status != "interrupted":
        return replace(over, given=(*_unheard(replace(x, heard=())), *x.given))
    unheard = _unheard(x)
    again = tuple(replace(one, steer=False, missed=ref) for one in x.given)
    return replace(over, given=(*unheard, *again), compact="" if x.compact == x.compacting else x.compact)


def _wish(x: External, event: Wish) -> External:
    match event:
        case ae.CompactRequested(request):
            return replace(x, compact=request)
        case ae.Compacted():
            return replace(x, compact="")
        case ae.GoalRequested(request, change):
            return replace(x, change=change, change_id=request)
        case ae.GoalChanged(goal, request):
            answered = request == x.change_id
            return replace(
                x, goal=goal, change=None if answered else x.change, change_id="" if answered else x.change_id
            )


def _call(x: External, event: Call) -> External:
    match event:
        case ae.AgentCallStarted(call_id, model):
            return replace(x, calls=(*x.calls, GatewayCall(call_id, model)), called=x.called + 1, heard=())
        case ae.AgentCallFinished(call_id):
            return replace(x, calls=tuple(call for call in x.calls if call.id != call_id))
        case ae.AgentCallCut(call_id, estimate):
            calls = tuple(call for call in x.calls if call.id != call_id)
            cuts = x.cuts + (estimate != Usage())
            return replace(x, calls=calls, estimated=x.estimated + estimate, cuts=cuts)
        case ae.AgentCallRefused(limit, message):
            return replace(x, fault=Fault("agent_execution", message, limit))


def _conversation(x: External, event: Conversation) -> External:
    match event:
        case ae.ActionStarted(item, name, arguments):
            return replace(x, actions=(*x.actions, OpenAction(item, name, arguments)), heard=())
        case ae.ActionFinished(item, outcome):
            actions = tuple(action for action in x.actions if action.item != item)
            return replace(x, actions=actions, deaths=x.deaths if outcome == "unknown" else 0)
        case ae.QuestionsAsked(ask, questions):
            return replace(x, asks=(*x.asks, OpenAsk(ask, questions)))
        case ae.QuestionsClosed(ask):
            answered = {one.answer for one in x.asks if one.ask == ask}
            given = tuple(one for one in x.given if one.id not in answered)
            heard = (*x.heard, *answered - {""})
            return replace(x, asks=tuple(one for one in x.asks if one.ask != ask), given=given, heard=heard)
        case ae.SettingsConfirmed(settings):
            return replace(x, settings=settings)
        case ae.ContextMeasured(_, limit):
            return replace(x, context_limit=limit or x.context_limit)
        case ae.ChildReported(child):
            return replace(x, children=(*(one for one in x.children if one.id != child.id), child))
        case ae.AgentNoted(_, body, warning):
            return replace(x, warning=body if warning else x.warning)
        case ae.AgentSaid():
            return replace(x, warning="", heard=())
        case ae.FilesChanged():
            return x


def taken(x: External, input_ids: tuple[str, ...], steered: frozenset[str]) -> External:
    """Return what is known when inputs go to the agent: the first one answers what it waits for, if anything."""
    asks, left = x.asks, input_ids
    if x.waiting and input_ids:
        first = next(ask.ask for ask in x.asks if not ask.answer)
        asks = tuple(replace(ask, answer=input_ids[0] if ask.ask == first else ask.answer) for ask in x.asks)
        left = input_ids[1:]
    return replace(x, asks=asks, given=(*x.given, *(Given(i, i in steered) for i in left)))


def adopted(x: External) -> External:
    """Return what is known when another process goes on: model calls in flight went with the last one."""
    return replace(x, calls=tuple(replace(call, orphaned=True) for call in x.calls))
