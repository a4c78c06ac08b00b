"""The family `openai-chat`: the Chat Completions protocol of OpenAI and of all servers that speak it."""

from urllib.parse import urlsplit

from hostler.models.direct_chat import Chat
from hostler.models.remote import Family, RemoteModel
from hostler.models.settings import Opening

KEY = "OPENAI_API_KEY"
URL = "OPENAI_BASE_URL"
USUAL = "https://api.openai.com/v1/"
NO_KEY = "none"
"""Sent to servers of one's own, which look at no key but whose library demands one."""
COMPATIBLE = "openai-compatible"
"""The library's name for all who speak the protocol and are not OpenAI."""


def open_model(opening: Opening) -> RemoteModel:
    """Return a model of this family; FailedPrecondition when there is neither a key nor a base URL."""
    url = opening.base_url(URL)
    key = opening.api_key(KEY, unless=NO_KEY if url else None)
    system = "openai" if of_openai(url) else COMPATIBLE
    library = "hostler.models.library_openai_chat"
    return RemoteModel(opening, Family(library, key, KEY, system, url or USUAL, url, dialect=Chat(system)))


def of_openai(url: str | None) -> bool:
    """Return whether an address is OpenAI's own."""
    return url is None or (urlsplit(url).hostname or "").endswith(".openai.com")
