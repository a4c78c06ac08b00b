"""The family `anthropic`: the Messages protocol."""

from hostler.models.direct_messages import Messages
from hostler.models.remote import Family, RemoteModel
from hostler.models.settings import Opening

KEY = "ANTHROPIC_API_KEY"
URL = "ANTHROPIC_BASE_URL"
USUAL = "https://api.anthropic.com/"

# Breakpoints by block, on tools, system prompt and newest message: each call reads what the one before it wrote.
_SETTINGS = {
    "anthropic_cache_tool_definitions": True,
    "anthropic_cache_instructions": True,
    "anthropic_cache_messages": True,
}


def open_model(opening: Opening) -> RemoteModel:
    """Return a model of this family; FailedPrecondition when its key is missing."""
    key, url = opening.api_key(KEY), opening.base_url(URL)
    family = Family(
        "hostler.models.library_anthropic",
        key,
        KEY,
        "anthropic",
        url or USUAL,
        url,
        _SETTINGS,
        mark_cache=True,
        dialect=Messages(),
    )
    return RemoteModel(opening, family)
