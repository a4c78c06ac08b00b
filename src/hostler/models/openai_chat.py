"""The family `openai-chat`: the Chat Completions protocol of OpenAI and of all servers that speak it."""

from urllib.parse import urlsplit

import httpx2
from openai import AsyncOpenAI
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

from hostler.models.direct_chat import Chat
from hostler.models.openai_client import vendor_client
from hostler.models.remote import Family, RemoteModel
from hostler.models.settings import Opening

KEY = "OPENAI_API_KEY"
URL = "OPENAI_BASE_URL"
NO_KEY = "none"
"""Sent to servers of one's own, which look at no key but whose library demands one."""

# Without it a stream that just ends counts as a whole reply, and half a tool call would be run.
_PROFILE = OpenAIModelProfile(openai_chat_streaming_requires_finish_reason=True)


def open_model(opening: Opening) -> RemoteModel:
    """Return a model of this family; FailedPrecondition when there is neither a key nor a base URL."""
    url = opening.base_url(URL)
    key = opening.api_key(KEY, unless=NO_KEY if url else None)

    def connect(client: httpx2.AsyncClient) -> OpenAIChatModel:
        vendor = vendor_client(key, url, client)
        return OpenAIChatModel(opening.name, provider=_provider(vendor, url), profile=_PROFILE)

    return RemoteModel(opening, Family(connect, KEY, {}, dialect=Chat))


def _provider(vendor: AsyncOpenAI, url: str | None) -> OpenAIProvider | OpenAICompatibleProvider:
    """Return OpenAI's own provider for its address, and for any other the one that asks for less."""
    if url is None or (urlsplit(url).hostname or "").endswith(".openai.com"):
        return OpenAIProvider(openai_client=vendor)
    return OpenAICompatibleProvider("openai-compatible", openai_client=vendor)
