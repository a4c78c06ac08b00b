"""`hostler doctor --check` on a real server: all in order, and what it says of a log that somebody has damaged."""

import contextlib
import json
import sqlite3
import subprocess
from pathlib import Path

import pytest

from tests.cli.test_env_live import command
from tests.server import HostlerProcess

pytestmark = pytest.mark.sandbox


def doctor(server: HostlerProcess, *words: str) -> "subprocess.CompletedProcess[str]":
    argv, env = command(server, "doctor", "--check", *words)
    return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=120)


def test_a_damaged_log_is_found_and_named(place: Path, wordcount: Path) -> None:
    folder = place / "data"
    folder.mkdir(mode=0o711)
    server = HostlerProcess(folder).start()
    try:
        whole, damaged = (server.start_agent("run: echo hello", wordcount) for _ in range(2))
        server.rest(whole)
        server.rest(damaged)
        sound = doctor(server)
        assert sound.returncode == 0, sound.stderr
        assert "2 executions" in sound.stdout
        assert "all in order" in sound.stdout
        server.kill()
        with contextlib.closing(sqlite3.connect(folder / "hostler.db")) as database:
            database.execute("DELETE FROM event WHERE execution_id = ? AND kind = 'ToolFinished'", (damaged,))
            database.commit()
        server.start()
        found = doctor(server)
        assert found.returncode == 1
        assert damaged in found.stdout
        assert "sequence: event" in found.stdout
        assert whole not in found.stdout
        wrong = json.loads(doctor(server, "--json").stdout)["wrong"]
        assert [one["id"] for one in wrong] == [damaged]
        assert {one["rule"] for one in wrong[0]["findings"]} >= {"sequence", "results"}
        assert doctor(server, whole).returncode == 0
    finally:
        server.kill()
