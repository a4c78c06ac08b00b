"""What happens before the first append: the lock, the schema, the data of a newer release."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

import pytest
from sqlalchemy import Connection, NullPool, create_engine, inspect, text
from sqlalchemy.exc import DBAPIError

from hostler.core.errors import FailedPrecondition, InvalidArgument, NewerRelease, Unavailable
from hostler.core.ports import ExecutionQuery
from hostler.store import open_store
from hostler.store.migrations import PROJECTED, STEPS, migrate
from hostler.store.schema import metadata
from hostler.testing.store_suite import FOLD
from hostler.testing.store_suite.scene import NOW, RUNNER, new_id, queued, started
from hostler.testing.store_suite.spending import DAY, ONE, called
from tests.store.conftest import Home

SOON = timedelta(milliseconds=50)


@pytest.fixture
def behind(home: Home) -> Iterator[Connection]:
    """A connection behind the store's back."""
    engine = create_engine(home.driver_url)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


async def test_a_second_process_is_refused_and_may_come_when_the_first_has_left(sqlite_home: Home) -> None:
    async with sqlite_home.open() as first:
        with pytest.raises(FailedPrecondition, match="another Hostler process"):
            async with sqlite_home.open(patience=SOON):
                pass
        await first.executions.create(new_id(), RUNNER, [started()], NOW)
    async with sqlite_home.open(patience=SOON) as second:
        assert len(await second.executions.busy(RUNNER)) == 1


@pytest.mark.postgres
async def test_a_process_of_a_release_that_knew_no_others_is_kept_out_and_keeps_out(postgres_home: Home) -> None:
    key = "hashtextextended('hostler:' || current_schema(), 0)"
    engine = create_engine(postgres_home.driver_url, poolclass=NullPool)
    async with postgres_home.open(), postgres_home.open():
        with engine.connect() as old:
            assert old.execute(text(f"SELECT pg_try_advisory_lock({key})")).scalar_one() is False
    with engine.connect() as old:
        old.execute(text(f"SELECT pg_advisory_lock({key})"))
        with pytest.raises(FailedPrecondition, match="a release that knows no others"):
            async with postgres_home.open(patience=SOON):
                pass
    async with postgres_home.open():
        pass


async def test_a_store_that_failed_inside_lets_the_database_go(home: Home) -> None:
    with pytest.raises(ZeroDivisionError):
        async with home.open():
            raise ZeroDivisionError
    async with home.open(patience=SOON):
        pass


async def test_a_newer_schema_is_refused(home: Home, behind: Connection) -> None:
    async with home.open():
        pass
    behind.execute(text("INSERT INTO schema_step VALUES (:n)"), {"n": len(STEPS) + 1})
    behind.commit()
    with pytest.raises(NewerRelease, match="newer release"):
        async with home.open():
            pass


@pytest.mark.parametrize(("kind", "version"), [("Started", 99), ("SomethingNew", 1)])
async def test_an_event_of_a_newer_release_is_refused(home: Home, behind: Connection, kind: str, version: int) -> None:
    async with home.open() as store:
        await store.executions.create(new_id(), RUNNER, [started(), queued("a")], NOW)
    known = behind.execute(text("SELECT kind, version FROM event_kind ORDER BY kind")).all()
    assert known == [("InputQueued", 1), ("Started", 1)]
    behind.execute(text("INSERT INTO event_kind VALUES (:kind, :version)"), {"kind": kind, "version": version})
    behind.commit()
    with pytest.raises(NewerRelease, match=f"{kind} version {version}"):
        async with home.open():
            pass


async def test_the_tables_are_those_that_queries_name(home: Home, behind: Connection) -> None:
    async with home.open():
        pass
    there = inspect(behind)
    assert set(there.get_table_names()) == {*metadata.tables, "schema_step"}
    for name, table in metadata.tables.items():
        columns = {column["name"]: column["nullable"] for column in there.get_columns(name)}
        keys = there.get_pk_constraint(name)["constrained_columns"]
        assert list(columns) == [column.name for column in table.columns], name
        assert {c.name for c in table.primary_key} == set(keys), name
        optional = {c.name for c in table.columns if c.nullable and not c.primary_key}
        assert {c for c, nullable in columns.items() if nullable and c not in keys} == optional, name


async def test_missing_steps_are_run_in_order_and_once(behind: Connection) -> None:
    first = ("CREATE TABLE one (a {text})",)
    second = ("ALTER TABLE one ADD COLUMN b {text}", "INSERT INTO one VALUES ('a', 'b')")
    for steps in ([first], [first, second], [first, second]):
        migrate(behind, "TEXT", steps)
        behind.commit()
    assert behind.execute(text("SELECT a, b FROM one")).all() == [("a", "b")]


async def test_what_an_older_release_wrote_is_in_lists_and_sums_after_an_upgrade(
    home: Home, behind: Connection
) -> None:
    events = [started({"standing": "needs", "words": "old"}), *called(1, ONE), *called(2, ONE)]
    async with home.open() as store:
        execution, _ = await store.executions.create(new_id(), RUNNER, events, NOW)
        view = (await store.executions.find(ExecutionQuery()))[0].view
        sums = await store.spending.daily(DAY, "model")
    for undone in (*_undoing(STEPS[PROJECTED - 1 :]), "UPDATE execution SET view = '{\"old\": true}'"):
        behind.execute(text(undone))
    behind.execute(text(f"DELETE FROM schema_step WHERE number >= {PROJECTED}"))
    behind.commit()
    async with home.open() as store:
        found = await store.executions.find(ExecutionQuery(standings=["needs"], words="OLD"))
        assert [(row.id, row.view) for row in found] == [(execution, view)]
        assert await store.spending.daily(DAY, "model") == sums
        assert sums[0].spent.calls == 2


def _undoing(steps: Sequence[Sequence[str]]) -> Iterator[str]:
    """Return what takes steps back: their tables, columns and indexes."""
    for statement in reversed([one for step in steps for one in step]):
        match statement.split():
            case ["CREATE", "TABLE", name, *_]:
                yield f"DROP TABLE {name}"
            case ["CREATE", "UNIQUE", "INDEX", name, *_] | ["CREATE", "INDEX", name, *_]:
                yield f"DROP INDEX {name}"
            case ["ALTER", "TABLE", table, "ADD", "COLUMN", column, *_]:
                yield f"ALTER TABLE {table} DROP COLUMN {column}"
            case _:
                pass


async def test_a_step_that_fails_leaves_the_schema_as_it_was(home: Home, behind: Connection) -> None:
    async with home.open() as store:
        await store.executions.create(new_id(), RUNNER, [started()], NOW)
    if home.url.startswith("sqlite"):
        behind.connection.dbapi_connection.isolation_level = None  # type: ignore[union-attr]
        behind.exec_driver_sql("BEGIN IMMEDIATE")
    with pytest.raises(DBAPIError):
        migrate(behind, "TEXT", [*STEPS, ("CREATE TABLE one (a {text})", "SELECT nonsense FROM nowhere")])
    behind.exec_driver_sql("ROLLBACK")
    assert "one" not in inspect(behind).get_table_names()
    behind.rollback()
    async with home.open() as store:
        assert len(await store.executions.busy(RUNNER)) == 1


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("mysql://localhost/x", InvalidArgument),
        ("sqlite://", InvalidArgument),
        ("sqlite:///:memory:", InvalidArgument),
        ("postgresql://nobody@/x?host=/nonexistent", Unavailable),
    ],
)
async def test_a_database_that_cannot_be_used_says_so(home: Home, url: str, problem: type[Exception]) -> None:
    with pytest.raises(problem):
        async with open_store(url, blobs=home.blobs, fold=FOLD):
            pass
