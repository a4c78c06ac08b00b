"""The same story, cut at every commit and with two owners, on the real stores."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from hostler.core.state import State, evolve
from hostler.engine.engine import Identity
from hostler.projections.row import project
from hostler.store import Fold, Store, open_store
from hostler.testing.clock import HandClock
from hostler.testing.link import Link
from hostler.testing.postgres import throw_away_postgres
from hostler.testing.stage import Stage
from tests.engine import test_residents as residents
from tests.engine.test_crashes import check, essence, new_stage, tell, whole_story


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    with throw_away_postgres() as server:
        yield server.url()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path}/hostler.db" if sqlite else request.getfixturevalue("postgres_url")
    async with open_store(url, blobs=tmp_path / "blobs", fold=Fold(State(), evolve, project)) as store:
        yield store


CLOCK = HandClock()


def stage_on(store: Store, name: str) -> Stage:
    """A stage whose log is in a real store, with a runner of its own."""
    stage = new_stage()
    stage.clock, stage.executions, stage.runner = CLOCK, store.executions, f"runner-{name}"

    async def register(identity: Identity) -> None:
        await store.runners.boot(identity.runner, identity.incarnation, CLOCK.now())

    stage.register = register
    return stage


async def test_the_story_survives_a_crash_at_every_commit_in_a_database(store: Store):
    expected, commits = await whole_story()
    for way in ("die_before", "die_after"):
        for number in range(1, commits + 1):
            stage = stage_on(store, f"{way}-{number}")
            await stage.boot(Link(stage.executions, **{way: number}))
            log = await tell(stage)
            await stage.kill()
            check(log)
            assert essence(log) == expected, (way, number)
            assert len(stage.world.machine.started) == len(set(stage.world.machine.started)), (way, number)


async def test_every_step_doubled_changes_nothing_in_a_database(store: Store):
    expected, _ = await whole_story()
    stage = stage_on(store, "doubled")
    await stage.boot(Link(stage.executions, doubled=True))
    log = await tell(stage)
    await stage.kill()
    assert essence(log) == expected


async def test_an_owner_that_wakes_up_after_its_successor_writes_nothing_to_a_database(store: Store):
    expected, commits = await whole_story()
    for number in range(3, commits, 3):
        stage = stage_on(store, f"zombie-{number}")
        zombie = Link(stage.executions, pause_before=number)
        first = await stage.boot(zombie)
        execution = await stage.start("scripted:story")
        sending = asyncio.create_task(stage.send(execution, "mend it"))
        await zombie.paused.wait()
        second = await stage.boot()
        if not (await stage.state(execution)).inputs:
            await stage.send(execution, "mend it")
        await stage.rest(execution)
        before = await stage.log(execution)
        started = list(stage.world.machine.started)
        zombie.go.set()
        sending.cancel()
        while first.engine.busy():
            await asyncio.sleep(0)
        assert await stage.log(execution) == before
        assert stage.world.machine.started == started
        assert essence(before) == expected
        await first.engine.close()
        await second.engine.close()


async def test_the_story_of_a_resident_survives_crashes_in_a_database(store: Store):
    expected, commits = await residents.whole_story()
    for number in range(1, commits + 1):
        stage = residents.stage_of()
        stage.clock, stage.executions, stage.runner = CLOCK, store.executions, f"runner-resident-{number}"
        stage.register = stage_on(store, f"resident-{number}").register
        even = number % 2 == 0
        await stage.boot(Link(stage.executions, die_before=0 if even else number, die_after=number if even else 0))
        log = await residents.tell(stage)
        await stage.kill()
        residents.check(log)
        told = residents.essence(log) - Counter(WorkKept=1)  # It may be kept already when the log is read.
        assert told == expected - Counter(WorkKept=1), number
        assert stage.world.machine.started == ["agent-1"], number
