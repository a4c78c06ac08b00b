"""A model behind a provider's HTTP interface: one streamed call at a time, past the provider's library where it can."""

import asyncio
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

import httpx2

from hostler.core.conversation import Delta, ModelReply, ModelRequest
from hostler.core.ports import ModelInfo
from hostler.models.direct import Dialect, Direct, Heard, Shape
from hostler.models.pools import Pools
from hostler.models.settings import Opening
from hostler.models.supported import supported_model
from hostler.models.windows import window_of

if TYPE_CHECKING:
    from pydantic_ai.models import Model as Caller

_ASKING = "hostler.models.asking"


@dataclass(frozen=True, slots=True)
class Family:
    """What is special about a provider's protocol; `system` and `url` are the library's names for where it leads."""

    library: str
    """The module that calls through the provider's library: it has `connect(opening, key, url, client)`."""
    key: str = field(repr=False)
    key_variable: str
    system: str
    url: str
    base_url: str | None = None
    """As it is configured."""
    settings: Mapping[str, object] = field(default_factory=dict[str, object])
    mark_cache: bool = False
    """The provider caches up to marks that the caller sets, instead of by itself."""
    dialect: Dialect | None = None
    """What common calls are made with past the library."""


@dataclass(frozen=True)
class Line:
    """One pool's client, and the library's caller through it, which is made when it is needed."""

    client: httpx2.AsyncClient
    connect: "Callable[[httpx2.AsyncClient], Caller[Any]]"

    @cached_property
    def caller(self) -> "Caller[Any]":
        """Return the library's caller."""
        return self.connect(self.client)


class RemoteModel:
    """A model of any provider; what differs between them is in its `Family`."""

    def __init__(self, opening: Opening, family: Family) -> None:
        self._opening = opening
        self._family = family
        self._pools = Pools(lambda client: Line(client, self._connect))
        override = opening.override
        self._direct = Direct(family.dialect, opening.name) if family.dialect and not _proxied() else None
        self._firsts: dict[Shape, asyncio.Event] = {}
        """Calls whose words may show how others of their shape are made."""
        self._loading = asyncio.Lock()
        self._loaded = False
        self._info = ModelInfo(
            opening.full_name,
            context_window=override.context_window or window_of(opening.name, family.system, family.url),
            vision=True if override.vision is None else override.vision,
            supported=supported_model(opening.full_name),
        )

    @property
    def info(self) -> ModelInfo:
        """Return what is known of it without a call."""
        return self._info

    async def call(self, request: ModelRequest, on_delta: Callable[[Delta], None]) -> ModelReply:
        """Make one streamed call; see the port for its promises."""
        direct = self._direct
        if direct is None:
            return await self._by_library(request, on_delta)
        while (ready := direct.ready(request)) is None and (first := self._firsts.get(direct.shape(request))):
            await first.wait()
        if ready is None:
            return await self._first(direct, request, on_delta)
        heard = Heard()
        try:
            if reply := await direct.ask(ready, on_delta, heard):
                return reply
            if heard.elsewhere:
                return await self._by_library(request, on_delta)
            await self._load()
            async with httpx2.AsyncClient(transport=heard, trust_env=False) as client:
                return await self._ask(self._connect(client), request, heard.going_on(on_delta))
        finally:
            direct.done(ready, heard)

    async def _first(self, direct: Direct, request: ModelRequest, on_delta: Callable[[Delta], None]) -> ModelReply:
        """Make a call through the library; once it is sent, others like it know how."""
        shape = direct.shape(request)
        sent = self._firsts[shape] = asyncio.Event()

        def over() -> None:
            sent.set()
            if self._firsts.get(shape) is sent:
                del self._firsts[shape]

        def note(made: httpx2.Request) -> None:
            direct.learn(request, made)
            over()

        try:
            return await self._by_library(request, on_delta, note)
        finally:
            over()

    async def _by_library(
        self,
        request: ModelRequest,
        on_delta: Callable[[Delta], None],
        note: Callable[[httpx2.Request], None] = lambda _: None,
    ) -> ModelReply:
        await self._load()
        async with self._pools.lease() as line:
            return await self._ask(line.caller, request, on_delta, note)

    async def _ask(
        self,
        caller: "Caller[Any]",
        request: ModelRequest,
        on_delta: Callable[[Delta], None],
        note: Callable[[httpx2.Request], None] = lambda _: None,
    ) -> ModelReply:
        family = self._family
        return await import_module(_ASKING).ask(
            caller,
            self._opening,
            family.key_variable,
            family.settings,
            request,
            on_delta,
            note,
            mark_cache=family.mark_cache,
        )

    async def _load(self) -> None:
        """Import the library beside the event loop, for it takes a second or two."""
        if self._loaded:
            return
        async with self._loading:
            for name in (_ASKING, self._family.library):
                await asyncio.to_thread(import_module, name)
            self._loaded = True

    def _connect(self, client: httpx2.AsyncClient) -> "Caller[Any]":
        family = self._family
        return import_module(family.library).connect(self._opening, family.key, family.base_url, client)

    @property
    def pools(self) -> int:
        """Return how many pools of the library's connections are open."""
        return len(self._pools)

    async def close(self) -> None:
        """Close its connections; repeating it is fine."""
        if self._direct:
            self._direct.close()
        await self._pools.close()


def _proxied() -> bool:
    """Return whether the server may have to reach providers through a proxy, which only the library does."""
    return not urllib.request.getproxies().keys().isdisjoint(("http", "https", "all"))
