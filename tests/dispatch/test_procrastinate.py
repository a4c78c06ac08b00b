"""The dispatcher of many processes keeps the promises, and survives what happens to processes and to Postgres."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from hostler.core.ambient import SystemAmbient
from hostler.dispatch.procrastinate import ProcrastinateDispatch
from hostler.testing.dispatch_suite import HERE, PATIENCE, THERE, Maker, SharedDispatchSuite, Station
from hostler.testing.postgres import ThrowAwayPostgres

pytestmark = pytest.mark.postgres
CHILD = Path(__file__).with_name("killed_child.py")
NUMBERS = count(1)


@pytest.fixture
def url(postgres: ThrowAwayPostgres) -> Iterator[str]:
    schema = f"d{next(NUMBERS)}"
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        names = sql.Identifier(schema), sql.Identifier(f"{schema}_jobs")
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(names[0]))
        yield postgres.url(schema)
        connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {}, {} CASCADE").format(*names))


@pytest.fixture
def maker(url: str) -> Maker:
    return lambda runner: ProcrastinateDispatch(url, runner, SystemAmbient())


async def jobs(url: str) -> list[tuple[str, str]]:
    """Return the queues and states of all jobs there are."""
    async with await psycopg.AsyncConnection.connect(url) as connection:
        (schema,) = await (await connection.execute("SELECT current_schema() || '_jobs'")).fetchone() or ("",)
        table = sql.Identifier(schema, "procrastinate_jobs")
        found = await connection.execute(sql.SQL("SELECT queue_name, status::text FROM {} ORDER BY id").format(table))
        return await found.fetchall()


class TestProcrastinate(SharedDispatchSuite):
    async def test_finished_jobs_are_removed_and_doubled_ones_are_one(self, station: Station, url: str) -> None:
        here = await station.started()
        for name in "abab":
            await here.dispatch.nudge(name, THERE)
        await station.stopped(here)
        assert await jobs(url) == [(f"runner:{THERE}", "todo")] * 2
        there = await station.started(THERE)
        await there.until("a", "b")
        await station.stopped(there)
        assert await jobs(url) == []

    async def test_the_job_of_a_killed_process_comes_again(self, station: Station, url: str) -> None:
        here = await station.started()
        child = await asyncio.create_subprocess_exec(sys.executable, str(CHILD), url, THERE)
        await here.dispatch.nudge("a", THERE)
        async with asyncio.timeout(PATIENCE):
            assert await child.wait() == -signal.SIGKILL
        assert await jobs(url) == [(f"runner:{THERE}", "doing")]
        await here.dispatch.nudge("a", THERE)  # one like it waits when the first is given back
        there = await station.started(THERE)
        await there.until("a")
        await station.stopped(there)
        await station.stopped(here)
        assert await jobs(url) == []

    async def test_when_connections_are_lost_it_comes_back_by_itself(self, station: Station, url: str) -> None:
        here, there = await station.started(), await station.started(THERE)
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            kill = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'hostler'"
            await connection.execute(kill)
        async with asyncio.timeout(PATIENCE):
            n = 0
            while not there.told:
                n += 1
                await here.dispatch.nudge(f"e{n}", THERE)
                await asyncio.sleep(0.1)
        await there.dispatch.nudge("back", HERE)
        await here.until("back")

    async def test_a_database_that_is_away_fails_no_nudge_and_no_start(self, tmp_path: Path) -> None:
        dispatch = ProcrastinateDispatch(f"postgresql://nobody@/x?host={tmp_path}", HERE, SystemAmbient())
        told: list[str] = []
        await dispatch.start(told.append)
        await dispatch.nudge("a", THERE)
        await dispatch.nudge("b", HERE)
        await dispatch.stop()
        assert told == ["b"]

    async def test_its_tables_are_made_once_however_many_begin_at_once(self, station: Station) -> None:
        desks = await asyncio.gather(*(station.started(f"runner-{n}") for n in range(4)))
        for n, desk in enumerate(desks):
            await desk.dispatch.nudge(f"e{n}", f"runner-{(n + 1) % 4}")
        for n, desk in enumerate(desks):
            await desk.until(f"e{(n - 1) % 4}")


def test_one_process_on_one_file_does_not_import_it() -> None:
    code = "import sys, hostler.app; sys.exit('procrastinate' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
