"""The client's transport to a server that is reached: HTTP over connections that the environment's rules decide about.

The client runs in this process, so headers need not enter the environment; yet it goes only where the environment may.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Iterable
from typing import Any

import httpcore2
import httpx2
from fastmcp.client.transports import StreamableHttpTransport

from hostler.core.mcp_client import Dial, McpFailed, Site, Streams
from hostler.core.mcp_servers import McpServer

MOST_BYTES = 64 << 20
"""Bytes that one connection may bring."""
LARGEST_EVENT = 16 << 20
CONNECT_SECONDS = 20.0


class _Stream(httpcore2.AsyncNetworkStream):
    """One connection, bounded in what it brings."""

    def __init__(self, streams: Streams) -> None:
        self._reader, self._writer = streams
        self._left = MOST_BYTES

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            async with asyncio.timeout(timeout):
                data = await self._reader.read(max_bytes)
        except TimeoutError as problem:
            raise httpcore2.ReadTimeout(str(problem)) from problem
        except OSError as problem:
            raise httpcore2.ReadError(str(problem)) from problem
        self._left -= len(data)
        if self._left < 0:
            raise httpcore2.ReadError(f"the server sends more than {MOST_BYTES >> 20} MiB")
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        try:
            async with asyncio.timeout(timeout):
                self._writer.write(buffer)
                await self._writer.drain()
        except TimeoutError as problem:
            raise httpcore2.WriteTimeout(str(problem)) from problem
        except OSError as problem:
            raise httpcore2.WriteError(str(problem)) from problem

    async def aclose(self) -> None:
        with contextlib.suppress(OSError):
            self._writer.close()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                await self._writer.start_tls(ssl_context, server_hostname=server_hostname)
        except TimeoutError as problem:
            raise httpcore2.ConnectTimeout(str(problem)) from problem
        except OSError as problem:
            raise httpcore2.ConnectError(str(problem)) from problem
        return self

    def get_extra_info(self, info: str) -> Any:
        if info == "ssl_object":
            return self._writer.get_extra_info("ssl_object")
        return self._reader.at_eof() if info == "is_readable" else None


class _Backend(httpcore2.AsyncNetworkBackend):
    """Makes connections as one environment may."""

    def __init__(self, dial: Dial, environment: str) -> None:
        self._dial = dial
        self._environment = environment

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                return _Stream(await self._dial(self._environment, host, port))
        except TimeoutError as problem:
            raise httpcore2.ConnectTimeout(f"{host}:{port}: no answer in time") from problem
        except (OSError, McpFailed) as problem:
            raise httpcore2.ConnectError(str(problem)) from problem

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _Transport(httpx2.AsyncHTTPTransport):
    """The client library's own transport, on our connections."""

    def __init__(self, backend: _Backend) -> None:
        context = httpx2.create_ssl_context()
        super().__init__(verify=context)
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=context, max_connections=16, keepalive_expiry=30.0, network_backend=backend
        )


def transport(server: McpServer, site: Site, dial: Dial) -> StreamableHttpTransport:
    """Return a transport to a server from where an environment is; only this process's own rules of trust hold."""

    def client(
        headers: dict[str, str] | None = None,
        timeout: httpx2.Timeout | None = None,
        auth: httpx2.Auth | None = None,
        follow_redirects: bool = False,
    ) -> httpx2.AsyncClient:
        """Follow nothing by itself: the protocol's own library does within one origin."""
        return httpx2.AsyncClient(
            transport=_Transport(_Backend(dial, site.environment)),
            headers=headers,
            timeout=timeout or httpx2.Timeout(CONNECT_SECONDS, read=server.timeout + CONNECT_SECONDS),
            auth=auth,
            follow_redirects=False,
            trust_env=False,
        )

    return StreamableHttpTransport(
        server.url, headers=dict(server.headers), httpx_client_factory=client, max_sse_event_size=LARGEST_EVENT
    )
