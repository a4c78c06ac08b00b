"""The contract's name for a model, where it has one."""

import re

UNSPECIFIED = "SUPPORTED_MODEL_UNSPECIFIED"

SUPPORTED: tuple[tuple[str, str], ...] = (
    ("claude-3-5-sonnet", "SUPPORTED_MODEL_SONNET_3_5"),
    ("claude-3-7-sonnet", "SUPPORTED_MODEL_SONNET_3_7"),
    ("claude-sonnet-4", "SUPPORTED_MODEL_SONNET_4"),
    ("claude-opus-4", "SUPPORTED_MODEL_OPUS_4"),
    ("claude-sonnet-4-5", "SUPPORTED_MODEL_SONNET_4_5"),
    ("claude-sonnet-4-6", "SUPPORTED_MODEL_SONNET_4_6"),
    ("claude-sonnet-5", "SUPPORTED_MODEL_SONNET_5"),
    ("claude-opus-4-5", "SUPPORTED_MODEL_OPUS_4_5"),
    ("claude-opus-4-6", "SUPPORTED_MODEL_OPUS_4_6"),
    ("claude-opus-4-7", "SUPPORTED_MODEL_OPUS_4_7"),
    ("claude-opus-4-8", "SUPPORTED_MODEL_OPUS_4_8"),
    ("claude-haiku-4-5", "SUPPORTED_MODEL_HAIKU_4_5"),
    ("gpt-4o", "SUPPORTED_MODEL_OPENAI_4O"),
    ("gpt-4o-mini", "SUPPORTED_MODEL_OPENAI_4O_MINI"),
    ("o1", "SUPPORTED_MODEL_OPENAI_O1"),
    ("o1-mini", "SUPPORTED_MODEL_OPENAI_O1_MINI"),
)
"""A model's own name without its date, and the contract's name; the `_EXTENDED` ones are a setting, not a model."""

_NAMES: dict[str, str] = dict(SUPPORTED)
_MAKERS = {"anthropic": "claude-", "openai-responses": ("gpt-", "o"), "openai-chat": ("gpt-", "o")}
_DATE = re.compile(r"-(?:latest|0|\d{8}|\d{4}-\d{2}-\d{2})$")


def supported_model(name: str) -> str:
    """Return the contract's enum name for PROVIDER:NAME, SUPPORTED_MODEL_UNSPECIFIED when it has none."""
    provider, _, model = name.partition(":")
    if provider not in _MAKERS or not model.startswith(_MAKERS[provider]):
        return UNSPECIFIED
    return _NAMES.get(_DATE.sub("", model), UNSPECIFIED)
