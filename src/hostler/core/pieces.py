"""What is measured of an execution, read off its log: turns, model calls and tool calls that ended. Pure.

Both metrics and traces are made of it, so what they say is what the log says.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from hostler.core import agent_events as ae
from hostler.core import events as ev
from hostler.core.conversation import Usage
from hostler.core.events import Recorded
from hostler.core.judging_events import Judged
from hostler.core.memory_events import ContextCompacted
from hostler.core.spending import Price

Kind = Literal["turn", "model", "tool"]
NONE = Usage()


@dataclass(frozen=True, slots=True)
class Piece:
    """A turn, model call or tool call that ended; `name` is the model or tool, of a turn the agent's name."""

    kind: Kind
    id: str
    turn: int
    name: str
    outcome: str
    began: datetime
    ended: datetime
    usage: Usage = NONE
    guessed: bool = False
    """The usage is a guess: the call was cut off."""
    cost: float = 0.0
    finish: str = ""
    failed: bool = False

    @property
    def seconds(self) -> float:
        """Return how long it took."""
        return max(0.0, (self.ended - self.began).total_seconds())


@dataclass(slots=True)
class Tale:
    """What has begun in an execution and not ended."""

    seq: int = 0
    agent: str = ""
    prices: dict[str, Price] = field(default_factory=dict[str, Price])
    turn: int = 0
    turn_began: datetime | None = None
    begun: dict[str, tuple[Kind, str, datetime]] = field(default_factory=dict[str, tuple[Kind, str, datetime]])

    def after(self, recorded: Recorded) -> Sequence[Piece]:
        """Take one more event; return what ended with it."""
        self.seq = recorded.seq
        at, event = recorded.at, recorded.event
        match event:
            case ev.Started(agent=agent):
                self.agent = agent.name
                self.prices = {name: Price(*price) for name, price in agent.prices.items()}
            case ev.TurnStarted(turn):
                self.turn, self.turn_began = turn, at
                self.begun = {}
            case ev.ModelCallStarted(call_id, model) | ae.AgentCallStarted(call_id, model):
                self.begun[call_id] = ("model", model, at)
            case ev.ToolStarted(call_id, name):
                self.begun[call_id] = ("tool", name, at)
            case ae.ActionStarted(item, name):
                self.begun[item] = ("tool", name, at)
            case ev.TurnEnded():
                return self._rest("done", at)
            case ev.Stopped(failure=failure, limit=limit):
                return self._rest("limit" if limit else failure or "stopped", at)
            case _:
                return self._finished(event, at)
        return ()

    def _finished(self, event: ev.Event, at: datetime) -> Sequence[Piece]:
        match event:
            case ev.ModelReplied(call_id=id_, usage=usage, finish=finish):
                return self._end(id_, "model", "ok", at, usage, finish=finish)
            case ae.AgentCallFinished(id_, usage, finish):
                return self._end(id_, "model", "ok", at, usage, finish=finish)
            case ev.ModelCallFailed(id_, _, retry_at):
                return self._end(id_, "model", "retried" if retry_at else "failed", at, again=retry_at)
            case ae.AgentCallCut(id_, estimate):
                return self._end(id_, "model", "cut", at, estimate, guessed=True)
            case ev.ToolFinished(id_, outcome):
                return self._end(id_, "tool", outcome, at)
            case ae.ActionFinished(id_, outcome):
                return self._end(id_, "tool", outcome, at)
            case ContextCompacted(id=id_, model=model, usage=usage) if model:
                return self._aside(id_, model, at, usage)
            case Judged(turn, _, model, usage):
                return self._aside(f"judge-{turn}", model, at, usage)
            case _:
                return ()

    def _aside(self, id_: str, model: str, at: datetime, usage: Usage) -> Sequence[Piece]:
        """Return a model call of which the log has the end alone."""
        self.begun.setdefault(id_, ("model", model, at))
        return self._end(id_, "model", "ok", at, usage)

    def _end(
        self,
        id_: str,
        kind: Kind,
        outcome: str,
        at: datetime,
        usage: Usage = NONE,
        *,
        guessed: bool = False,
        finish: str = "",
        again: datetime | None = None,
    ) -> Sequence[Piece]:
        _, name, began = self.begun.pop(id_, (kind, "", at))
        if again:
            self.begun[id_] = (kind, name, again)
        price = self.prices.get(name)
        cost = price.of(usage) if price else 0.0
        failed = outcome not in ("ok", "cut", "cancelled")
        return (Piece(kind, id_, self.turn, name, outcome, began, at, usage, guessed, cost, finish, failed),)

    def _rest(self, reason: str, at: datetime) -> Sequence[Piece]:
        """Return the turn, and what it leaves open: model calls that a stop cut off."""
        cut = [one for id_ in list(self.begun) for one in self._end(id_, self.begun[id_][0], "cut", at)]
        began, self.turn_began = self.turn_began, None
        if began is None:
            return cut
        failed = reason not in ("done", "stopped")
        return (*cut, Piece("turn", f"{self.turn}", self.turn, self.agent, reason, began, at, failed=failed))
