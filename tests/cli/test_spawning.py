"""hostler run where no server runs: it starts one, once, and says why when it cannot."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hostler.cli import places, spawning
from tests.server import short_folder


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data folder; nothing that was started over it is left at the end, environments included."""
    with short_folder() as place:
        folder = place / "data"
        yield folder
        if not (pid := places.server_file(folder).get("pid")):
            return
        started = [entry["id"] for entry in json.loads(hostler(folder, "ps", "--json").stdout)]
        assert hostler(folder, "rm", *started).returncode == 0
        until(lambda: json.loads(hostler(folder, "env", "list", "--json").stdout) == [])
        os.kill(pid, signal.SIGTERM)
        until(lambda: not places.server_file(folder))


def until(holds: Callable[[], bool]) -> None:
    """Look again until something holds; the test's own timeout is the limit."""
    while not holds():
        time.sleep(0.05)


def hostler(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HOSTLER_")}
    environ = {**kept, "HOSTLER_DATA_DIR": str(folder), "HOSTLER_SANDBOX": "none", "HOSTLER_SETTLE_SECONDS": "0"}
    command = [sys.executable, "-m", "hostler", *words]
    return subprocess.run(command, env={**environ, **variables}, capture_output=True, text=True, timeout=90)


def test_run_starts_a_server_that_the_next_command_finds(folder: Path) -> None:
    ran = hostler(folder, "run", "run: echo hello from inside", "--json")
    assert ran.returncode == 0, ran.stderr
    assert "starting a server" in ran.stderr
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    assert lines[0]["type"] == "execution"
    assert any("hello from inside" in json.dumps(line["body"]) for line in lines[1:-1])
    first = places.server_file(folder)
    listed = hostler(folder, "ps", "--json")
    assert [entry["id"] for entry in json.loads(listed.stdout)] == [lines[0]["id"]]
    again = hostler(folder, "run", "Say hello", "--detach")
    assert "starting a server" not in again.stderr
    assert places.server_file(folder) == first
    assert (folder / "server.log").stat().st_mode & 0o777 == 0o600


def test_a_server_that_is_gone_is_replaced(folder: Path) -> None:
    folder.mkdir(mode=0o711)
    (folder / "server.json").write_text('{"url": "http://127.0.0.1:9", "pid": 0}')
    ran = hostler(folder, "run", "Say hello", "--detach")
    assert ran.returncode == 0, ran.stderr
    assert places.server_file(folder)["url"] != "http://127.0.0.1:9"


def test_a_server_that_cannot_start_says_why(folder: Path) -> None:
    folder.mkdir(mode=0o711)
    (folder / "hostler.toml").write_text("prot = 1\n")
    ran = hostler(folder, "run", "Go")
    assert ran.returncode == 1
    assert "the server did not start" in ran.stderr
    assert "prot" in ran.stderr


def test_a_named_server_is_never_replaced(folder: Path) -> None:
    ran = hostler(folder, "run", "Go", HOSTLER_URL="http://127.0.0.1:9", HOSTLER_TOKEN="t")
    assert ran.returncode == 1
    assert "127.0.0.1:9" in ran.stderr
    assert not folder.exists()


def test_readiness_gives_the_reason() -> None:
    assert "no server answers" in spawning.readiness("http://127.0.0.1:9")


def test_run_waits_for_a_data_folder_that_another_server_is_about_to_leave(folder: Path) -> None:
    folder.mkdir(mode=0o711)
    with ThreadPoolExecutor() as threads, (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        running = threads.submit(hostler, folder, "run", "Say hello", "--detach")
        log = folder / "server.log"
        until(lambda: running.done() or (log.exists() and "another Hostler server uses" in log.read_text()))
        fcntl.flock(lock, fcntl.LOCK_UN)
        ran = running.result()
    assert ran.returncode == 0, ran.stderr
