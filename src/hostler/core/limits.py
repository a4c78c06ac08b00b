"""Budgets of one execution: what is counted, and what is said when one is used up."""

from dataclasses import dataclass

from hostler.core.budget import committed, cost_of
from hostler.core.state import State


@dataclass(frozen=True, slots=True)
class Reached:
    """A limit that allows no further model call; `message` names it, its value and how to raise it."""

    name: str
    message: str


@dataclass(frozen=True, slots=True)
class Counter:
    """What was used of a limit, in its unit; a limit of 0 is none."""

    name: str
    limit: float
    used: float
    unit: str


def reached(state: State, *, open_calls: bool = False) -> Reached | None:
    """Return the first limit that is used up, by open model calls too if asked for.

    What calls that were cut off may have cost counts, or hanging up before the end would be free.
    """
    for one in counted(state, open_calls=open_calls):
        if one.limit and one.used >= one.limit:
            return Reached(one.name, said(one.name, one.limit, one.used, one.unit))
    return None


def counted(state: State, *, open_calls: bool = False) -> tuple[Counter, ...]:
    """Return every counter that has a limit; what is still running is not in its seconds."""
    limits, x = state.limits, state.external
    made = state.iterations + x.cuts + (len(x.calls) if open_calls else 0)
    tokens, below = state.usage + x.estimated, committed(state)
    more = " (with what sub-agents used or have set aside)" if below.subagents else ""
    inputs, outputs = tokens.whole_input + below.input_tokens, tokens.output + below.output_tokens
    return (
        Counter("max_iterations", limits.max_iterations, made + below.iterations, f"model calls{more}"),
        Counter("max_input_tokens", limits.max_input_tokens, inputs, f"input tokens{more}"),
        Counter("max_output_tokens", limits.max_output_tokens, outputs, f"output tokens{more}"),
        Counter("max_cost", limits.max_cost, round(cost_of(state) + below.cost, 6), f"dollars{more}"),
        Counter("max_seconds", limits.max_seconds, int(state.ran), "seconds of running"),
    )


def said(name: str, limit: float, used: float, unit: str) -> str:
    """Return the sentence about a used-up limit."""
    return (
        f"limit {name} reached: {used} of {limit} {unit} used. Start it again with a higher {name} in the agent's "
        f"limits (hostler.toml) or in the annotation hostler/limits."
    )
