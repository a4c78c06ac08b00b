"""What holds of the log of every execution, and of what the API answers about it, whatever happened to the server.

`check` reads a log and says what is wrong with it, rule by rule; a sound log gives nothing. It trusts no state that the
server keeps: it follows the events one by one with books of its own, and leaves folding to the rules that compare.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from hostler.core import agent_events as ae
from hostler.core import events as ev
from hostler.core import memory_events as mm
from hostler.core.conversation import Usage
from hostler.core.errors import LogError
from hostler.core.events import Recorded
from hostler.core.phases import Phase
from hostler.core.phases import check as phase_after
from hostler.core.state import State, fold
from hostler.projections.calls import calls, total
from hostler.projections.row import project

RULES: Mapping[str, str] = {
    "sequence": "Events are numbered 1, 2, 3 … without a gap.",
    "beginning": "The first event is Started, and there is one of it.",
    "phases": "Each event may happen in the phase that the log has reached; nothing follows an end without a turn.",
    "turns": "Turns are numbered 1, 2, 3 …; TurnEnded, Stopped and StopRequested name the turn that they end.",
    "results": "Each tool call gets exactly one result, and has it before the model is called again.",
    "intents": "Nothing ends that was not begun: each outcome of a call, a tool or an action has its intent before it.",
    "calls": "Each model call ends at most once, and a stopped execution has no open one.",
    "inputs": "Each input is queued once, and taken, deleted or dropped at most once; what was deleted is never taken.",
    "blocks": "Each block of text ends once.",
    "usage": "The usage that is shown is the sum of the calls in the log, and so is what is kept by day and model.",
    "answer": "What the API answers is what the log folds to.",
    "deletion": "Nothing but the ends of what ran follows a deletion.",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that does not hold, at an event (0: of the whole), and what is wrong in one sentence."""

    rule: str
    seq: int
    text: str

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {"rule": self.rule, "seq": self.seq, "text": self.text}


Report = Callable[[str, str], None]
"""Takes a rule and what is wrong."""


@dataclass(slots=True)
class _Tools:
    """Tool calls: those that are open, with whether they were started, and those that have a result."""

    open: dict[str, bool] = field(default_factory=dict[str, bool])
    done: set[str] = field(default_factory=set[str])

    def follow(self, event: ev.Event, report: Report) -> None:
        match event:
            case ev.ModelReplied(call_id, parts):
                asked = [n for n, _ in enumerate(part for part in parts if part.kind == "tool_call")]
                self.open |= {f"{call_id}.{number}": False for number in asked}
            case ev.ToolStarted(call_id):
                if call_id not in self.open:
                    report("intents", f"tool call {call_id} starts, which is not open")
                elif self.open[call_id]:
                    report("results", f"tool call {call_id} starts a second time")
                self.open[call_id] = True
            case ev.ToolFinished(call_id, outcome):
                if call_id in self.done:
                    report("results", f"tool call {call_id} has a second result")
                elif call_id not in self.open:
                    report("intents", f"tool call {call_id} has a result and was never asked for")
                elif not self.open[call_id] and outcome in ("ok", "unknown"):
                    report("intents", f"tool call {call_id} is {outcome} and was never started")
                self.done.add(call_id)
                self.open.pop(call_id, None)
            case ev.ModelCallStarted(call_id) if self.open:
                report("results", f"model call {call_id} begins while {', '.join(self.open)} has no result")
            case ev.Stopped() if self.open:
                report("results", f"the execution stopped while {', '.join(self.open)} has no result")
            case _:
                pass


@dataclass(slots=True)
class _Begun:
    """What is begun and ended by id: model calls, actions of agents inside, compactions, typed commands."""

    open: dict[str, str] = field(default_factory=dict[str, str])
    ended: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])

    def follow(self, event: ev.Event, report: Report) -> None:
        match event:
            case ev.ModelCallStarted(id_) | ae.AgentCallStarted(id_):
                self._begin("model call", id_, report)
            case ev.ModelReplied(id_) | ae.AgentCallFinished(id_) | ae.AgentCallCut(id_):
                self._end("model call", id_, report)
            case ev.ModelCallFailed(id_, _, retry_at):
                self._needs("model call", id_, report)
                if retry_at is None:
                    self._end("model call", id_, report)
            case ae.ActionStarted(id_):
                self._begin("action", id_, report)
            case ae.ActionFinished(id_):
                self._end("action", id_, report)
            case mm.CompactionStarted(id_):
                self._begin("compaction", id_, report)
            case mm.ContextCompacted(id_):
                self._end("compaction", id_, report)
            case mm.ShellStarted(id_):
                self._begin("typed command", id_, report)
            case mm.ShellFinished(id_, outcome):
                if outcome == "cancelled" and ("typed command", id_) not in self.ended:
                    self.open.setdefault(f"typed command {id_}", id_)
                self._end("typed command", id_, report)
            case ev.Stopped():
                left = [name for name in self.open if not name.startswith(("model call", "compaction"))]
                if left:
                    report("calls", f"the execution stopped while {', '.join(left)} is open")
                self.open.clear()
            case _:
                pass

    def _begin(self, what: str, id_: str, report: Report) -> None:
        if f"{what} {id_}" in self.open or (what, id_) in self.ended:
            report("calls", f"{what} {id_} begins a second time")
        self.open[f"{what} {id_}"] = id_

    def _end(self, what: str, id_: str, report: Report) -> None:
        if (what, id_) in self.ended:
            report("calls", f"{what} {id_} ends a second time")
        else:
            self._needs(what, id_, report)
        self.ended.add((what, id_))
        self.open.pop(f"{what} {id_}", None)

    def _needs(self, what: str, id_: str, report: Report) -> None:
        if f"{what} {id_}" not in self.open:
            report("intents", f"{what} {id_} ends and was not begun")


@dataclass(slots=True)
class _Inputs:
    """Inputs, and what became of each."""

    known: dict[str, str] = field(default_factory=dict[str, str])

    def follow(self, event: ev.Event, report: Report) -> None:
        match event:
            case ev.InputQueued(id_, local=local):
                if id_ in self.known:
                    report("inputs", f"input {id_} is queued a second time")
                self.known[id_] = "local" if local else "queued"
            case ev.InputTaken(ids):
                for id_ in ids:
                    self._leave(id_, "taken", report)
            case ev.InputDeleted(id_):
                self._leave(id_, "deleted", report)
            case ev.InputDropped(id_):
                self._leave(id_, "dropped", report)
            case ev.InputMoved(id_) | ev.SteerRequested(id_) if self.known.get(id_) != "queued":
                report("inputs", f"input {id_} is moved or steered and is not in the queue")
            case _:
                pass

    def _leave(self, id_: str, how: str, report: Report) -> None:
        before = self.known.get(id_, "unknown")
        if before != "queued":
            report("inputs", f"input {id_} is {how} and was {before}")
        self.known[id_] = how


@dataclass(slots=True)
class _Turns:
    """The life cycle and the numbers of turns."""

    phase: Phase = ""
    turn: int = 0
    deleted: bool = False
    texts: Counter[str] = field(default_factory=Counter[str])

    def follow(self, event: ev.Event, report: Report) -> None:
        kind = type(event).__name__
        try:
            self.phase = phase_after(self.phase, kind)
        except LogError as problem:
            report("phases", str(problem))
        match event:
            case ev.TurnStarted(turn):
                if turn != self.turn + 1:
                    report("turns", f"turn {turn} begins after turn {self.turn}")
                if self.deleted:
                    report("deletion", f"turn {turn} begins after the deletion")
                self.turn = turn
            case ev.TurnEnded(turn) | ev.Stopped(turn) | ev.StopRequested(turn) if turn != self.turn:
                report("turns", f"{kind} names turn {turn} in turn {self.turn}")
            case ev.ModelReplied(blocks=blocks):
                self._end(blocks, report)
            case ev.ModelCallCut(said=said):
                self._end([one.block for one in said], report)
            case ev.Deleted():
                self.deleted = True
            case _:
                pass

    def _end(self, blocks: Iterable[str], report: Report) -> None:
        for block in blocks:
            self.texts[block] += 1
            if self.texts[block] > 1:
                report("blocks", f"block {block} ends a second time")


def check(log: Sequence[Recorded], view: Mapping[str, Any] | None = None) -> tuple[Finding, ...]:
    """Return what is wrong with a whole log, and with `view`, what is answered of it, if that does not follow from it.

    `view` is the projection that lists and Get show: the JSON of an AgentExecution without addresses.
    """
    found: list[Finding] = []
    seq = 0

    def report(rule: str, text: str) -> None:
        found.append(Finding(rule, seq, text))

    if not log:
        return (Finding("beginning", 0, "the log is empty"),)
    followers = (_Turns(), _Tools(), _Begun(), _Inputs())
    for place, recorded in enumerate(log, start=1):
        seq = recorded.seq
        if seq != place:
            report("sequence", f"event {place} of the log has number {seq}")
        if isinstance(recorded.event, ev.Started) != (place == 1):
            report("beginning", f"event {place} is {type(recorded.event).__name__}")
        for follower in followers:
            follower.follow(recorded.event, report)
    seq = 0
    if not found:
        _compare(log, view, report)
    return tuple(found)


def _compare(log: Sequence[Recorded], view: Mapping[str, Any] | None, report: Report) -> None:
    """Hold folded and shown sums against the log's own calls; only a sound log can be folded."""
    state = fold(log)
    table = calls(log)
    for name, shown, summed in (
        ("counted", _spent_of(log, state)[0], total(table)),
        ("guessed", _spent_of(log, state)[1], total(table, estimated=True)),
    ):
        if shown != summed:
            report("usage", f"the tokens {name} by day and model are {shown}, and the calls sum to {summed}")
    if view is None:
        return
    rebuilt = project(state).view
    for path, kept, anew in differences(_plain(view), _plain(rebuilt)):
        report("answer", f"{path} is {kept!r} and the log says {anew!r}")
    status: Mapping[str, Any] = view.get("status", {})
    shown = tuple(int(status.get(name, 0)) for name in COUNTERS)
    summed = total(table)
    expected = (summed.input + summed.cache_creation, summed.cached_input, summed.output)
    if shown != expected and shown != (summed.input, summed.cached_input, summed.output):
        report("usage", f"the answer shows {shown} tokens and the calls sum to {expected}")


COUNTERS = ("inputTokensUsed", "cachedInputTokensUsed", "outputTokensUsed")


def _spent_of(log: Sequence[Recorded], state: State) -> tuple[Usage, Usage]:
    """Return what is counted and what is guessed, over all days and models."""
    spent = project(state).spent.values()
    return sum((one.usage for one in spent), Usage()), sum((one.guess for one in spent), Usage())


def _plain(value: Any) -> Any:
    """Return JSON as it comes back from a database."""
    return json.loads(json.dumps(value, default=str))


def differences(kept: Any, anew: Any, path: str = "") -> Iterable[tuple[str, Any, Any]]:
    """Yield where two pieces of JSON differ."""
    if isinstance(kept, Mapping) and isinstance(anew, Mapping):
        one, other = cast("Mapping[str, Any]", kept), cast("Mapping[str, Any]", anew)
        for name in sorted({*one, *other}):
            yield from differences(one.get(name), other.get(name), f"{path}.{name}".strip("."))
    elif kept != anew:
        yield path, kept, anew
