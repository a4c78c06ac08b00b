"""Postgres ends in the middle of appends and starts again, several times: what was acknowledged is there, once."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest

from hostler.core.errors import Conflict, Unavailable
from hostler.core.ports import EVERYTHING, Fact, Position
from hostler.store import Store, open_store
from hostler.testing.postgres import NoPostgres, ThrowAwayPostgres, throw_away_postgres
from hostler.testing.store_suite import FOLD
from hostler.testing.store_suite.scene import INCARNATION, NOW, RUNNER, finished, new_id, queued, shown, started

pytestmark = [pytest.mark.postgres, pytest.mark.crash]
WRITERS, BETWEEN = 6, 60
PATIENCE = 60
ENDS = (signal.SIGQUIT, signal.SIGKILL, signal.SIGINT, signal.SIGKILL, signal.SIGQUIT)
"""Crash, the death of the postmaster alone, and an orderly end that breaks off what is under way."""


@pytest.fixture
def own_postgres() -> Iterator[ThrowAwayPostgres]:
    try:
        with throw_away_postgres() as server:
            yield server
    except NoPostgres as problem:
        pytest.skip(str(problem))


def start(server: ThrowAwayPostgres) -> None:
    """Start it; sessions of a postmaster that was killed hold its memory for a moment."""
    while True:
        with suppress(NoPostgres):
            return server.start()


@dataclass
class Tally:
    """What writers were told."""

    acknowledged: list[tuple[str, int, str]] = field(default_factory=list[tuple[str, int, str]])
    unavailable: int = 0
    over: bool = False
    _more: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def add(self, execution: str, seq: int, name: str) -> None:
        self.acknowledged.append((execution, seq, name))
        async with self._more:
            self._more.notify_all()

    async def is_told(self) -> None:
        """Return when somebody was told that the database is away."""
        before = self.unavailable
        async with asyncio.timeout(PATIENCE):
            while self.unavailable == before:
                await asyncio.sleep(0.01)

    async def grows(self) -> None:
        goal = len(self.acknowledged) + BETWEEN
        async with asyncio.timeout(PATIENCE), self._more:
            await self._more.wait_for(lambda: len(self.acknowledged) >= goal)


async def write(store: Store, tally: Tally) -> None:
    """Append facts and decisions in turn; one that was not acknowledged is asked for again."""
    execution = new_id()
    while True:
        try:
            await store.executions.create(execution, RUNNER, [started()], NOW)
        except Unavailable:
            tally.unavailable += 1
        except Exception:  # noqa: BLE001 - it is there: the acknowledgement was lost
            break
        else:
            break
        await asyncio.sleep(0.02)
    for n in count():
        if tally.over:
            return
        name, seq = f"{execution}-{n}", 0
        while not seq:
            try:
                seq = await (fact if n % 2 else decide)(store, execution, name)
            except Unavailable:
                tally.unavailable += 1
                await asyncio.sleep(0.02)
        await tally.add(execution, seq, name)


async def fact(store: Store, execution: str, name: str) -> int:
    at = Position(0, 1)
    appended = await store.executions.append(execution, at, NOW, facts=[Fact(name, finished(name))])
    return appended.position.seq


async def decide(store: Store, execution: str, name: str) -> int:
    """Decide from what the log says; a decision that is in it already was made, although nobody was told."""
    log = await store.executions.read(execution)
    known = [recorded.seq for recorded in log if recorded.event == queued(name)]
    if known:
        return known[0]
    with suppress(Conflict):
        at = Position(0, len(log))
        return (await store.executions.append(execution, at, NOW, decisions=[queued(name)])).position.seq
    return 0


async def test_what_was_acknowledged_is_there_once_and_everybody_comes_back(
    own_postgres: ThrowAwayPostgres, tmp_path: Path
) -> None:
    tally = Tally()
    async with AsyncExitStack() as stack:
        here, there = [
            await stack.enter_async_context(open_store(own_postgres.url(), blobs=tmp_path, fold=FOLD)) for _ in "ab"
        ]
        await here.runners.boot(RUNNER, INCARNATION, NOW + timedelta(hours=1))
        async with there.executions.watch() as watch, asyncio.TaskGroup() as group:
            for n in range(WRITERS):
                group.create_task(write((here, there)[n % 2], tally))
            for number, how in enumerate(ENDS):
                await tally.grows()
                await asyncio.to_thread(own_postgres.end, how)
                if number % 2 == 0:  # the others are so short that hardly anybody notices
                    await tally.is_told()
                await asyncio.to_thread(start, own_postgres)
            await tally.grows()
            tally.over = True
            async with asyncio.timeout(PATIENCE):
                while EVERYTHING not in await watch.changed(1.0):
                    pass
        last, _ = await here.executions.create(new_id(), RUNNER, [started()], NOW)
        async with asyncio.timeout(PATIENCE), there.executions.watch() as watch:
            for n in count():
                await here.executions.append(last, Position(0, 1), NOW, facts=[Fact(f"t{n}", finished(f"{n}"))])
                if last in await watch.changed(1.0):
                    break
        await agrees(there, tally)


async def agrees(store: Store, tally: Tally) -> None:
    """Check every log against what its writer was told."""
    for execution in {name for name, _, _ in tally.acknowledged}:
        log, row = await store.executions.read(execution), await store.executions.row(execution)
        assert row is not None
        assert [recorded.seq for recorded in log] == list(range(1, row.last_seq + 1))
        assert row.view == shown(log)
        told = [str(recorded.event) for recorded in log]
        assert len(told) == len(set(told))
        for _, seq, name in (one for one in tally.acknowledged if one[0] == execution):
            assert name in str(log[seq - 1].event)
