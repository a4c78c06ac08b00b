"""A model behind a provider's HTTP interface: one streamed call at a time through a pool with room."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractContextManager, AsyncExitStack, aclosing
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import httpx2
from pydantic_ai.direct import model_request_stream
from pydantic_ai.models import Model as Caller
from pydantic_ai.settings import ModelSettings

from hostler.core.conversation import Delta, ModelReply, ModelRequest
from hostler.core.ports import ModelInfo
from hostler.models.direct import Dialect, Direct, Heard, watched
from hostler.models.failures import told_apart
from hostler.models.pools import Pools
from hostler.models.settings import Opening
from hostler.models.supported import supported_model
from hostler.models.wire import deltas, parameters_of, reply_of, request_of

# The library would put text of its own before our system prompt, about frames that we do not use.
_SETTINGS = {"framing_announcement": "never"}


@dataclass(frozen=True, slots=True)
class Family:
    """What is special about a provider's protocol: how to call through a client, its key's variable, its settings."""

    connect: Callable[[httpx2.AsyncClient], Caller[Any]]
    key_variable: str
    settings: Mapping[str, object]
    mark_cache: bool = False
    """The provider caches up to marks that the caller sets, instead of by itself."""
    dialect: Callable[[str], Dialect] | None = None
    """Makes what common calls are made with past the library, by the library's name for the provider."""


@dataclass(frozen=True)
class Line:
    """One pool's client, and the library's caller through it, which is made when it is needed."""

    client: httpx2.AsyncClient
    connect: Callable[[httpx2.AsyncClient], Caller[Any]]

    @cached_property
    def caller(self) -> Caller[Any]:
        """Return the library's caller."""
        return self.connect(self.client)


class RemoteModel:
    """A model of any provider; what differs between them is in its `Family`."""

    def __init__(self, opening: Opening, family: Family) -> None:
        self._provider = opening.provider
        self._family = family
        self._pools = Pools(lambda client: Line(client, family.connect))
        override = opening.override
        known = self._pools.first().caller.context_window
        dialect = family.dialect(self._pools.first().caller.system) if family.dialect else None
        self._direct = Direct(dialect, opening.name) if dialect else None
        self._info = ModelInfo(
            opening.full_name,
            context_window=override.context_window or known or 0,
            vision=True if override.vision is None else override.vision,
            supported=supported_model(opening.full_name),
        )

    @property
    def info(self) -> ModelInfo:
        """Return what is known of it without a call."""
        return self._info

    async def call(self, request: ModelRequest, on_delta: Callable[[Delta], None]) -> ModelReply:
        """Make one streamed call; see the port for its promises."""
        async with self._pools.lease() as line, AsyncExitStack() as stack:
            if self._direct is None or (ready := self._direct.ready(request)) is None:
                return await self._asked(line.caller, request, on_delta)
            heard = Heard()
            if reply := await self._direct.ask(line.client, ready, on_delta, heard, stack):
                return reply
            client = await stack.enter_async_context(httpx2.AsyncClient(transport=heard, trust_env=False))
            return await self._asked(self._family.connect(client), request, heard.going_on(on_delta), learn=False)

    async def _asked(
        self, caller: Caller[Any], request: ModelRequest, on_delta: Callable[[Delta], None], *, learn: bool = True
    ) -> ModelReply:
        """Make a call through the library."""
        noted: list[httpx2.Request] = []
        async with AsyncExitStack() as stack:
            with self._failing():
                sent = request_of(request.messages, self._provider, mark_cache=self._family.mark_cache)
                opening = model_request_stream(
                    caller,
                    sent,
                    model_settings=self._settings(request),
                    model_request_parameters=parameters_of(request),
                    instrument=False,
                )
                with watched(noted):
                    stream = await stack.enter_async_context(opening)
            if self._direct is not None and learn and noted:
                self._direct.learn(request, noted[-1])
            pieces = await stack.enter_async_context(aclosing(deltas(stream)))
            while delta := await self._next(pieces):
                on_delta(delta)  # outside `_failing`: what goes wrong here is no failure of the provider
            with self._failing():
                return reply_of(stream.get(), self._provider)

    async def _next(self, pieces: AsyncGenerator[Delta]) -> Delta | None:
        with self._failing():
            return await anext(pieces, None)

    def _failing(self) -> AbstractContextManager[None]:
        return told_apart(self._info.name, self._family.key_variable)

    def _settings(self, request: ModelRequest) -> ModelSettings:
        """Return the settings; max_tokens is left to the library, which keeps it above the budget for thinking."""
        effort = {"thinking": request.effort} if request.effort else {}
        return cast("ModelSettings", {**_SETTINGS, **self._family.settings, **effort})

    @property
    def pools(self) -> int:
        """Return how many pools of connections are open."""
        return len(self._pools)

    async def close(self) -> None:
        """Close its connections; repeating it is fine."""
        await self._pools.close()
