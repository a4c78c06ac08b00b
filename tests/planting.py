"""Logs put into the database of a server that is not running: long ones, many, and those of the corpus."""

import asyncio
import contextlib
import itertools
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from hostler.core import events as ev
from hostler.core import kept
from hostler.core.conversation import Text, Thinking, Usage
from hostler.core.events import Recorded
from hostler.core.ports import Position
from hostler.core.state import State, evolve
from hostler.projections.row import project
from hostler.store import Fold, Store, open_store
from tests.corpus.logs import BEGAN, Writing, call, named, ready, started
from tests.server import MADE_UP

ELSEWHERE = "00000000-0000-4000-8000-00000000e15e"
"""The runner that planted executions belong to: a server shows them and leaves them alone."""
TURN_STEPS = 12


def long(events: int, name: str = "long") -> list[Recorded]:
    """Return the log of a long conversation, idle at its end: turns with texts, commands, edits and their outputs."""
    w = Writing(name)
    w.add(started(name, name="A long conversation"))
    for turn in itertools.count(1):
        _turn(w, turn)
        if len(w.log) >= events:
            return w.log
    raise AssertionError


def _turn(w: Writing, turn: int) -> None:
    asked = w.queued(f"{turn}", f"Please do part {turn} of the plan, with its tests.")
    w.add(*([ready(w.name)] if turn == 1 else []), ev.TurnStarted(turn, "life-1", 1.0), ev.InputTaken((asked,)))
    for step in range(TURN_STEPS):
        key, path = f"c{turn}-{step}", f"package/module_{step}.py"
        said = Text(f"Step {step + 1} of part {turn}: I look at `{path}` and **change** what the plan says.")
        if step % 3 == 0:
            output = "".join(f"line {n} of what the command printed\n" for n in range(40))
            w.replied(key, Thinking("What the plan wants here."), said, call(1, "bash", command=f"cat {path}"))
            w.ran(f"{key}.0", "bash", {"command": f"cat {path}"}, output, exit_code=0)
        elif step % 3 == 1:
            old, new = f"def part_{turn}():\n    return {turn}", f"def part_{turn}():\n    return {turn + 1}\n"
            edit = {"file": path, "old": old, "new": new, "line": 10 + step}
            w.replied(key, said, call(1, "edit", path=path, old=old, new=new))
            w.ran(f"{key}.0", "edit", {"path": path}, f"edited {path}", details=edit)
        else:
            w.replied(key, said, call(1, "bash", command="python3 -m unittest -q"))
            w.ran(
                f"{key}.0", "bash", {"command": "python3 -m unittest -q"}, "Ran 5 tests in 0.01s\n\nOK\n", exit_code=0
            )
    w.replied(f"c{turn}-end", Text(f"Part {turn} is done.\n\n- the modules are changed\n- all tests pass"))
    w.add(ev.TurnEnded(turn), kept.WorkKept(turn, named(turn)[:12], TURN_STEPS, 4000, "f3e7b8b2f887"), seconds=30)


def short(number: int, began: datetime) -> tuple[str, list[Recorded]]:
    """Return the id and the log of one of many executions: idle, stopped, failed or waiting, in turn."""
    name = f"many-{number}"
    w = Writing(name, began)
    annotations = {"team": ("docs", "web", "data")[number % 3]}
    session = named("session", number // 20)
    title = f"{('Mend', 'Explain', 'Tidy', 'Test')[number % 4]} part {number} of the project"
    w.add(started(name, name=title, session=session, request={"annotations": annotations}))
    asked = w.queued("1", title)
    w.add(ready(name), ev.TurnStarted(1, "life-1", 1.0), ev.InputTaken((asked,)))
    w.replied("c1", Text("It is done."), usage=Usage(1000 + number, 20_000, 500, 300))
    if number % 7 == 0:
        w.add(ev.Stopped(1, "llm_integration", "the provider refuses the key (401)"), ev.GroupGone(1))
    else:
        w.add(ev.TurnEnded(1), kept.WorkKept(1, named(number)[:12], 1, 400, "f3e7b8b2f887"))
    return id_at(began, number), w.log


def family(began: datetime) -> list[tuple[str, list[Recorded]]]:
    """Return an execution with two sub-agents, one of which has one of its own."""
    names = ("Find out why the job is flaky", "Look into the flaky job", "Read its history", "Ask what changed")
    parents = (None, 0, 0, 1)
    made: list[tuple[str, list[Recorded]]] = []
    for number, (title, parent) in enumerate(zip(names, parents, strict=True)):
        w = Writing(f"family-{number}", began + timedelta(minutes=number))
        annotations = {} if parent is None else {"hostler/parent": made[parent][0]}
        w.add(started(w.name, name=title, session=named("family"), request={"annotations": annotations}))
        asked = w.queued("1", f"{title}.")
        w.add(ready(w.name), ev.TurnStarted(1, "life-1", 1.0), ev.InputTaken((asked,)))
        w.replied("c1", Text(f"I am done: {title.lower()}."))
        w.add(ev.TurnEnded(1))
        made.append((id_at(w.at, 90_000 + number), w.log))
    return made


def id_at(at: datetime, number: int) -> str:
    """Return an id that sorts by its time, as those of real executions do."""
    stamp = int(at.timestamp() * 1000)
    return f"{stamp >> 16:08x}-{stamp & 0xFFFF:04x}-7000-8000-{number:012x}"


def many(count: int, last: datetime = BEGAN) -> Iterator[tuple[str, list[Recorded]]]:
    """Yield executions, a minute apart, the newest last."""
    for number in range(count):
        yield short(number, last - timedelta(minutes=count - number))


def plant(data: Path, logs: Iterable[tuple[str, Sequence[Recorded]]], commit: int = 1) -> None:
    """Write logs into the database of a data folder; `commit` events each share the time of the last of them."""
    asyncio.run(_plant(data, logs, commit))
    (data / MADE_UP).touch()


async def _plant(data: Path, logs: Iterable[tuple[str, Sequence[Recorded]]], commit: int) -> None:
    url = f"sqlite:///{data / 'hostler.db'}"
    async with open_store(url, blobs=data / "blobs", fold=Fold(State(), evolve, project)) as store:
        for batch in _batched(logs, 200):
            await asyncio.gather(*(_one(store, id_, log, commit) for id_, log in batch))


def _batched(
    logs: Iterable[tuple[str, Sequence[Recorded]]], size: int
) -> Iterator[tuple[tuple[str, Sequence[Recorded]], ...]]:
    left = iter(logs)
    while batch := tuple(itertools.islice(left, size)):
        yield batch


async def _one(store: Store, id_: str, log: Sequence[Recorded], commit: int) -> None:
    parts = [log[start : start + commit] for start in range(0, len(log), commit)]
    first, *rest = ([recorded.event for recorded in part] for part in parts)
    await store.executions.create(id_, ELSEWHERE, first, parts[0][0].at)
    append = store.executions.append
    behind = zip(parts[1:], rest, strict=True)
    await asyncio.gather(*(append(id_, Position(0, p[0].seq - 1), p[-1].at, decisions=e) for p, e in behind))


def multiply(data: Path, times: int) -> None:
    """Repeat every row of the list under new ids, without its log, so that there are `times` as many."""
    with contextlib.closing(sqlite3.connect(data / "hostler.db")) as database, database:
        for table, key in (
            ("execution", "id"),
            ("annotation", "execution_id"),
            ("execution_environment", "execution_id"),
        ):
            columns = [name for _, name, *_ in database.execute(f"PRAGMA table_info({table})")]
            copied = [f"substr({key}, 1, 24) || ? || substr({key}, 27)" if name == key else name for name in columns]
            rows = f"SELECT {', '.join(copied)} FROM {table} WHERE substr({key}, 25, 2) = '00'"
            for number in range(1, times):
                database.execute(f"INSERT INTO {table} ({', '.join(columns)}) {rows}", (f"{number:02x}",))
