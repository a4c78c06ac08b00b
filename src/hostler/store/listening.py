"""A connection that listens for what other processes notify, and comes back by itself.

Notifications that were sent while it was away are lost, so whoever listens is told to look again after each return.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any

import psycopg
import structlog
from psycopg import AsyncConnection, sql

from hostler.core.errors import Unavailable

log = structlog.get_logger(__name__)

QUIET = 20.0
"""Seconds without a notification after which the connection is tried."""
FIRST_WAIT, LONGEST_WAIT = 0.05, 1.0
"""Seconds between two attempts to come back."""


class Listening:
    """Listens between entering and leaving; both callbacks are called in the event loop."""

    def __init__(
        self,
        url: str,
        arguments: Mapping[str, Any],
        channel: str,
        heard: Callable[[str], None],
        returned: Callable[[], None],
    ) -> None:
        self._url = url
        self._arguments = arguments
        self._channel = channel
        self._heard = heard
        self._returned = returned
        self._connection: AsyncConnection[Any] | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        """Connect, and listen from here on; Unavailable when the database does not answer."""
        try:
            self._connection = await self._connect()
        except psycopg.Error as error:
            raise Unavailable(f"the database cannot be listened to: {error}") from error
        self._task = asyncio.create_task(self._run(self._connection))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        if self._connection is not None:
            await self._connection.close()

    async def _connect(self) -> AsyncConnection[Any]:
        connection = await AsyncConnection.connect(self._url, autocommit=True, **self._arguments)
        try:
            await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
        except BaseException:
            await connection.close()
            raise
        return connection

    async def _run(self, connection: AsyncConnection[Any]) -> None:
        while True:
            try:
                await self._follow(connection)
            except psycopg.Error as error:
                log.warning("the database cannot be listened to; trying again", problem=str(error).split("\n")[0])
            await connection.close()
            connection = self._connection = await self._again()
            self._returned()

    async def _follow(self, connection: AsyncConnection[Any]) -> None:
        """Pass on what is heard until the connection is lost."""
        while True:
            async for notified in connection.notifies(timeout=QUIET):
                self._heard(notified.payload)
            await connection.execute("SELECT 1")

    async def _again(self) -> AsyncConnection[Any]:
        wait = FIRST_WAIT
        while True:
            with suppress(psycopg.Error):
                return await self._connect()
            await asyncio.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)
