"""What an execution has spent of its limits, for people: each counter with its limit and share."""

from dataclasses import dataclass
from datetime import datetime

from hostler.core.limits import counted
from hostler.core.state import State

LABELS = {
    "max_iterations": "Model calls",
    "max_input_tokens": "Input tokens",
    "max_output_tokens": "Output tokens",
    "max_cost": "Dollars",
    "max_seconds": "Running time",
}


@dataclass(frozen=True, slots=True)
class Spent:
    """One counter: `limit` 0 is none, and then `share` is None; else 0.0 to 1.0 and above. Time is in seconds."""

    name: str
    label: str
    used: float
    limit: float
    share: float | None
    unit: str


def spent(state: State, now: datetime | None = None) -> tuple[Spent, ...]:
    """Return model calls, input tokens, output tokens, cost where it is limited, and running time, in this order.

    With `now`, the time of a turn that runs is counted up to it.
    """
    rows: list[Spent] = []
    for one in counted(state):
        if one.name == "max_cost" and not one.limit:
            continue
        used = one.used
        if one.name == "max_seconds" and now and state.ran_since:
            used = int(state.ran + max(0.0, (now - state.ran_since).total_seconds()))
        share = used / one.limit if one.limit else None
        rows.append(Spent(one.name, LABELS[one.name], used, one.limit, share, one.unit))
    return tuple(rows)
