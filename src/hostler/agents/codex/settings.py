"""The contract's CodexSettings in Codex's own words, and back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Json = Mapping[str, Any]
MODELS: Mapping[str, str] = {
    "CODEX_OPEN_AI_MODEL_GPT_5_5": "gpt-5.5",
    "CODEX_OPEN_AI_MODEL_GPT_5_4": "gpt-5.4",
    "CODEX_OPEN_AI_MODEL_GPT_5_4_MINI": "gpt-5.4-mini",
    "CODEX_OPEN_AI_MODEL_GPT_5_3_CODEX": "gpt-5.3-codex",
    "CODEX_OPEN_AI_MODEL_GPT_5_3_CODEX_SPARK": "gpt-5.3-codex-spark",
    "CODEX_OPEN_AI_MODEL_GPT_5_2": "gpt-5.2",
    "CODEX_OPEN_AI_MODEL_GPT_5_6_SOL": "gpt-5.6-sol",
    "CODEX_OPEN_AI_MODEL_GPT_5_6_TERRA": "gpt-5.6-terra",
    "CODEX_OPEN_AI_MODEL_GPT_5_6_LUNA": "gpt-5.6-luna",
}
EFFORTS: Mapping[str, str] = {
    "CODEX_REASONING_EFFORT_LOW": "low",
    "CODEX_REASONING_EFFORT_MEDIUM": "medium",
    "CODEX_REASONING_EFFORT_HIGH": "high",
    "CODEX_REASONING_EFFORT_EXTRA_HIGH": "xhigh",
    "CODEX_REASONING_EFFORT_MAX": "max",
    "CODEX_REASONING_EFFORT_ULTRA": "ultra",
}
TIERS: Mapping[str, str] = {"CODEX_SERVICE_TIER_FAST": "fast"}
FAST = ("fast", "priority")
"""The tier's name for people, and the one that Codex keeps and sends."""
WITH_FAST = ("gpt-5.5", "gpt-5.6-", "gpt-6")
"""Beginnings of the models that this release of Codex knows to have the fast tier; others get the ordinary one."""
_MODELS_BACK = {name: enum for enum, name in MODELS.items()}
_EFFORTS_BACK = {name: enum for enum, name in EFFORTS.items()}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Settings in Codex's words; an empty one leaves things as they are."""

    model: str = ""
    effort: str = ""
    tier: str = ""


def wanted(settings: Json, model: str = "", effort: str = "") -> Wanted:
    """Return the settings of a request; `model` and `effort` stand in for those that it leaves open."""
    return Wanted(
        MODELS.get(settings.get("model", ""), model),
        EFFORTS.get(settings.get("reasoningEffort", ""), effort),
        TIERS.get(settings.get("serviceTier", ""), ""),
    )


def confirmed(model: str | None, effort: str | None, tier: str | None) -> Json:
    """Return CodexSettings as Codex says they hold; what the contract has no word for is left out."""
    fast = tier in FAST and bool(model and model.startswith(WITH_FAST))
    found = {
        "model": _MODELS_BACK.get(model or ""),
        "reasoningEffort": _EFFORTS_BACK.get(effort or ""),
        "serviceTier": "CODEX_SERVICE_TIER_FAST" if fast else None,
    }
    return {key: value for key, value in found.items() if value}


def tier_fell_back(model: str | None, tier: str | None) -> bool:
    """Return whether the fast tier was asked for and Codex does not send it for this model."""
    return tier in FAST and not (model or "").startswith(WITH_FAST)
