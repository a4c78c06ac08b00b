"""A call through the library that speaks every protocol; imported when the first call needs it, since it is large."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractContextManager, AsyncExitStack, aclosing
from typing import Any, cast

import httpx2
from pydantic_ai.direct import model_request_stream
from pydantic_ai.models import Model as Caller
from pydantic_ai.settings import ModelSettings

from hostler.core.conversation import Delta, ModelReply, ModelRequest
from hostler.models.failures import told_apart
from hostler.models.pools import watched
from hostler.models.settings import Opening
from hostler.models.wire import deltas, parameters_of, reply_of, request_of

# The library would put text of its own before our system prompt, about frames that we do not use.
_SETTINGS = {"framing_announcement": "never"}


async def ask(
    caller: Caller[Any],
    opening: Opening,
    key_variable: str,
    settings: Mapping[str, object],
    request: ModelRequest,
    on_delta: Callable[[Delta], None],
    note: Callable[[httpx2.Request], None],
    *,
    mark_cache: bool,
) -> ModelReply:
    """Make a call; `note` sees what is sent. Raises ModelUnavailable, ModelRefused, and what `on_delta` raises."""

    def failing() -> AbstractContextManager[None]:
        return told_apart(opening.full_name, key_variable)

    async def following(pieces: AsyncGenerator[Delta]) -> Delta | None:
        with failing():
            return await anext(pieces, None)

    async with AsyncExitStack() as stack:
        with failing():
            sent = request_of(request.messages, opening.provider, mark_cache=mark_cache)
            stream = model_request_stream(
                caller,
                sent,
                model_settings=_settings(settings, request),
                model_request_parameters=parameters_of(request),
                instrument=False,
            )
            with watched(note):
                response = await stack.enter_async_context(stream)
        pieces = await stack.enter_async_context(aclosing(deltas(response)))
        while delta := await following(pieces):
            on_delta(delta)  # outside `failing`: what goes wrong here is no failure of the provider
        with failing():
            return reply_of(response.get(), opening.provider)


def _settings(family: Mapping[str, object], request: ModelRequest) -> ModelSettings:
    """Return the settings; max_tokens is left to the library, which keeps it above the budget for thinking."""
    effort = {"thinking": request.effort} if request.effort else {}
    return cast("ModelSettings", {**_SETTINGS, **family, **effort})
