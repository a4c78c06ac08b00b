"""Every model call of an execution, whoever made it: one table whose sum is the usage in the status."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from hostler.core import agent_events as ae
from hostler.core import events as ev
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


def calls(log: Iterable[Recorded]) -> tuple[Call, ...]:
    """Return all calls in the order in which they began."""
    table: dict[str, Call] = {}
    turn = 0
    for recorded in log:
        match recorded.event:
            case ev.TurnStarted(number):
                turn = number
            case ev.ModelCallStarted(call_id, model):
                table[call_id] = Call(call_id, "builtin", model, turn, recorded.at)
            case ae.AgentCallStarted(call_id, model):
                table[call_id] = Call(call_id, "external", model, turn, recorded.at)
            case ev.Stopped():
                table |= {name: _cut(call, recorded.at) for name, call in table.items() if call.outcome == "running"}
            case event if (call := table.get(getattr(event, "call_id", ""))) is not None:
                table[call.id] = _after(call, event, recorded.at)
            case _:
                pass
    return tuple(table.values())


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
