"""What a run is judged by: loop conditions, required outputs, the judge's verdict: a part of the state."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from hostler.core import events as ev
from hostler.core import judging_events as m
from hostler.core.changing import changed as replace
from hostler.core.events import Event, Recorded

if TYPE_CHECKING:
    from hostler.core.state import State

UNTIL = "hostler/until"
"""The annotation that is a condition of its own."""


@dataclass(frozen=True, slots=True)
class Judging:
    """What is known. `evaluated` and `judged` are the steps after which it was done last, 0 when it is to be done."""

    conditions: tuple[m.Condition, ...] = ()
    results: tuple[m.ConditionResult, ...] = ()
    rounds: Mapping[str, int] = field(default_factory=dict[str, int])
    """How often each condition was evaluated since a person spoke last."""
    at: datetime | None = None
    missing: tuple[str, ...] = ()
    reminded: int = 0
    """How often the agent was told of missing outputs since a person spoke last."""
    evaluated: int = 0
    judged: int = 0
    text: str = ""
    """The judge's verdict on the last turn."""
    failed: str = ""
    """Why there is no verdict on it."""
    limits: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Limits that were changed since the start."""


def follow(part: Judging, state: "State", recorded: Recorded) -> Judging:
    """Return what is known after one more event; `state` is the rest of the state after it."""
    event = recorded.event
    match event:
        case ev.Started(request, agent):
            return replace(part, conditions=_of_start(request, agent.conditions))
        case ev.AnnotationsSet(values) if UNTIL in values:
            rest = tuple(one for one in part.conditions if one.id != "until")
            text = values[UNTIL]
            return replace(part, conditions=(*rest, m.Condition("until", text)) if text else rest, evaluated=0)
        case m.ConditionsSet(conditions):
            return replace(part, conditions=conditions, results=(), rounds={}, evaluated=0)
        case m.LimitsSet(limits):
            whole = {name: value if name == "max_cost" else int(value) for name, value in limits.items()}
            return replace(part, limits={**part.limits, **whole})
        case m.ConditionsEvaluated(step, results, missing):
            rounds = {one.id: part.rounds.get(one.id, 0) + 1 for one in results}
            return replace(part, results=results, missing=missing, evaluated=step, rounds=rounds, at=recorded.at)
        case ev.OutputsSet():
            return replace(part, evaluated=0)
        case ev.InputQueued(origin="harness", digest=digest) if digest.startswith(REMINDER):
            return replace(part, reminded=part.reminded + 1)
        case ev.InputTaken(input_ids):
            if any(state.inputs[i].origin == "user" for i in input_ids):
                part = replace(part, rounds={}, reminded=0)
            return replace(part, judged=0)
        case m.Judged(_, text):
            return replace(part, text=text, failed="", judged=state.modes.step)
        case m.JudgementFailed(_, message):
            return replace(part, text="", failed=message, judged=state.modes.step)
        case _:
            return part


REMINDER = "missing-outputs/"
"""How the digest of an input begins that tells of missing outputs."""


def _of_start(request: ev.Json, conditions: tuple[m.Condition, ...]) -> tuple[m.Condition, ...]:
    until = str(request.get("annotations", {}).get(UNTIL, ""))
    return (*conditions, m.Condition("until", until)) if until else conditions


HEARD: tuple[type[Event], ...] = (
    ev.Started,
    ev.AnnotationsSet,
    ev.OutputsSet,
    ev.InputQueued,
    ev.InputTaken,
    m.ConditionsSet,
    m.LimitsSet,
    m.ConditionsEvaluated,
    m.Judged,
    m.JudgementFailed,
)
"""Kinds of events that change it."""
