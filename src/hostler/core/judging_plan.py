"""What conditions, required outputs and the judge change in the plan.

When a round has nothing left to do, its conditions are evaluated, unmet ones begin another round with their reasons,
and at last the judge is asked; only then the turn ends.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hostler.core import events as ev
from hostler.core import judging_events as m
from hostler.core import modes_plan
from hostler.core.changing import changed as replace
from hostler.core.events import Event
from hostler.core.judging import REMINDER
from hostler.core.limits import reached
from hostler.core.state import State

MOST_ITERATIONS = 10
"""Rounds that an unmet condition may begin without a person's word, unless it says otherwise."""
MOST_REMINDERS = 3
"""Times that the agent is told of missing outputs before the run is given up."""
MISSING = "Your work is not done before these outputs are set with `add_agent_execution_result`:\n{}"


@dataclass(frozen=True, slots=True)
class EvaluateConditions:
    """Evaluate conditions and required outputs as they stand after `step`; ends in ConditionsEvaluated."""

    step: int


@dataclass(frozen=True, slots=True)
class Judge:
    """Ask the judge of a turn; ends in Judged or JudgementFailed."""

    turn: int
    step: int


Effect = EvaluateConditions | Judge
"""What it may want."""


def wanted(state: State) -> frozenset[Effect]:
    """Return what is to be found out before a round may be over."""
    if not holds(state) or state.killing or not state.environment.ready:
        return frozenset()
    if _to_evaluate(state):
        return frozenset({EvaluateConditions(state.modes.step)})
    return frozenset({Judge(state.turn, state.modes.step)})


def holds(state: State) -> bool:
    """Return whether something is to be found out before the round is over."""
    if state.phase != "RUNNING" or state.stop is not None or modes_plan.holds(state) or not modes_plan.quiet(state):
        return False
    return _to_evaluate(state) or _to_judge(state)


def _to_evaluate(state: State) -> bool:
    part = state.judging
    return bool(part.conditions or state.begun.agent.requires) and part.evaluated < state.modes.step


def _to_judge(state: State) -> bool:
    """Return whether the judge is to be asked: the work of the turn is over, and nothing else begins a round."""
    if not state.begun.agent.judgement_prompt or state.judging.judged >= state.modes.step or not state.modes.step:
        return False
    return not (_unmet(state) or _may_remind(state) or modes_plan.going_on(state)) and reached(state) is None


def _unmet(state: State) -> tuple[m.Condition, ...]:
    """Return the unmet conditions that may begin another round."""
    part = state.judging
    if state.modes.halted:
        return ()
    missed = {one.id for one in part.results if not one.met}
    return tuple(
        one
        for one in part.conditions
        if one.id in missed and part.rounds.get(one.id, 0) <= (one.max_iterations or MOST_ITERATIONS)
    )


def _may_remind(state: State) -> bool:
    return bool(state.judging.missing) and not state.modes.halted and _can_set(state)


def _can_set(state: State) -> bool:
    """Return whether the agent has a way to set outputs and was not told of it too often."""
    return state.judging.reminded < MOST_REMINDERS


def going_on(state: State) -> tuple[Event, ...]:
    """Return what makes a turn go on that has nothing left to do and is not done; () when it may end."""
    if state.judging.missing and not state.modes.halted:
        told = "\n".join(f"- {one}" for one in state.judging.missing)
        if not _can_set(state):
            return ()
        queued = modes_plan.said(state, MISSING.format(told), "missing")
        return (replace(queued, digest=f"{REMINDER}{queued.input_id}"),)
    if unmet := _unmet(state):
        return (_woken(state, unmet),)
    return ()


def undone(state: State) -> str:
    """Return why a run is not done although its agent has nothing left to do; '' when it is."""
    if not state.judging.missing or state.modes.halted or _can_set(state):
        return ""
    return "required outputs are missing: " + "; ".join(state.judging.missing)


def _woken(state: State, unmet: tuple[m.Condition, ...]) -> ev.InputQueued:
    """Return the wake event that names unmet conditions with their reasons."""
    part, reasons = state.judging, {one.id: one.reason for one in state.judging.results}
    conditions = [_unmet_json(one, reasons.get(one.id, ""), part.rounds.get(one.id, 0)) for one in unmet]
    outputs = {key: str(value) for key, value in state.outputs.items()}
    queued = modes_plan.said(state, "", "loop")
    said = [f"- {one.description or one.expression}: not met, {reasons.get(one.id, '')}" for one in unmet]
    heard = "\n".join(["You are not done: these conditions are not met yet.", *said, "Go on until they are."])
    block = {"loopRetrigger": {"unmetConditions": conditions, "outputs": outputs}}
    return ev.InputQueued(queued.input_id, block, queued.digest, "wake", expansion=heard)


def _unmet_json(one: m.Condition, reason: str, iteration: int) -> Mapping[str, Any]:
    return {
        "id": one.id,
        "expression": one.expression,
        "description": one.description,
        "iteration": iteration,
        "maxIterations": one.max_iterations or MOST_ITERATIONS,
        "reason": reason,
    }
