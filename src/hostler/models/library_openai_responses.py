"""OpenAI's library for Responses, for calls that go through it."""

import httpx2
from pydantic_ai.models.openai import OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

from hostler.models.openai_client import vendor_client
from hostler.models.settings import Opening


def connect(opening: Opening, key: str, url: str | None, client: httpx2.AsyncClient) -> OpenAIResponsesModel:
    """Return what calls the provider through a client."""
    return OpenAIResponsesModel(opening.name, provider=OpenAIProvider(openai_client=vendor_client(key, url, client)))
