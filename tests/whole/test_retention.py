"""What was kept for long enough goes, nothing else does, and it is told before and after."""

import json
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from typing import Any

import pytest

from tests.server import HostlerProcess, Refused

pytestmark = [pytest.mark.sandbox]
DAY = 24 * 3600


def gc(server: HostlerProcess, *words: str) -> dict[str, int]:
    """Return how many of each kind went, or would go."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("HOSTLER_")}
    command = [sys.executable, "-m", "hostler", "gc", "--json", "--data-dir", str(server.folder), *words]
    ended = subprocess.run(command, capture_output=True, text=True, env=clean)
    assert ended.returncode == 0, ended.stderr
    return {one["what"]: one["number"] for one in json.loads(ended.stdout)["swept"] if one["number"]}


def changed(server: HostlerProcess, statement: str, *values: Any) -> None:
    """Change the database behind the server's back, while no server runs."""
    with closing(sqlite3.connect(server.folder / "hostler.db")) as database:
        database.execute(statement, values)
        database.commit()


def aged(server: HostlerProcess, execution: str, days: float) -> None:
    at = int((time.time() - days * DAY) * 1e6)
    changed(server, "UPDATE execution SET updated_at = ? WHERE id = ?", at, execution)


def test_old_things_go_and_young_ones_stay(hostler: HostlerProcess):
    old, young = hostler.start_agent("run: seq 1 60000"), hostler.start_agent("run: seq 1 60001")
    for execution in (old, young):
        hostler.rest(execution)
    assert gc(hostler) == {}
    hostler.stop()
    assert len(list(hostler.folder.glob("blobs/*/*"))) == 2
    aged(hostler, old, 40)
    aged(hostler, young, 5)
    owner = "SELECT ?, ?, principal_id, 'old', scope, 0, ? FROM api_token LIMIT 1"
    insert = f"INSERT INTO api_token (id, sha256, principal_id, name, scope, created_at, expires_at) {owner}"
    changed(hostler, insert, "old-token", "x", 1)
    changed(hostler, insert, "fresh-token", "y", int(time.time() * 1e6))
    past = time.time() - 2 * DAY
    stray = hostler.folder / "blobs" / "ab" / ("ab" + "0" * 62)
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"nobody names this")
    (hostler.folder / "said" / "gone.jsonl").write_text("")
    for path in (stray, hostler.folder / "said" / "gone.jsonl"):
        os.utime(path, (past, past))
    hostler.env = {**hostler.env, "HOSTLER_RETENTION__EXECUTIONS_DAYS": "30"}
    hostler.start()
    due = {"executions": 1, "expired tokens": 1, "orphaned blobs": 1, "text of executions that are gone": 1}
    assert gc(hostler, "--dry-run") == due
    assert stray.exists()
    assert gc(hostler) == due
    with pytest.raises(Refused, match="not_found"):
        hostler.get(old)
    assert hostler.get(young)["id"] == young
    assert not stray.exists()
    hostler.until(lambda: not hostler.log(old))
    assert gc(hostler) == {}
    assert len(list(hostler.folder.glob("blobs/*/*"))) == 1
    with closing(sqlite3.connect(hostler.folder / "hostler.db")) as database:
        (details,) = database.execute("SELECT details FROM audit WHERE action = 'gc'").fetchone()
        assert json.loads(details)["executions"] == "1"
        assert database.execute("SELECT id FROM api_token WHERE name = 'old'").fetchall() == [("fresh-token",)]


def test_executions_that_work_or_are_kept_for_ever_stay(hostler: HostlerProcess):
    idle = hostler.start_agent("run: true")
    hostler.rest(idle)
    busy = hostler.start_agent("run: until [ -e go ]; do sleep 0.02; done")
    hostler.until(lambda: any(kind == "ToolStarted" for kind, _ in hostler.log(busy)))
    hostler.stop()
    aged(hostler, busy, 400)
    aged(hostler, idle, 400)
    hostler.start()
    assert "executions" not in gc(hostler)
    hostler.stop()
    aged(hostler, busy, 400)
    hostler.env = {**hostler.env, "HOSTLER_RETENTION__EXECUTIONS_DAYS": "30"}
    hostler.start()
    assert gc(hostler, "--dry-run") == {"executions": 1}
    assert hostler.phase(busy) == "RUNNING"
