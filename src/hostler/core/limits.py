"""Budgets of one execution: what is counted, and what is said when one is used up."""

from dataclasses import dataclass

from hostler.core.state import State


@dataclass(frozen=True, slots=True)
class Reached:
    """A limit that allows no further model call; `message` names it, its value and how to raise it."""

    name: str
    message: str


def reached(state: State, *, open_calls: bool = False) -> Reached | None:
    """Return the first limit that is used up, by open model calls too if asked for.

    What calls that were cut off may have cost counts, or hanging up before the end would be free.
    """
    limits, x = state.limits, state.external
    made = state.iterations + x.cuts + (len(x.calls) if open_calls else 0)
    tokens = state.usage + x.estimated
    counted = (
        ("max_iterations", limits.max_iterations, made, "model calls"),
        ("max_input_tokens", limits.max_input_tokens, tokens.whole_input, "input tokens"),
        ("max_output_tokens", limits.max_output_tokens, tokens.output, "output tokens"),
        ("max_seconds", limits.max_seconds, int(state.ran), "seconds of running"),
    )
    for name, limit, used, unit in counted:
        if limit and used >= limit:
            return Reached(name, said(name, limit, used, unit))
    return None


def said(name: str, limit: int, used: int, unit: str) -> str:
    """Return the sentence about a used-up limit."""
    return (
        f"limit {name} reached: {used} of {limit} {unit} used. Start it again with a higher {name} in the agent's "
        f"limits (hostler.toml) or in the annotation hostler/limits."
    )
