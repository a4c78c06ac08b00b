"""The goal of the built-in agent: what a person's wish makes of it, and what it has used."""

import re
from datetime import datetime

from hostler.core.agents import Goal, GoalChange
from hostler.core.changing import changed as replace
from hostler.core.conversation import Usage
from hostler.core.external import External

MARK = "goal_mark"
"""Under which name of `External.times` it is kept until when time was counted."""

_BUDGET = re.compile(r"\s*--budget[ =](\d{1,15})([kKmM]?)(?=\s)")
_THOUSANDS = {"": 1, "k": 1000, "m": 1_000_000}


def split(text: str) -> tuple[str, int]:
    """Return the objective of a text and the token budget before it, as in `--budget 200k TEXT`; 0 is none."""
    found = _BUDGET.match(text)
    budget = int(found[1]) * _THOUSANDS[found[2].lower()] if found else 0
    return (text[found.end() :] if found else text).strip(), budget


def after(goal: Goal | None, change: GoalChange) -> Goal | None:
    """Return the goal after a change."""
    match change.action:
        case "set":
            return Goal(change.objective, change.status, change.token_budget)
        case "clear":
            return None
        case "pause":
            return replace(goal, status="paused") if goal else None
        case "resume":
            return replace(goal, status="active") if goal else None
        case "complete":
            return replace(goal, status="completed") if goal else None


def spent(x: External, usage: Usage, at: datetime, since: datetime | None) -> External:
    """Return what is known after a model call towards an active goal; every token of it counts.

    `since` is when the turn began; time is counted while a turn runs.
    """
    goal = x.goal
    if goal is None or goal.status != "active":
        return x
    marks = [moment for moment in (since, x.times["goal"][0], x.times.get(MARK, (None, None))[1]) if moment]
    seconds = goal.seconds_used + max(0.0, (at - max(marks)).total_seconds())
    used = replace(goal, tokens_used=goal.tokens_used + usage.whole_input + usage.output, seconds_used=seconds)
    return replace(x, goal=used, times={**x.times, MARK: (at, at)})
