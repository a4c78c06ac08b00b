"""The family `openai-responses`: OpenAI's Responses protocol, with nothing kept at the provider."""

from hostler.models.openai_chat import KEY, URL, USUAL
from hostler.models.remote import Family, RemoteModel
from hostler.models.settings import Opening

_SETTINGS = {"openai_store": False, "openai_reasoning_summary": "auto", "openai_prompt_cache_diagnostics": False}


def open_model(opening: Opening) -> RemoteModel:
    """Return a model of this family; FailedPrecondition when its key is missing."""
    key, url = opening.api_key(KEY), opening.base_url(URL)
    library = "hostler.models.library_openai_responses"
    return RemoteModel(opening, Family(library, key, KEY, "openai", url or USUAL, url, _SETTINGS))
