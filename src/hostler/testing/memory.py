"""A store in memory with the promises of the real one, for stories that are replayed many times."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

from hostler.core import events as ev
from hostler.core.errors import AlreadyExists, Conflict, NotFound, StaleFence
from hostler.core.events import Event, Recorded, decode, encode
from hostler.core.ports import Appended, ExecutionQuery, Fact, Idempotency, Position, Projection, Row
from hostler.core.state import State, fold


@dataclass(slots=True)
class _Kept:
    row: Row
    log: list[Recorded] = field(default_factory=list[Recorded])
    facts: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    shown: Projection | None = None


class MemoryWatch:
    """Says which executions changed."""

    def __init__(self, only: str | None) -> None:
        self._only = only
        self._changed: set[str] = set()
        self._event = asyncio.Event()

    def tell(self, execution: str) -> None:
        """Note a change."""
        if self._only in (None, execution):
            self._changed.add(execution)
            self._event.set()

    async def changed(self, timeout: float) -> frozenset[str]:
        """Return what changed since the last call."""
        try:
            async with asyncio.timeout(timeout):
                await self._event.wait()
        except TimeoutError:
            pass
        changed, self._changed = frozenset(self._changed), set()
        self._event.clear()
        return changed


class MemoryExecutions:
    """The log and the rows, lost with the object; events go through their JSON form, as they do on disk.

    `commits` are the kinds of the events of each append, in order.
    """

    def __init__(self, project: Callable[[State], Projection]) -> None:
        self._project = project
        self._kept: dict[str, _Kept] = {}
        self._keys: dict[tuple[str, str], tuple[str, str]] = {}
        self._watches: dict[MemoryWatch, None] = {}
        self.commits: list[tuple[str, ...]] = []

    async def create(
        self, execution: str, runner: str, events: Sequence[Event], at: datetime, once: Idempotency | None = None
    ) -> tuple[str, bool]:
        """Write a new execution."""
        if once and (known := self._keys.get((once.principal, once.key))):
            if known[1] != once.body_sha256:
                raise AlreadyExists("this idempotency key was used with another body")
            return known[0], False
        if once:
            self._keys[once.principal, once.key] = (execution, once.body_sha256)
        log = [Recorded(n, at, self._through_json(event)) for n, event in enumerate(events, start=1)]
        row = Row(execution, runner, "", 0, 0, len(log), "", 0, False, None, at, at, None, {})
        kept = _Kept(row, log)
        self._kept[execution] = kept
        self._refresh(kept, at)
        return execution, True

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
        """Append facts by fence and decisions by compare-and-set."""
        kept = self._kept.get(execution)
        if kept is None:
            raise NotFound("there is no such execution")
        if kept.row.fence != position.fence:
            raise StaleFence()
        decided = kept.row.last_seq == position.seq or not decisions
        if decisions and not decided and not facts:
            raise Conflict()
        fresh = [fact for fact in facts if (fact.effect, type(fact.event).__name__) not in kept.facts]
        events = [fact.event for fact in fresh] + (list(decisions) if decided else [])
        recorded = tuple(
            Recorded(kept.row.last_seq + n, at, self._through_json(event)) for n, event in enumerate(events, start=1)
        )
        fold(kept.log + list(recorded))
        kept.facts |= {(fact.effect, type(fact.event).__name__) for fact in fresh}
        kept.log.extend(recorded)
        done = decided and bool(decisions)
        kept.row = replace(
            kept.row,
            last_seq=kept.row.last_seq + len(recorded),
            fence=kept.row.fence + (1 if new_fence and done else 0),
            owner=own if own is not None and done else kept.row.owner,
            attempts=0 if progress else kept.row.attempts,
        )
        self._refresh(kept, at)
        self.commits.append(tuple(type(one.event).__name__ for one in recorded))
        return Appended(kept.row.position, recorded, decided)

    async def claim(self, execution: str, seen_fence: int, owner: str) -> Position | None:
        """Take the execution."""
        kept = self._kept.get(execution)
        if kept is None:
            raise NotFound("there is no such execution")
        if kept.row.fence != seen_fence:
            return None
        kept.row = replace(kept.row, fence=seen_fence + 1, owner=owner, attempts=kept.row.attempts + 1)
        return kept.row.position

    async def read(self, execution: str, after: int = 0, limit: int = 0) -> tuple[Recorded, ...]:
        """Return the events behind a seq."""
        kept = self._kept.get(execution)
        tail = kept.log[after:] if kept else []
        return tuple(tail[:limit] if limit else tail)

    def head(self, execution: str) -> int | None:
        """Return the last seq."""
        kept = self._kept.get(execution)
        return kept.row.last_seq if kept else None

    async def row(self, execution: str) -> Row | None:
        """Return the row."""
        kept = self._kept.get(execution)
        return kept.row if kept else None

    async def find(self, query: ExecutionQuery, before: str = "", limit: int = 25) -> tuple[Row, ...]:
        """Return rows, newest first; environments and roles do not filter here."""
        found = [kept.row for kept in self._kept.values() if kept.row.deleted_at is None and _matches(kept, query)]
        found.sort(key=lambda row: row.id, reverse=True)
        return tuple(row for row in found if not before or row.id < before)[:limit]

    async def count(self, query: ExecutionQuery, most: int) -> int:
        """Return how many rows there are, up to a bound."""
        return len(await self.find(query, "", most))

    def projections(self) -> dict[str, Projection]:
        """Return what is kept beside each log that is not deleted."""
        found = ((kept.row, kept.shown) for kept in self._kept.values())
        return {row.id: shown for row, shown in found if shown is not None and row.deleted_at is None}

    async def with_prefix(self, prefix: str, limit: int = 2, creator: str = "") -> tuple[Row, ...]:
        """Return rows by the beginning of their id."""
        found = (k for k in self._kept.values() if k.row.id.startswith(prefix) and k.row.deleted_at is None)
        rows = (k.row for k in found if not creator or (k.shown is not None and k.shown.creator_id == creator))
        return tuple(rows)[:limit]

    async def busy(self, runner: str) -> tuple[Row, ...]:
        """Return rows with something to do."""
        return tuple(k.row for k in self._kept.values() if k.row.busy and k.row.runner == runner)

    async def purge(self, execution: str) -> None:
        """Remove an execution."""
        self._kept.pop(execution, None)
        self.tell(execution)

    @asynccontextmanager
    async def watch(self, execution: str | None = None) -> AsyncGenerator[MemoryWatch]:
        """Watch one execution, or all."""
        watch = MemoryWatch(execution)
        self._watches[watch] = None
        try:
            yield watch
        finally:
            self._watches.pop(watch, None)

    def _refresh(self, kept: _Kept, at: datetime) -> None:
        shown = self._project(fold(kept.log))
        deleted = any(isinstance(recorded.event, ev.Deleted) for recorded in kept.log)
        kept.row = replace(
            kept.row,
            phase=shown.phase,
            turn=shown.turn,
            busy=shown.busy,
            due_at=shown.due_at,
            updated_at=at,
            deleted_at=at if deleted else None,
            view=shown.view,
        )
        kept.shown = shown
        self.tell(kept.row.id)

    def tell(self, execution: str) -> None:
        """Signal a change."""
        for watch in list(self._watches):
            watch.tell(execution)

    def _through_json(self, event: Event) -> Event:
        return decode(*encode(event))


def _matches(kept: _Kept, query: ExecutionQuery) -> bool:
    row, shown = kept.row, kept.shown
    assert shown is not None
    pairs = (
        (query.phases, row.phase),
        (query.agent_ids, shown.agent_id),
        (query.project_ids, shown.project_id),
        (query.creator_ids, shown.creator_id),
        (query.session_ids, shown.session_id),
        (query.execution_ids, row.id),
        (query.standings, shown.standing),
    )
    text = query.words.casefold()
    return (
        all(not wanted or value in wanted for wanted, value in pairs)
        and all(shown.annotations.get(key) == value for key, value in query.annotations.items())
        and (text in shown.words or row.id.startswith(text))
    )
