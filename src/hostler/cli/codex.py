"""What the command line knows of Codex: its words for models and effort in the API's, its goal, its version."""

from collections.abc import Mapping
from typing import Any

from hostler.agents.codex.settings import EFFORTS, MODELS
from hostler.cli.problems import usage
from hostler.cli.screen import line

AGENT, NAME = "00000000-0000-0000-0000-000000007800", "codex"
"""The id that clients know it by. A server without the program does not list it, and says why when it is asked for."""
Json = dict[str, Any]
_MODELS = {name: enum for enum, name in MODELS.items()}
_EFFORTS = {name: enum for enum, name in EFFORTS.items()}
_GOALS: Mapping[str, str] = {
    "GOAL_STATUS_ACTIVE": "pursued",
    "GOAL_STATUS_PAUSED": "paused",
    "GOAL_STATUS_COMPLETED": "reached",
    "GOAL_STATUS_BUDGET_EXHAUSTED": "given up, its budget is used",
    "GOAL_STATUS_BLOCKED": "blocked",
    "GOAL_STATUS_USAGE_LIMITED": "held up by the provider's limits",
}


def chosen(model: str, effort: str) -> Json:
    """Return what a request says of a model of Codex, named without a provider, and of its effort."""
    found: Json = {}
    if model in _MODELS:
        found["model"] = _MODELS[model]
    if effort:
        if effort not in _EFFORTS:
            raise usage(f"--effort: {effort!r} is none of {', '.join(_EFFORTS)}")
        found["reasoningEffort"] = _EFFORTS[effort]
    return {"codexSettings": found} if found else {}


def is_model(name: str) -> bool:
    """Return whether a name without a provider means a model of Codex."""
    return name in _MODELS


def goal(execution: Json) -> str:
    """Return one line about the goal; empty when there is none."""
    found = execution.get("status", {}).get("goal")
    if not found:
        return ""
    used, budget = int(found.get("tokensUsed", 0)), int(found.get("tokenBudget", 0))
    spent = f"{used:,} of {budget:,} tokens" if budget else f"{used:,} tokens"
    state = _GOALS.get(str(found.get("status", "")), "unknown")
    return f"{state}: {line(str(found.get('objective', '')))} ({spent})"


def described(extra: Json) -> str:
    """Return the agent's name, with what runs it and its version where it lives in the environment."""
    name, driver = line(str(extra.get("agent", ""))), line(str(extra.get("driver", "")))
    runs = f"{driver} {line(str(extra.get('agentVersion', '')))}".strip()
    return f"{name} ({runs})" if driver else name
