"""What earlier releases wrote is read, shown as it was shown then, and gone on with."""

import json
import sqlite3
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from hostler.core.events import Recorded, decode
from hostler.core.ports import ExecutionQuery, Row
from hostler.core.state import State, evolve, fold
from hostler.engine.engine import Identity
from hostler.projections.blocks import frames
from hostler.projections.row import project
from hostler.store import Fold, Store, open_store
from hostler.testing.stage import Stage
from tests import corpus
from tests.engine.test_crashes import check, new_stage

RELEASES = sorted(folder for folder in (corpus.HERE / "releases").iterdir() if (folder / "hostler.sql").exists())
LOGS = [log for release in RELEASES for log in sorted((release / "logs").glob("*.jsonl"))]


def named(path: Path) -> str:
    return "-".join(path.parts[path.parts.index("releases") + 1 :])


@pytest.fixture(params=RELEASES, ids=named)
def release(request: pytest.FixtureRequest) -> Path:
    return request.param


@asynccontextmanager
async def upgraded(release: Path, place: Path) -> AsyncGenerator[Store]:
    """Open a release's database with the code of today."""
    with closing(sqlite3.connect(place / "hostler.db")) as database:
        database.executescript((release / "hostler.sql").read_text())
    url = f"sqlite:///{place / 'hostler.db'}"
    async with open_store(url, blobs=place / "blobs", fold=Fold(State(), evolve, project)) as store:
        yield store


def stage_on(store: Store, runner: str) -> Stage:
    """The machine that a runner of the release was, with its next process."""
    stage = new_stage()
    stage.executions, stage.runner, stage.lives = store.executions, runner, 100

    async def register(identity: Identity) -> None:
        await store.runners.boot(identity.runner, identity.incarnation, stage.clock.now())

    stage.register = register
    return stage


def views(release: Path) -> Mapping[str, Any]:
    return json.loads((release / "views.json").read_text())


def missing(then: Any, now: Any, path: str = "") -> list[str]:
    """Return where an answer of today does not say what it said then; it may say more."""
    match then, now:
        case dict(), dict():
            pairs = [(f"{path}.{key}", then[key], now.get(key)) for key in then]
        case list(), list() if len(then) == len(now):
            pairs = [(f"{path}[{n}]", a, b) for n, (a, b) in enumerate(zip(then, now, strict=True))]
        case _:
            return [] if then == now else [f"{path}: {then!r} is {now!r}"]
    return [one for where, a, b in pairs for one in missing(a, b, where)]


def plain(view: Any) -> Any:
    return json.loads(json.dumps(view, default=dict))


@pytest.mark.parametrize("file", LOGS, ids=named)
def test_a_log_is_read_and_answered_as_it_was(file: Path) -> None:
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    log = [
        Recorded(n["seq"], datetime.fromisoformat(n["at"]), decode(n["kind"], n["version"], n["body"])) for n in lines
    ]
    assert missing(views(file.parent.parent)[file.stem], plain(project(fold(log)).view)) == []
    assert list(frames(file.stem, log))


async def test_a_database_is_opened_and_answers_as_it_did(release: Path, tmp_path: Path) -> None:
    async with upgraded(release, tmp_path) as store:
        told = {name: view for name, view in views(release).items() if "-" in name}
        for name, view in told.items():
            row = await store.executions.row(name)
            assert row is not None
            assert missing(view, plain(row.view)) == [], name
            assert missing(view, plain((await store.executions.rebuild(name)).view)) == [], name
        found = await store.executions.find(ExecutionQuery(), limit=100)
        assert {row.id for row in found} == {row.id for row in await rows(store, told) if row.deleted_at is None}


async def test_executions_go_on_where_the_release_left_them(release: Path, tmp_path: Path) -> None:
    async with upgraded(release, tmp_path) as store:
        lived = [row for row in await rows(store, views(release)) if row.runner.startswith("recorded-")]
        assert {row.phase for row in lived} >= {"WAITING_FOR_INPUT", "RUNNING"}
        for row in lived:
            stage, before = stage_on(store, row.runner), await store.executions.read(row.id)
            await stage.world.prepare("", row.id, row.fence)  # the environment has outlived the upgrade
            await stage.boot()
            if row.phase != "PENDING":
                await stage.rest(row.id)
            await stage.send(row.id, "and once more", "another-input")
            state = await stage.rest(row.id)
            await stage.kill()
            log = await store.executions.read(row.id)
            check(log)
            assert log[: len(before)] == before
            assert (state.phase, state.turn > row.turn) == ("WAITING_FOR_INPUT", True)


async def rows(store: Store, names: Mapping[str, Any]) -> Sequence[Row]:
    found = [await store.executions.row(name) for name in names]
    return [row for row in found if row is not None]
