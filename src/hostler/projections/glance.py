"""What a person wants to know at one glance: in which state an execution is and since when, and what it waits for.

Pure; whoever shows it keeps the times counting.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from hostler.core.desk import Liveness
from hostler.core.state import State
from hostler.projections.items import Action
from hostler.projections.timeline import Timeline

Tone = Literal["", "run", "ask", "good", "bad"]
LONGEST = 52
"""Characters of a command or a question."""


@dataclass(frozen=True, slots=True)
class Stands:
    """The state in a word or two, since when, and its tone."""

    word: str
    since: datetime | None
    tone: Tone = ""
    detail: str = ""
    """Why, where that is not plain: the failure, the limit."""


@dataclass(frozen=True, slots=True)
class Waits:
    """What is waited for: `who` in a word, `what` in a sentence (`code` in backticks), since when or until when."""

    who: Literal["you", "model", "command", "environment", "server", "agent", "nothing"]
    what: str
    since: datetime | None = None
    until: datetime | None = None


def stands(line: Timeline, liveness: Liveness) -> Stands:
    """Return the state of an execution; `liveness` is the truth about its owner."""
    state = line.state
    match state.phase:
        case "PENDING" | "RUNNING" if liveness == "gone":
            return Stands("Its runner is away", state.updated_at, "bad")
        case "PENDING" | "RUNNING" if liveness == "recovering":
            return Stands("Recovering", state.updated_at, "ask")
        case "PENDING" | "RUNNING" if liveness == "waiting_for_slot":
            return Stands("Waiting for a slot", state.turn_since or state.created_at, "ask")
        case "PENDING":
            return Stands("Starting", state.created_at, "run")
        case "RUNNING":
            return Stands("Stopping" if state.stop is not None else "Working", state.turn_since, "run")
        case "WAITING_FOR_INPUT":
            return _idle(state)
        case _:
            return _stopped(state, line.stopped_at)


def _idle(state: State) -> Stands:
    if any(not ask.answer for ask in state.external.asks):
        return Stands("Needs an answer", state.waiting_since, "ask")
    if state.refused_hosts:
        return Stands("Needs a decision", state.waiting_since, "ask")
    return Stands("Idle", state.waiting_since, "")


def _stopped(state: State, since: datetime | None) -> Stands:
    failure = state.failure
    if failure is None:
        return Stands("Stopped", since)
    return Stands("Limit reached" if failure.limit else "Failed", since, "bad", failure.message)


def waits(line: Timeline, liveness: Liveness) -> Waits:
    """Return what an execution waits for at this moment."""
    state = line.state
    if state.phase in ("PENDING", "RUNNING") and liveness != "live":
        return _without_owner(state, liveness)
    match state.phase:
        case "PENDING" if state.environment.ready:
            return Waits("you", "your first message", state.created_at)
        case "PENDING":
            return Waits("environment", "the environment, which is being made", state.created_at)
        case "RUNNING":
            return _running(line)
        case _:
            return _resting(state, line.stopped_at)


def _without_owner(state: State, liveness: Liveness) -> Waits:
    match liveness:
        case "gone":
            return Waits("server", "its runner, which does not answer", state.updated_at)
        case "waiting_for_slot":
            return Waits("server", "a free slot; as many turns run as the server allows", state.turn_since)
        case _:
            return Waits("server", "the server, which takes it up again after a restart", state.updated_at)


def _running(line: Timeline) -> Waits:
    state = line.state
    if state.stop is not None:
        return Waits("server", "what still runs to be ended", state.turn_since)
    asked = next((ask for ask in state.external.asks if not ask.answer), None)
    if asked:
        return Waits("you", _question(asked.questions[0].text if asked.questions else ""), None)
    if not state.environment.ready:
        return Waits("environment", "the environment, which is being brought back", state.turn_since)
    if state.call and state.call.attempt:
        return Waits("model", f"the model, attempt {state.call.attempt + 1}", line.calling_since, state.call.retry_at)
    if running := line.running:
        return _action(running)
    if state.call or state.external.calls:
        return Waits("model", f"the model, {state.begun.agent.model}", line.calling_since)
    if state.begun.agent.driver != "builtin" and not state.external.opened:
        return Waits("agent", "the agent's program to start", state.turn_since)
    return Waits("agent", "the agent", state.turn_since)


def _action(running: tuple[Action, ...]) -> Waits:
    first = running[0]
    what = f"the command `{_cut(first.title)}`" if first.command else _cut(first.title)
    more = f" and {len(running) - 1} more" if len(running) > 1 else ""
    return Waits("command", what + more, first.at)


def _resting(state: State, stopped_at: datetime | None) -> Waits:
    asked = next((ask for ask in state.external.asks if not ask.answer), None)
    if asked:
        return Waits("you", _question(asked.questions[0].text if asked.questions else ""), state.waiting_since)
    if state.phase == "STOPPED":
        if state.failure and state.failure.limit:
            return Waits("you", "a higher limit", stopped_at)
        return Waits("nothing", "nothing; a message continues it", None)
    if state.refused_hosts:
        hosts = ", ".join(f"`{host.removesuffix(':443').removesuffix(':80')}`" for host in state.refused_hosts[:2])
        return Waits("you", f"you to allow {hosts}, or your next message", state.waiting_since)
    return Waits("you", "your next message", state.waiting_since)


def _question(text: str) -> str:
    return f"your answer: {_cut(text)}" if text.strip() else "your answer"


def _cut(text: str) -> str:
    line = " ".join(text.replace("`", "'").split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"
