"""What stands beside a conversation: its state, what it waits for, what it has spent, what backs it, and the rest."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hostler.api.call import Caller
from hostler.api.controls import caps_of
from hostler.api.family import Member, family
from hostler.api.parts import ApiParts
from hostler.core.desk import Seen
from hostler.core.errors import NotFound
from hostler.core.ports import EnvironmentRow
from hostler.core.state import State
from hostler.projections.glance import Stands, Waits, stands, waits
from hostler.projections.items import AgentMessage, UserInput
from hostler.projections.receipts import Ran, Receipts
from hostler.projections.spent import spent
from hostler.projections.status import stamp
from hostler.projections.waits import waits as registered
from hostler.web import words
from hostler.web.readings import Reading

VERDICTS = {
    "backed": ("good", "Backed by checks"),
    "failed": ("bad", "Checks fail"),
    "unchecked": ("ask", "Not checked"),
    "nothing_changed": ("", "Nothing changed"),
    "none": ("", "Nothing to judge yet"),
}
CHECKS = 4
"""Checks that are shown at once."""
NEAR = 0.8
"""The share of a limit from which on it is marked."""


@dataclass(frozen=True, slots=True)
class Meter:
    """One counter in words; `share` None: there is no limit. `tone` says when the limit is near or reached."""

    label: str
    used: str
    limit: str
    share: float | None
    tone: str = ""
    more: str = ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A queued message."""

    item: UserInput | AgentMessage
    steer: bool


@dataclass(frozen=True, slots=True)
class Controls:
    """What can be done now; `compact_problem` says why compacting cannot."""

    running: bool
    stopped: bool
    steer: bool
    compact: bool
    compact_problem: str
    images: bool


@dataclass(frozen=True, slots=True)
class Panel:
    """Everything beside the conversation, for one caller."""

    now: datetime
    state: State
    stands: Stands
    waits: Waits
    waiting_for: Sequence[Mapping[str, Any]]
    """All that would wake it."""
    meters: Sequence[Meter]
    estimated: str
    receipts: Receipts
    tone: str
    verdict: str
    current: bool
    """Whether the verdict is about the last turn; while a turn runs it is about the one before."""
    checks: Sequence[Ran]
    queue: Sequence[Waiting]
    controls: Controls
    children: Sequence[Member]
    environment: EnvironmentRow | None
    environment_class: str
    branch: str


async def panel(parts: ApiParts, reading: Reading, seen: Seen, caller: Caller) -> Panel:
    """Return the panel as it is now; what a visitor must not see is left out."""
    line, state = reading.line, reading.line.state
    now, shown = parts.ambient.now(), reading.book.receipts()
    inside = caller.may("inspect") and not caller.only
    children = (await family(parts, line.execution, tree=True))[1:] if inside else []
    environment = await _environment(parts, state) if caller.may("inspect") else None
    tone, verdict = VERDICTS[shown.verdict.kind]
    steered = {queued.id: queued.steer for queued in state.queue}
    return Panel(
        now=now,
        state=state,
        stands=stands(line, seen.liveness),
        waits=waits(line, seen.liveness),
        waiting_for=registered(state, stamp) if inside else (),
        meters=meters(state, now),
        estimated=_estimated(state),
        receipts=shown,
        tone=tone,
        verdict=verdict,
        current=shown.verdict.turn == state.turn,
        checks=tuple(reversed(shown.checks))[:CHECKS],
        queue=[Waiting(item, steered.get(item.input_id, False)) for item in line.waiting],
        controls=_controls(state),
        children=children,
        environment=environment,
        environment_class=_class(parts, environment),
        branch=state.kept.work.branch if state.kept else "",
    )


async def _environment(parts: ApiParts, state: State) -> EnvironmentRow | None:
    try:
        return await parts.environments.get(state.environment.id)
    except NotFound:
        return None


def _class(parts: ApiParts, row: EnvironmentRow | None) -> str:
    return next((one.name for one in parts.classes if row and one.id == row.class_id), "")


def _controls(state: State) -> Controls:
    agent = state.begun.agent
    caps = caps_of(agent)
    problem = "" if caps.compact else f"{agent.name} does not compact on request yet; the built-in agent will later"
    if caps.compact and state.phase == "STOPPED":
        problem = "it is stopped"
    elif caps.compact and agent.driver == "builtin" and not state.memory.weight:
        problem = "there is nothing to shorten yet"
    return Controls(
        running=state.phase in ("PENDING", "RUNNING"),
        stopped=state.phase == "STOPPED",
        steer=caps.steer,
        compact=caps.compact and not problem,
        compact_problem=problem,
        images=caps.images,
    )


def meters(state: State, now: datetime) -> Sequence[Meter]:
    """Return what was spent of each limit, in words."""
    usage = state.usage
    cached = f"{words.amount(usage.cached_input)} from the cache" if usage.cached_input else ""
    more = {"max_input_tokens": cached}
    rows: list[Meter] = []
    for one in spent(state, now):
        said = _measure(one.unit)
        tone = "" if one.share is None or one.share < NEAR else ("bad" if one.share >= 1 else "ask")
        limit = said(one.limit) if one.limit else ""
        rows.append(Meter(one.label, said(one.used), limit, one.share, tone, more.get(one.name, "")))
    return rows


def _measure(unit: str) -> Callable[[float], str]:
    """Return how an amount of this unit is written."""
    if unit.startswith("dollar"):
        return lambda used: f"${used:,.2f}" if used >= 1 else f"${used:.4f}"
    return (lambda used: words.span(int(used))) if unit.startswith("second") else (lambda used: words.amount(int(used)))


def _estimated(state: State) -> str:
    """Return what calls that were cut off may have cost, which is counted apart."""
    guess = state.external.estimated
    if not (guess.whole_input or guess.output):
        return ""
    return (
        f"About {words.amount(guess.whole_input)} tokens in and {words.amount(guess.output)} out more for "
        f"{words.many(state.external.cuts, 'call')} cut off (estimated)."
    )
