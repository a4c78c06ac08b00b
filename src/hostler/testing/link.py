"""A server's link to its store, where tests cut it: dead before or after an append, or paused in the middle."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime

from hostler.core.errors import LogError
from hostler.core.events import Event, Recorded
from hostler.core.ports import (
    Appended,
    ExecutionQuery,
    Executions,
    Fact,
    Idempotency,
    Position,
    Row,
    Watch,
)


class Died(LogError):
    """The process died here."""


class Link:
    """The store as one server sees it; `appends` counts from 1.

    `die_before=n` loses the n-th append, `die_after=n` loses only its acknowledgement, `pause_before=n` holds the
    server there until `go` is set. A dead link stays dead.
    """

    def __init__(
        self,
        store: Executions,
        *,
        die_before: int = 0,
        die_after: int = 0,
        pause_before: int = 0,
        doubled: bool = False,
    ) -> None:
        self._store = store
        self._die_before = die_before
        self._die_after = die_after
        self._pause_before = pause_before
        self._doubled = doubled
        self.appends = 0
        self.dead = asyncio.Event()
        self.paused = asyncio.Event()
        self.go = asyncio.Event()

    def cut(self) -> None:
        """Let the server die."""
        self.dead.set()

    def _alive(self) -> None:
        if self.dead.is_set():
            raise Died

    async def append(
        self,
        execution: str,
        position: Position,
        at: datetime,
        *,
        facts: Sequence[Fact] = (),
        decisions: Sequence[Event] = (),
        own: str | None = None,
        new_fence: bool = False,
        progress: bool = False,
    ) -> Appended:
        """Append, unless the server dies or is paused here; doubled, the facts are appended once more."""
        self._alive()
        self.appends += 1
        if self.appends == self._pause_before:
            self.paused.set()
            await self.go.wait()
        if self.appends == self._die_before:
            self.cut()
            raise Died
        if self._doubled and facts:
            await self._store.append(execution, position, at, facts=facts)
        done = await self._store.append(
            execution,
            position,
            at,
            facts=facts,
            decisions=decisions,
            own=own,
            new_fence=new_fence,
            progress=progress,
        )
        if self.appends == self._die_after:
            self.cut()
            raise Died
        return done

    async def create(
        self, execution: str, runner: str, events: Sequence[Event], at: datetime, once: Idempotency | None = None
    ) -> tuple[str, bool]:
        """Create."""
        self._alive()
        return await self._store.create(execution, runner, events, at, once)

    async def claim(self, execution: str, seen_fence: int, owner: str) -> Position | None:
        """Claim."""
        self._alive()
        return await self._store.claim(execution, seen_fence, owner)

    async def read(self, execution: str, after: int = 0, limit: int = 0) -> tuple[Recorded, ...]:
        """Read."""
        self._alive()
        return await self._store.read(execution, after, limit)

    async def row(self, execution: str) -> Row | None:
        """Return the row."""
        self._alive()
        return await self._store.row(execution)

    async def find(self, query: ExecutionQuery, before: str = "", limit: int = 25) -> tuple[Row, ...]:
        """Find."""
        self._alive()
        return await self._store.find(query, before, limit)

    async def count(self, query: ExecutionQuery, most: int) -> int:
        """Count."""
        self._alive()
        return await self._store.count(query, most)

    def head(self, execution: str) -> int | None:
        """Return what is known of the log's end."""
        return self._store.head(execution)

    async def with_prefix(self, prefix: str, limit: int = 2, creator: str = "") -> tuple[Row, ...]:
        """Find by prefix."""
        self._alive()
        return await self._store.with_prefix(prefix, limit, creator)

    async def busy(self, runner: str) -> tuple[Row, ...]:
        """Return busy rows."""
        self._alive()
        return await self._store.busy(runner)

    async def purge(self, execution: str) -> None:
        """Purge."""
        self._alive()
        await self._store.purge(execution)

    def watch(self, execution: str | None = None) -> AbstractAsyncContextManager[Watch]:
        """Watch."""
        return self._store.watch(execution)
