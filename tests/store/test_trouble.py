"""Full disks, locks of others, lost connections, and the death of the process."""

import asyncio
import os
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from hostler.core.errors import FailedPrecondition, Unavailable
from hostler.core.ports import Fact, Position
from hostler.store import open_store
from hostler.testing.postgres import ThrowAwayPostgres
from hostler.testing.store_suite import FOLD
from hostler.testing.store_suite.scene import NOW, RUNNER, finished, new_id, queued, shown, started
from tests.store.conftest import Home

SOON = timedelta(milliseconds=50)
CHILD = Path(__file__).with_name("appending_child.py")


@contextmanager
def file_size_limit(size: int) -> Generator[None]:
    """Let no file grow beyond `size` bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


async def test_on_a_full_disk_appends_fail_clearly_and_go_on_when_there_is_room(sqlite_home: Home) -> None:
    big = finished("big", "x" * 2_000_000)
    async with sqlite_home.open() as store:
        execution, _ = await store.executions.create(new_id(), RUNNER, [started()], NOW)
        with file_size_limit(1_000_000):
            appends = (
                store.executions.append(execution, Position(0, 1), NOW, facts=[Fact(f"t{n}", big)]) for n in range(3)
            )
            answers = await asyncio.gather(*appends, return_exceptions=True)
            with pytest.raises(Unavailable):
                await store.blobs.put(execution, b"y" * 2_000_000)
        assert [type(answer) for answer in answers] == [Unavailable] * 3
        assert len(await store.executions.read(execution)) == 1
        await store.executions.append(execution, Position(0, 1), NOW, facts=[Fact("t", big)])
        row = await store.executions.row(execution)
        log = await store.executions.read(execution)
        assert row is not None
        assert (len(log), row.view) == (2, shown(log))
        assert not list(sqlite_home.blobs.glob("*.part"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("this user may not mount a small file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


async def test_a_disk_without_room_refuses_clearly_keeps_what_it_acknowledged_and_goes_on(small_disk: Path) -> None:
    home = Home(f"sqlite:///{small_disk}/hostler.db", small_disk / "blobs")
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * 600_000)
    async with home.open() as store:
        execution, _ = await store.executions.create(new_id(), RUNNER, [started()], NOW)
        acknowledged = 0
        with pytest.raises(Unavailable, match="full"):
            for n in range(1000):
                fact = Fact(f"t{n}", finished(str(n), str(n) * 1000))
                await store.executions.append(execution, Position(0, 1), NOW, facts=[fact])
                acknowledged += 1
        with pytest.raises(Unavailable):
            await store.blobs.put(execution, b"y" * 500_000)
        with pytest.raises(Unavailable):
            await store.executions.create(new_id(), RUNNER, [started({"long": "x" * 100_000})], NOW)
        assert len(await store.executions.read(execution)) == 1 + acknowledged
        filler.unlink()
        await store.executions.append(execution, Position(0, 1), NOW, facts=[Fact("room", finished("room"))])
        row, log = await store.executions.row(execution), await store.executions.read(execution)
        assert row is not None
        assert (len(log), row.last_seq, row.view) == (acknowledged + 2, acknowledged + 2, shown(log))
    async with home.open() as store:
        assert len(await store.executions.read(execution)) == acknowledged + 2


async def test_a_disk_that_was_full_from_the_beginning_refuses_to_open_and_opens_later(small_disk: Path) -> None:
    home = Home(f"sqlite:///{small_disk}/hostler.db", small_disk / "blobs")
    filler = small_disk / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass
    with pytest.raises(Unavailable):
        async with home.open():
            pass
    filler.unlink()
    async with home.open() as store:
        await store.executions.create(new_id(), RUNNER, [started()], NOW)


async def test_a_database_that_somebody_else_has_locked_refuses_to_open_and_opens_later(
    sqlite_home: Home, tmp_path: Path
) -> None:
    async with sqlite_home.open():
        pass
    other = sqlite3.connect(tmp_path / "hostler.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(Unavailable, match="locked"):
        async with sqlite_home.open(patience=SOON):
            pass
    other.close()
    async with sqlite_home.open():
        pass


async def test_a_lock_of_somebody_else_fails_the_append_and_nothing_after_it(sqlite_home: Home, tmp_path: Path) -> None:
    async with sqlite_home.open(patience=SOON) as store:
        execution, _ = await store.executions.create(new_id(), RUNNER, [started()], NOW)
        other = sqlite3.connect(tmp_path / "hostler.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="locked"):
            await store.executions.append(execution, Position(0, 1), NOW, decisions=[queued("a")])
        assert len(await store.executions.read(execution)) == 1
        other.close()
        appended = await store.executions.append(execution, Position(0, 1), NOW, decisions=[queued("a")])
        assert appended.position == Position(0, 2)


async def test_bytes_of_a_write_that_was_cut_off_are_swept_away(sqlite_home: Home) -> None:
    sqlite_home.blobs.mkdir()
    (sqlite_home.blobs / "cut-off.part").write_bytes(b"half")
    async with sqlite_home.open() as store:
        await store.blobs.put("e", b"whole")
    assert [path.read_bytes() for path in sqlite_home.blobs.rglob("*") if path.is_file()] == [b"whole"]


@pytest.mark.postgres
async def test_lost_connections_are_noticed_by_nobody_when_the_database_answers_again(
    postgres_home: Home, postgres: ThrowAwayPostgres
) -> None:
    engine = create_engine(postgres.url().replace("postgresql://", "postgresql+psycopg://"))
    async with postgres_home.open() as store:
        execution, _ = await store.executions.create(new_id(), RUNNER, [started()], NOW)
        await store.executions.read(execution)
        with engine.begin() as connection:
            kill = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'hostler'"
            assert all(connection.execute(text(kill)).scalars())
        assert len(await store.executions.read(execution)) == 1
        await store.executions.append(execution, Position(0, 1), NOW, decisions=[queued("a")])
        row = await store.executions.row(execution)
        log = await store.executions.read(execution)
        assert row is not None
        assert (len(log), row.view) == (2, shown(log))
    engine.dispose()


@pytest.mark.postgres
async def test_a_table_lock_of_somebody_else_fails_the_append_and_nothing_after_it(postgres_home: Home) -> None:
    engine = create_engine(postgres_home.driver_url)
    async with postgres_home.open(patience=SOON) as store:
        execution, _ = await store.executions.create(new_id(), RUNNER, [started()], NOW)
        with engine.connect() as other:
            other.execute(text("LOCK TABLE execution IN EXCLUSIVE MODE"))
            with pytest.raises(Unavailable, match="lock timeout"):
                await store.executions.append(execution, Position(0, 1), NOW, decisions=[queued("a")])
        await store.executions.append(execution, Position(0, 1), NOW, decisions=[queued("a")])
    engine.dispose()


@pytest.mark.postgres
async def test_a_database_that_cannot_hold_every_text_is_refused(postgres: ThrowAwayPostgres, tmp_path: Path) -> None:
    engine = create_engine(postgres.url().replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(
            text("CREATE DATABASE plain ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
        )
        with pytest.raises(FailedPrecondition, match="UTF8"):
            async with open_store(postgres.url().replace("/postgres?", "/plain?"), blobs=tmp_path, fold=FOLD):
                pass
        connection.execute(text("DROP DATABASE plain WITH (FORCE)"))
    engine.dispose()


@pytest.mark.crash
async def test_a_killed_process_loses_nothing_that_it_acknowledged(home: Home) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(CHILD), home.url, str(home.blobs), stdout=asyncio.subprocess.PIPE, env={**os.environ}
    )
    assert child.stdout is not None
    acknowledged = [(await child.stdout.readline()).decode().split() for _ in range(200)]
    child.kill()
    rest = (await child.stdout.read()).decode()
    acknowledged += [line.split() for line in rest.splitlines(keepends=True) if line.endswith("\n")]
    await child.wait()
    async with home.open() as store:
        logs = {execution: await store.executions.read(execution) for execution, _, _ in acknowledged}
        for execution, seq, name in acknowledged:
            assert logs[execution][int(seq) - 1].event == finished(name, name * 50)
        for execution, log in logs.items():
            row = await store.executions.row(execution)
            assert row is not None
            assert [recorded.seq for recorded in log] == list(range(1, row.last_seq + 1))
            assert row.view == shown(log)
            await store.executions.append(execution, row.position, NOW, decisions=[queued("after the crash")])
