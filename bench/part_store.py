"""How many appends the log takes, beside rows in SQLite with the same promise: on the disk before it is said to be."""

import asyncio
import contextlib
import itertools
import sqlite3
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import uvloop
from tests.server import short_folder

from bench import bare
from bench.figures import Figure, in_turns
from hostler.core import events as ev
from hostler.core.ambient import SystemAmbient
from hostler.core.state import State, evolve
from hostler.projections.row import project
from hostler.store import Fold, Store, open_store

AMBIENT = SystemAmbient()
MANY = 64
APPENDS = 256
STARTED = ev.Started({}, ev.Agent("agent", "bench", "builtin", "scripted:any"), "", False, "user", "session")


@asynccontextmanager
async def opened(folder: Path) -> AsyncGenerator[Store]:
    fold = Fold(State(), evolve, project)
    async with open_store(f"sqlite:///{folder}/log.db", blobs=folder / "blobs", fold=fold) as store:
        await store.runners.boot("runner", "incarnation", AMBIENT.now() + timedelta(hours=1))
        yield store


async def _begin(store: Store) -> str:
    return (await store.executions.create(AMBIENT.new_id(), "runner", [STARTED], AMBIENT.now()))[0]


async def _append(store: Store, execution: str, count: int) -> None:
    """Append small decisions one after the other, each at the position that the last one gave."""
    row = await store.executions.row(execution)
    assert row is not None
    position = row.position
    for number in range(count):
        changed = ev.AnnotationsSet({"number": str(number)})
        appended = await store.executions.append(execution, position, AMBIENT.now(), decisions=(changed,))
        position = appended.position


async def rate(store: Store, tasks: int) -> float:
    executions = [await _begin(store) for _ in range(tasks)]
    since = time.perf_counter()
    await asyncio.gather(*(_append(store, execution, APPENDS // tasks) for execution in executions))
    return APPENDS / (time.perf_counter() - since)


def raw_rate(database: sqlite3.Connection, execution: str) -> float:
    since = time.perf_counter()
    for seq in range(APPENDS):
        bare.commit(database, execution, seq)
    return APPENDS / (time.perf_counter() - since)


def measure() -> Iterator[Figure]:
    names = (f"raw-{number}" for number in itertools.count())
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(short_folder())
        database = stack.enter_context(bare.raw_database(folder / "raw.db"))
        runner = stack.enter_context(asyncio.Runner(loop_factory=uvloop.new_event_loop))
        opening = opened(folder)
        store = runner.run(opening.__aenter__())
        try:
            works = {
                "one": lambda: runner.run(rate(store, 1)),
                "many": lambda: runner.run(rate(store, MANY)),
                "raw": lambda: raw_rate(database, next(names)),
            }
            found = in_turns(7, works)
        finally:
            runner.run(opening.__aexit__(None, None, None))
    against = "one row a commit with sqlite3"
    yield Figure("store", "appends, one task", "1/s", found["one"], found["raw"], against, better="higher")
    yield Figure("store", f"appends, {MANY} tasks", "1/s", found["many"], found["raw"], against, better="higher")
