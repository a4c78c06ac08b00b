"""OpenAI's library for Chat Completions, for calls that go through it."""

import httpx2
from openai import AsyncOpenAI
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

from hostler.models.openai_chat import COMPATIBLE, of_openai
from hostler.models.openai_client import vendor_client
from hostler.models.settings import Opening

# Without it a stream that just ends counts as a whole reply, and half a tool call would be run.
_PROFILE = OpenAIModelProfile(openai_chat_streaming_requires_finish_reason=True)


def connect(opening: Opening, key: str, url: str | None, client: httpx2.AsyncClient) -> OpenAIChatModel:
    """Return what calls the provider through a client."""
    vendor = vendor_client(key, url, client)
    return OpenAIChatModel(opening.name, provider=_provider(vendor, url), profile=_PROFILE)


def _provider(vendor: AsyncOpenAI, url: str | None) -> OpenAIProvider | OpenAICompatibleProvider:
    """Return OpenAI's own provider for its address, and for any other the one that asks for less."""
    if of_openai(url):
        return OpenAIProvider(openai_client=vendor)
    return OpenAICompatibleProvider(COMPATIBLE, openai_client=vendor)
