"""Anthropic's library, for calls that go through it."""

import httpx2
from anthropic import AsyncAnthropic
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.providers.anthropic import AnthropicProvider

from hostler.models.pools import TIMEOUT
from hostler.models.settings import Opening


def connect(opening: Opening, key: str, url: str | None, client: httpx2.AsyncClient) -> AnthropicModel:
    """Return what calls the provider through a client."""
    vendor = AsyncAnthropic(api_key=key, base_url=url, http_client=client, max_retries=0, timeout=TIMEOUT)
    return AnthropicModel(opening.name, provider=AnthropicProvider(anthropic_client=vendor))
