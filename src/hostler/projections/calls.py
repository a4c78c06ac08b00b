"""Every model call of an execution, whoever made it: one table whose sum is the usage in the status."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from hostler.core import agent_events as ae
from hostler.core import events as ev
from hostler.core import judging_events as jm
from hostler.core import memory_events as m
from hostler.core.conversation import Usage
from hostler.core.events import Recorded
from hostler.projections.status import stamp

Outcome = Literal["running", "finished", "failed", "cut"]


@dataclass(frozen=True, slots=True)
class Call:
    """One call: `agent` made it, `usage` is what the provider counted, or a guess when it is `estimated`."""

    id: str
    agent: Literal["builtin", "external"]
    model: str
    turn: int
    started_at: datetime
    ended_at: datetime | None = None
    outcome: Outcome = "running"
    tries: int = 1
    usage: Usage = field(default_factory=Usage)
    estimated: bool = False
    reason: str = ""

    @property
    def running(self) -> bool:
        """Return whether the call has no end yet."""
        return self.outcome == "running"

    def to_json(self) -> dict[str, Any]:
        """Return the row as JSON."""
        return {
            "id": self.id,
            "agent": self.agent,
            "model": self.model,
            "turn": self.turn,
            "startedAt": stamp(self.started_at),
            "endedAt": stamp(self.ended_at),
            "outcome": self.outcome,
            "tries": self.tries,
            **counters(self.usage),
            "estimated": self.estimated,
            "reason": self.reason,
        }


def counters(usage: Usage) -> dict[str, int]:
    """Return the four disjoint counters as JSON."""
    return {
        "input": usage.input,
        "cachedInput": usage.cached_input,
        "cacheCreation": usage.cache_creation,
        "output": usage.output,
    }


class CallTable:
    """Follows a log and holds every call of it, in the order in which they began."""

    def __init__(self) -> None:
        self._calls: dict[str, Call] = {}
        self._turn = 0
        self._model = ""

    def __getitem__(self, call: str) -> Call:
        return self._calls[call]

    def feed(self, recorded: Recorded) -> None:
        """Take one more event."""
        match recorded.event:
            case ev.TurnStarted(number):
                self._turn = number
            case ev.ModelCallStarted(call_id, model):
                self._calls[call_id] = Call(call_id, "builtin", model, self._turn, recorded.at)
            case m.CompactionStarted(id_):
                self._calls[id_] = Call(id_, "builtin", self._model, self._turn, recorded.at)
            case m.ContextCompacted():
                self._compacted(recorded.event, recorded.at)
            case jm.Judged(turn, _, model, usage):
                judged = Call(f"judge-{turn}", "builtin", model, self._turn, recorded.at, recorded.at, "finished")
                self._calls[f"{judged.id}-{recorded.seq}"] = replace(judged, usage=usage, reason="the judge")
            case ev.Started(agent=agent):
                self._model = agent.model
            case ae.AgentCallStarted(call_id, model):
                self._calls[call_id] = Call(call_id, "external", model, self._turn, recorded.at)
            case ev.Stopped():
                self._calls |= {n: _cut(call, recorded.at) for n, call in self._calls.items() if call.running}
            case event if (call := self._calls.get(getattr(event, "call_id", ""))) is not None:
                self._calls[call.id] = _after(call, event, recorded.at)
            case _:
                pass

    def _compacted(self, event: m.ContextCompacted, at: datetime) -> None:
        """Note what the call for a summary came to."""
        call = replace(self._calls[event.id], ended_at=at, reason=event.problem)
        finished: Outcome = "finished" if event.model else "failed"
        self._calls[event.id] = replace(call, outcome=finished, usage=event.usage)

    def rows(self) -> tuple[Call, ...]:
        """Return all calls so far."""
        return tuple(self._calls.values())


def calls(log: Iterable[Recorded]) -> tuple[Call, ...]:
    """Return all calls in the order in which they began."""
    table = CallTable()
    for recorded in log:
        table.feed(recorded)
    return table.rows()


def total(table: Iterable[Call], *, estimated: bool = False) -> Usage:
    """Return the sum of what was counted, or of what was only guessed."""
    return sum((call.usage for call in table if call.estimated == estimated), Usage())


def _after(call: Call, event: ev.Event, at: datetime) -> Call:
    match event:
        case ev.ModelReplied(usage=usage) | ae.AgentCallFinished(usage=usage):
            return replace(call, ended_at=at, outcome="finished", usage=usage, reason="")
        case ae.AgentCallCut(_, estimate, reason):
            return replace(call, ended_at=at, outcome="cut", usage=estimate, estimated=True, reason=reason)
        case ev.ModelCallFailed(_, message, retry_at):
            if retry_at is not None:
                return replace(call, tries=call.tries + 1, reason=message)
            return replace(call, ended_at=at, outcome="failed", reason=message)
        case _:
            return call


def _cut(call: Call, at: datetime) -> Call:
    return replace(call, ended_at=at, outcome="cut", estimated=True, reason="the turn was stopped")
