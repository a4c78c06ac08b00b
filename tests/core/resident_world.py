"""A world for plans: an agent that keeps to its driver's contract, whatever it happens to do, and a gateway."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from hostler.core import agent_events as ae
from hostler.core.agents import Child, Goal, Question
from hostler.core.conversation import Usage
from hostler.core.events import Event
from hostler.core.external_plan import TellAgent
from hostler.core.state import State


@dataclass
class Resident:
    """The agent. `history` outlives its process; what else it knows does not."""

    history: list[str] = field(default_factory=list[str])
    answered: list[str] = field(default_factory=list[str])
    goal: Goal | None = None
    process: str = ""
    opened: bool = False
    told: set[tuple[str, str, str]] = field(default_factory=set[tuple[str, str, str]])
    inbox: list[TellAgent] = field(default_factory=list[TellAgent])
    turn: str = ""
    turns: int = 0
    compacting: str = ""
    taken: list[str] = field(default_factory=list[str])
    """Inputs of the turn that it has not looked at yet."""
    action: str = ""
    items: int = 0
    ask: str = ""
    child: Child | None = None

    def tell(self, effect: TellAgent) -> None:
        """Put a message into the agent's standard input, once an id."""
        key = (effect.what, effect.subject, effect.missed)
        if effect.process == self.process and key not in self.told:
            self.told.add(key)
            self.inbox.append(effect)

    def begin(self, process: str) -> None:
        """Start, or be rejoined."""
        if process != self.process:
            self.end()
            self.process = process

    def end(self) -> None:
        """Lose everything but the files."""
        self.process, self.opened, self.turn, self.action, self.ask, self.compacting = "", False, "", "", "", ""
        self.told, self.inbox, self.taken, self.child = set(), [], [], None

    def act(self, way: int, state: State) -> Sequence[Event]:
        """Do one of the things that it may do now; () when there is none. Small ways bring things to an end."""
        if not self.opened:
            self.opened = True
            shown = (ae.InputSeen(one.id) for one in state.external.given if one.id in self.history)
            return (ae.AgentOpened(self.process, "thread"), *shown)
        doings = tuple(self._doings(calm=way < 4))
        return doings[way % len(doings)]() if doings else ()

    def _doings(self, *, calm: bool) -> Iterator[Callable[[], tuple[Event, ...]]]:
        if self.inbox:
            yield self._read
        if self.taken:
            yield self._look
        if self.action:
            yield self._finish
        if self.child and self.child.state == "running":
            yield self._child_done
        if self.turn and not (self.taken or self.action or self.ask):
            yield self._turn_done
        if not self.turn and self.goal and self.goal.status == "active":
            yield self._go_on
        if self.turn and not calm:
            yield self._interrupted
            yield self._say
            if not (self.action or self.compacting):
                yield self._do
            if not (self.ask or self.compacting):
                yield self._ask
            if not self.child:
                yield self._child

    def _begin_turn(self) -> tuple[Event, ...]:
        self.turns += 1
        self.turn = f"turn-{self.turns}"
        return (ae.AgentTurnBegan(self.turn),)

    def _read(self) -> tuple[Event, ...]:
        one = self.inbox.pop(0)
        match one.what:
            case "answer":
                self.answered.append(one.answer)
                self.ask = ""
                return (ae.QuestionsClosed(one.subject),)
            case "goal":
                self.goal = Goal("win", "active" if self.turns % 2 else "paused")
                return (ae.GoalChanged(self.goal, one.subject),)
            case "compact" if self.turn:
                return (ae.Compacted("it works"),)
            case "compact":
                self.compacting = one.subject
                return self._begin_turn()
            case "steer" if not self.turn or self.compacting:
                return (ae.SteerMissed(one.subject),)
            case "deliver" if self.compacting:
                return (ae.SteerMissed(one.subject),)
            case _:
                self.taken.extend([one.subject] if one.what != "resume" else [])
                return () if self.turn else self._begin_turn()

    def _look(self) -> tuple[Event, ...]:
        self.history.append(self.taken[0])
        return (ae.InputSeen(self.taken.pop(0)),)

    def _do(self) -> tuple[Event, ...]:
        self.items += 1
        self.action = f"item-{self.items}"
        return (ae.ActionStarted(self.action, "bash", "{}"),)

    def _finish(self) -> tuple[Event, ...]:
        done, self.action = self.action, ""
        return (ae.ActionFinished(done, "ok", "done"),)

    def _say(self) -> tuple[Event, ...]:
        return (ae.AgentSaid("s", "hello"),)

    def _ask(self) -> tuple[Event, ...]:
        self.items += 1
        self.ask = f"ask-{self.items}"
        return (ae.QuestionsAsked(self.ask, (Question("q", "Which?"),)),)

    def _child(self) -> tuple[Event, ...]:
        self.child = Child("child", "helper", "running")
        return (ae.ChildReported(self.child),)

    def _child_done(self) -> tuple[Event, ...]:
        self.child = Child("child", "helper", "done")
        return (ae.ChildReported(self.child),)

    def _go_on(self) -> tuple[Event, ...]:
        self.goal = Goal("win", "completed")
        return (*self._begin_turn(), ae.GoalChanged(self.goal))

    def _turn_done(self) -> tuple[Event, ...]:
        compacted = (ae.Compacted(),) if self.compacting else ()
        self.compacting, done, self.turn = "", self.turn, ""
        return (*compacted, ae.AgentTurnDone(done))

    def _interrupted(self) -> tuple[Event, ...]:
        closed = (ae.QuestionsClosed(self.ask),) if self.ask else ()
        left = (ae.ActionFinished(self.action, "cancelled"),) if self.action else ()
        self.taken, self.action, self.ask, self.compacting, done, self.turn = [], "", "", "", self.turn, ""
        return (*closed, *left, ae.AgentTurnDone(done, "interrupted"))


@dataclass
class Gateway:
    """Calls of the agent on their way; a server's death forgets them."""

    open: list[str] = field(default_factory=list[str])
    made: int = 0

    def begin(self) -> tuple[Event, ...]:
        """Begin a call."""
        self.made += 1
        self.open.append(f"call-{self.made}")
        return (ae.AgentCallStarted(self.open[-1], "m:m", "/v1/responses"),)

    def end(self, way: int, state: State) -> tuple[Event, ...]:
        """End the oldest call, unless its end is in the log already."""
        call = self.open.pop(0)
        if all(one.id != call for one in state.external.calls):
            return ()
        used = Usage(1, 2, 3, 4)
        return (ae.AgentCallCut(call, used, "hung up") if way == 0 else ae.AgentCallFinished(call, used),)
