"""The family `anthropic`: the Messages protocol."""

import httpx2
from anthropic import AsyncAnthropic
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.providers.anthropic import AnthropicProvider

from hostler.models.direct_messages import Messages
from hostler.models.pools import TIMEOUT
from hostler.models.remote import Family, RemoteModel
from hostler.models.settings import Opening

KEY = "ANTHROPIC_API_KEY"
URL = "ANTHROPIC_BASE_URL"

# Breakpoints by block, on tools, system prompt and newest message: each call reads what the one before it wrote.
_SETTINGS = {
    "anthropic_cache_tool_definitions": True,
    "anthropic_cache_instructions": True,
    "anthropic_cache_messages": True,
}


def open_model(opening: Opening) -> RemoteModel:
    """Return a model of this family; FailedPrecondition when its key is missing."""
    key, url = opening.api_key(KEY), opening.base_url(URL)

    def connect(client: httpx2.AsyncClient) -> AnthropicModel:
        vendor = AsyncAnthropic(api_key=key, base_url=url, http_client=client, max_retries=0, timeout=TIMEOUT)
        return AnthropicModel(opening.name, provider=AnthropicProvider(anthropic_client=vendor))

    return RemoteModel(opening, Family(connect, KEY, _SETTINGS, mark_cache=True, dialect=lambda _: Messages()))
