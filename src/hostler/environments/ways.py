"""Ways out of environments beside the egress proxy: a socket in the environment's folder, served by somebody else."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from hostler.core.providers import NetworkPolicy
from hostler.environments.channel import reachable
from hostler.environments.folders import Ways

MOST_CONNECTIONS = 128
"""Of one environment at a time; each costs the server descriptors, which hostile code could use up otherwise."""

Serve = Callable[[str, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""Serves one connection of the environment that is named; it is closed afterwards."""


class SocketWay:
    """Serves `folder`/`name` of each environment; implements `folders.Ways`."""

    def __init__(self, name: str, serve: Serve, *, most: int = MOST_CONNECTIONS) -> None:
        self._name = name
        self._serve = serve
        self._most = most
        self._servers: dict[str, asyncio.Server] = {}
        self._serving: dict[str, set[asyncio.Task[None]]] = {}

    async def open(self, environment: str, folder: Path, uid: int, policy: NetworkPolicy) -> None:
        """Serve; a server before us may have left a socket there, which nobody answers."""
        if environment in self._servers:
            return
        path = folder / self._name
        path.unlink(missing_ok=True)

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            serving = self._serving.setdefault(environment, set())
            if len(serving) >= self._most:
                writer.close()
                return
            task = asyncio.ensure_future(_served(self._serve(environment, reader, writer)))
            serving.add(task)

            def over(_: asyncio.Task[None]) -> None:
                serving.discard(task)
                writer.close()  # A task that is cancelled before it begins closes nothing.

            task.add_done_callback(over)

        with reachable(path) as name:
            server = await asyncio.start_unix_server(connected, name)
        if uid >= 0:
            os.chown(path, uid, uid)
        path.chmod(0o600)
        self._servers[environment] = server

    async def close(self, environment: str) -> None:
        """Serve no more; connections under way are cut."""
        if server := self._servers.pop(environment, None):
            server.close()
        cut = self._serving.pop(environment, set())
        for task in cut:
            task.cancel()
        if cut:
            await asyncio.wait(cut)

    async def close_all(self) -> None:
        """Serve nobody any more."""
        for environment in list(self._servers):
            await self.close(environment)


async def _served(serving: Awaitable[None]) -> None:
    await serving


class AllWays:
    """Several ways as one."""

    def __init__(self, ways: Sequence[Ways]) -> None:
        self._ways = ways

    async def open(self, environment: str, folder: Path, uid: int, policy: NetworkPolicy) -> None:
        """Serve all of them."""
        for way in self._ways:
            await way.open(environment, folder, uid, policy)

    async def close(self, environment: str) -> None:
        """Serve none of them."""
        for way in self._ways:
            await way.close(environment)
