"""Connections to a provider, in pools of a few calls each: one pool with many calls in flight slows all of them."""

import os
import ssl
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Generic, TypeVar

import httpx2

CALLS_A_POOL = 10
CONNECT_SECONDS = 10.0
SILENCE_SECONDS = 300.0
"""A provider that sends no byte for this long is taken for gone."""

TIMEOUT = httpx2.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS, pool=CONNECT_SECONDS)


@cache
def _certificates(*_: str | None) -> ssl.SSLContext:
    """Return the trusted certificates, the server's own before the system's; reading them takes a while."""
    return httpx2.create_ssl_context()


def certificates() -> ssl.SSLContext:
    """Return the trusted certificates of the server as it is now."""
    return _certificates(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


def http_client() -> httpx2.AsyncClient:
    """Return a client for one pool; it honours the server's HTTPS_PROXY, NO_PROXY and SSL_CERT_FILE."""
    limits = httpx2.Limits(max_connections=CALLS_A_POOL, max_keepalive_connections=CALLS_A_POOL)
    trusted = certificates()
    hooks = {"request": [_note]}
    return httpx2.AsyncClient(timeout=TIMEOUT, limits=limits, verify=trusted, follow_redirects=True, event_hooks=hooks)


_watching: ContextVar[Callable[[httpx2.Request], None] | None] = ContextVar("watching", default=None)


@contextmanager
def watched(note: Callable[[httpx2.Request], None]) -> Generator[None]:
    """Show the requests of this block, each just before it is sent."""
    before = _watching.set(note)
    try:
        yield
    finally:
        _watching.reset(before)


async def _note(request: httpx2.Request) -> None:
    """Show a request to whoever watches what is sent in this task."""
    if (note := _watching.get()) is not None:
        note(request)


C = TypeVar("C")


@dataclass(slots=True)
class _Pool(Generic[C]):
    client: httpx2.AsyncClient
    caller: C
    calls: int = 0


class Pools(Generic[C]):
    """Opens pools as calls need them; `connect` makes what calls the provider through a client."""

    def __init__(self, connect: Callable[[httpx2.AsyncClient], C]) -> None:
        self._connect = connect
        self._pools: list[_Pool[C]] = []

    def __len__(self) -> int:
        return len(self._pools)

    def first(self) -> C:
        """Return the first pool's caller, for questions that need no connection."""
        return (self._pools[0] if self._pools else self._open()).caller

    @asynccontextmanager
    async def lease(self) -> AsyncGenerator[C]:
        """Lend a caller with room for one more call."""
        pool = next((pool for pool in self._pools if pool.calls < CALLS_A_POOL), None) or self._open()
        pool.calls += 1
        try:
            yield pool.caller
        finally:
            pool.calls -= 1

    def _open(self) -> _Pool[C]:
        client = http_client()
        pool = _Pool(client, self._connect(client))
        self._pools.append(pool)
        return pool

    async def close(self) -> None:
        """Close every connection; repeating it is fine."""
        while self._pools:
            await self._pools.pop().client.aclose()
