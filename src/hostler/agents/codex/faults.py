"""Why Codex gave up, in words for people."""

import json
import re
from collections.abc import Mapping
from typing import Any

from hostler.core.agents import FailureReason

Json = Mapping[str, Any]
_OWN: Mapping[str, FailureReason] = {
    "sandboxError": "environment",
    "sessionBudgetExceeded": "agent_execution",
    "threadRollbackFailed": "agent_execution",
    "tooManyDenials": "agent_execution",
    "activeTurnNotSteerable": "agent_execution",
}
"""Everything else comes from the model or its provider."""
_WORDS: Mapping[str, str] = {
    "contextWindowExceeded": "the conversation is too long for the model",
    "usageLimitExceeded": "a usage limit is reached",
    "rateLimitExceeded": "the provider's rate limit is reached",
    "serverOverloaded": "the provider is overloaded",
    "unauthorized": "the provider refuses the key",
    "cyberPolicy": "the provider's policy forbids it",
    "internalServerError": "the provider failed",
}
_URL = re.compile(r", url: \S+")


def kind_of(error: Json) -> str:
    """Return the name of Codex's own class of an error; it comes as a text, or as an object's only key."""
    info = error.get("codexErrorInfo")
    if isinstance(info, Mapping):
        return str(next(iter(info), "other"))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return str(info or "other")


def reason_of(error: Json) -> FailureReason:
    """Return whose fault it is."""
    return _OWN.get(kind_of(error), "llm_integration")


def text_of(error: Json) -> str:
    """Return the message: the provider's own words where it is a body of JSON, and the details if there are any."""
    said = _URL.sub("", _unwrapped(str(error.get("message") or "")))
    details = _URL.sub("", str(error.get("additionalDetails") or ""))
    words = _WORDS.get(kind_of(error), "")
    return ": ".join(part for part in dict.fromkeys((words, said, details)) if part) or "Codex gave no reason"


def _unwrapped(text: str) -> str:
    try:
        body: Any = json.loads(text)
        return str(body["error"]["message"])
    except (ValueError, RecursionError, KeyError, TypeError):
        return text
