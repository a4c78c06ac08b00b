"""What a person wants to know at one glance: in which state an execution is and since when, and what it waits for.

Pure; whoever shows it keeps the times counting.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from hostler.core.desk import Liveness
from hostler.core.state import State
from hostler.projections.items import Action
from hostler.projections.timeline import Timeline
from hostler.projections.waits import next_wait

Tone = Literal["", "run", "ask", "good", "bad"]
AWAY: Mapping[Liveness, tuple[str, Tone]] = {
    "gone": ("Its runner is away", "bad"),
    "recovering": ("Recovering", "ask"),
    "waiting_for_slot": ("Waiting for a slot", ""),
}
"""What is said of an execution that should run and does not."""
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


def word(
    phase: str,
    liveness: Liveness,
    *,
    asks: bool,
    refused: bool,
    failed: bool,
    limit: bool,
    waits: bool = False,
    credential: bool = False,
) -> tuple[str, Tone]:
    """Return the state of an execution in a word or two, and its tone; lists say the same as the page of one."""
    match phase:
        case "PENDING" | "RUNNING" if liveness in AWAY:
            return AWAY[liveness]
        case "PENDING" | "WAITING_FOR_INPUT" if credential:
            return "Needs a credential", "ask"
        case "PENDING":
            return "Starting", "run"
        case "RUNNING":
            return "Working", "run"
        case "STOPPED" if limit:
            return "Limit reached", "ask"
        case "STOPPED":
            return ("Failed", "bad") if failed else ("Stopped", "")
        case _ if asks:
            return "Needs an answer", "ask"
        case _ if refused:
            return "Needs a decision", "ask"
        case _:
            return ("Waiting", "run") if waits else ("Idle", "")


def stands(line: Timeline, liveness: Liveness) -> Stands:
    """Return the state of an execution; `liveness` is the truth about its owner."""
    state, failure = line.state, line.state.failure
    said, tone = word(
        state.phase,
        liveness,
        asks=any(not ask.answer for ask in state.external.asks),
        refused=bool(state.refused_hosts),
        failed=failure is not None,
        limit=bool(failure and failure.limit),
        waits=bool(next_wait(state)[0]),
        credential=bool(state.forge.needs),
    )
    match state.phase:
        case "PENDING" | "RUNNING" if liveness in ("gone", "recovering"):
            since = state.updated_at
        case "RUNNING" | "PENDING":
            since = state.turn_since or state.created_at
        case "WAITING_FOR_INPUT":
            since = state.waiting_since
        case _:
            since = line.stopped_at
    stopping = state.stop is not None and said == "Working"
    return Stands("Stopping" if stopping else said, since, tone, failure.message if failure else "")


def waits(line: Timeline, liveness: Liveness) -> Waits:
    """Return what an execution waits for at this moment."""
    state = line.state
    if state.phase in ("PENDING", "RUNNING") and liveness != "live":
        return _without_owner(state, liveness)
    match state.phase:
        case "PENDING" | "WAITING_FOR_INPUT" if state.forge.needs:
            since = state.waiting_since or state.created_at
            return Waits("you", f"a credential for `{state.forge.needs[0].host}`", since)
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
    what, until = next_wait(state)
    if what:
        return Waits("agent", f"{_cut(what)}, or your message", state.waiting_since, until)
    return Waits("you", "your next message", state.waiting_since)


def _question(text: str) -> str:
    return f"your answer: {_cut(text)}" if text.strip() else "your answer"


def _cut(text: str) -> str:
    line = " ".join(text.replace("`", "'").split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"
