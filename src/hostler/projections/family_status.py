"""The sub-agents in an execution's view: what its own log knows of them; their own rows know more."""

from typing import Any

from hostler.core.budget import committed, left, subagents_limit
from hostler.core.family import Child
from hostler.core.state import State

PHASES = {"running": "RUNNING", "resting": "WAITING_FOR_INPUT", "stopped": "STOPPED", "gone": "STOPPED"}
WORDS = {"running": "", "resting": "has nothing left to do", "stopped": "stopped", "gone": "gone"}


def children(state: State) -> list[dict[str, Any]]:
    """Return the sub-agents that exist, or did, as the contract's Subagent; oldest first."""
    return [_entry(child) for child in state.family.children if child.execution]


def _entry(child: Child) -> dict[str, Any]:
    said = "failed" if child.failed else WORDS[child.doing]
    return {
        "id": child.execution,
        "name": child.name,
        "phase": f"PHASE_{PHASES[child.doing]}",
        "createdAt": child.since.isoformat().replace("+00:00", "Z"),
        "updatedAt": child.at.isoformat().replace("+00:00", "Z"),
        **({"statusMessage": said} if said else {}),
    }


def tree(state: State) -> dict[str, Any] | None:
    """Return what the contract has no name for: whose sub-agent it is, and what is set aside for its own."""
    family, above = state.family, state.begun.parent
    if above is None and not family.children:
        return None
    kept, free = committed(state), left(state)
    return {
        "parent": above.execution if above else "",
        "depth": above.depth if above else 0,
        "orphan": family.orphan,
        "children": [child.execution for child in family.children if child.execution],
        "working": [child.execution for child in family.working if child.execution],
        "started": kept.subagents,
        "mayStart": max(0, subagents_limit(state) - kept.subagents),
        "setAside": {
            "iterations": kept.iterations,
            "inputTokens": kept.input_tokens,
            "outputTokens": kept.output_tokens,
            "cost": kept.cost,
        },
        "left": {name: value for name, value in free.items() if value is not None},
    }
