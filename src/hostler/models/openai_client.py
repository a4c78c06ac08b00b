"""OpenAI's own client, without its pass over every field of a long conversation.

The client looks through all it sends for keys to rename, by type, on the event loop: 3 ms for each turn of the history,
so that a long run would hold up everybody else for most of a second a call. A conversation that comes from `wire` is in
the provider's words already, so it goes into the body beside that pass.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import httpx2
from openai import AsyncOpenAI

from hostler.models.pools import TIMEOUT

Create = Callable[..., Awaitable[Any]]


def vendor_client(key: str, url: str | None, http: httpx2.AsyncClient) -> AsyncOpenAI:
    """Return a client that makes one try a call, through `http`."""
    client = AsyncOpenAI(api_key=key, base_url=url, http_client=http, max_retries=0, timeout=TIMEOUT)
    responses, completions = client.responses, client.chat.completions
    responses.create = _beside(cast("Create", responses.create), "input")  # pyright: ignore[reportAttributeAccessIssue]
    completions.create = _beside(cast("Create", completions.create), "messages")  # pyright: ignore[reportAttributeAccessIssue]
    return client


def _beside(create: Create, name: str) -> Create:
    async def beside(**given: Any) -> Any:
        extra = cast("Mapping[str, object]", given.get("extra_body") or {})
        return await create(**{**given, name: [], "extra_body": {**extra, name: given[name]}})

    return beside
