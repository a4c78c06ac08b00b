"""The main job on Postgres by URL: the same run, the same kill -9, the same end."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hostler.testing.postgres import ThrowAwayPostgres, throw_away_postgres
from tests.server import HostlerProcess

pytestmark = [pytest.mark.crash, pytest.mark.sandbox, pytest.mark.postgres]


@pytest.fixture(scope="module")
def postgres() -> Iterator[ThrowAwayPostgres]:
    with throw_away_postgres() as server:
        yield server


def test_a_run_on_postgres_survives_kill_9_in_mid_command(place: Path, wordcount: Path, postgres: ThrowAwayPostgres):
    folder = place / "data"
    folder.mkdir(mode=0o711)
    server = HostlerProcess(folder, env={"HOSTLER_DATABASE_URL": postgres.url()}).start()
    try:
        line = "echo one >> runs; until [ -e go ]; do sleep 0.02; done; echo finished"
        execution = server.start_agent(f"run: {line}", wordcount)
        server.until(lambda: list((folder / "environments").glob("**/files/work/runs")))
        runs = next((folder / "environments").glob("**/files/work/runs"))
        server.kill()
        (runs.parent / "go").touch()
        server.start()
        last = server.rest(execution)
        assert last["status"]["phase"] == "PHASE_WAITING_FOR_INPUT"
        assert runs.read_text() == "one\n"
        mended = server.start_agent("The tests fail. Find the bug, mend it and run the tests.", wordcount)
        assert server.rest(mended)["status"]["outputs"]["tests"] == {"stringValue": "5 passed"}
        assert not (folder / "hostler.db").exists()
    finally:
        server.stop()
