"""The family `openai-responses`: OpenAI's Responses protocol, with nothing kept at the provider."""

import httpx2
from pydantic_ai.models.openai import OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

from hostler.models.openai_client import vendor_client
from hostler.models.remote import Family, RemoteModel
from hostler.models.settings import Opening

KEY = "OPENAI_API_KEY"
URL = "OPENAI_BASE_URL"

_SETTINGS = {"openai_store": False, "openai_reasoning_summary": "auto", "openai_prompt_cache_diagnostics": False}


def open_model(opening: Opening) -> RemoteModel:
    """Return a model of this family; FailedPrecondition when its key is missing."""
    key, url = opening.api_key(KEY), opening.base_url(URL)

    def connect(client: httpx2.AsyncClient) -> OpenAIResponsesModel:
        vendor = vendor_client(key, url, client)
        return OpenAIResponsesModel(opening.name, provider=OpenAIProvider(openai_client=vendor))

    return RemoteModel(opening, Family(connect, KEY, _SETTINGS))
