"""A steady load of start, run, send, stop and delete, after which nothing may have grown: `make soak SECONDS=120`.

It works for a quarter of the time, lets all come to rest and looks; works for the rest, lets all come to rest and looks
again. Exit code 1 when memory, file descriptors, threads, processes, sandboxes, files or rows are more than before.
"""

import argparse
import json
import os
import random
import sqlite3
import sys
import time
import urllib.error
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from tests.server import HostlerProcess, Refused, short_folder

from bench.scripts import bash, quick

WORKERS = 6
REST_SECONDS = 8.0
"""Until what was deleted is gone and every sweep beside the requests has run."""
LOOKS = 5
SLACK: Mapping[str, float] = {"memory MB": 12.0, "file descriptors": 4, "threads": 2, "processes": 0, "files": 0}
"""By how much the second look may be above the first; what is not named must be the same."""
ROWS = ("execution", "event", "annotation", "environment", "environment_use", "spent", "execution_environment")
"""Tables that hold nothing when all executions and environments are deleted."""
LONG = "sleep 30"


def main() -> int:
    parser = argparse.ArgumentParser(prog="soak", description="Work steadily, then look whether anything has grown.")
    parser.add_argument("seconds", nargs="?", type=float, default=120.0)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with short_folder() as folder:
        (folder / "model.json").write_text(json.dumps(_script()))
        data = folder / "data"
        data.mkdir(mode=0o711)
        server = HostlerProcess(data, env={"HOSTLER_MODEL": f"scripted:{folder}/model.json"}).start()
        try:
            done = _worked(server, asked.seconds / 4, asked.seed)
            before = _looked(server)
            done += _worked(server, asked.seconds * 3 / 4, asked.seed + WORKERS)
            after = _looked(server)
        finally:
            server.close()
    return _told(before, after, done, asked.seconds)


def _script() -> Mapping[str, Any]:
    rest = {"match": "^wait$", "steps": [bash(LONG), {"text": "Done."}]}
    return {"rules": [rest, *quick(3)["rules"]]}


def _worked(server: HostlerProcess, seconds: float, seed: int) -> int:
    """Live the lives of executions for so long; return how many."""
    end = time.monotonic() + seconds

    def lives(number: int) -> int:
        return _lives(server, random.Random(seed + number), end)

    with ThreadPoolExecutor(WORKERS) as pool:
        return sum(pool.map(lives, range(WORKERS)))


def _lives(server: HostlerProcess, chance: random.Random, end: float) -> int:
    """Let one execution after the other live until the end; return how many."""
    count = 0
    while time.monotonic() < end:
        execution = server.call("StartAgent")["agentExecutionId"]
        one = {"agentExecutionId": execution}
        for _ in range(chance.randrange(1, 4)):
            server.send(execution, chance.choice(["steps 3", "run echo hello > file", "wait", "hello"]))
            if chance.random() < 0.3:
                server.call("StopAgentExecution", one)
            _rested(server, execution, chance.uniform(0.5, 2.0))
        environments = server.get(execution)["status"].get("usedEnvironments", [])
        server.call("DeleteAgentExecution", one)
        for each in environments:
            with suppress(Refused):
                server.call("DeleteEnvironment", {"environmentId": each["environmentId"]}, "EnvironmentService")
        count += 1
    return count


def _rested(server: HostlerProcess, execution: str, seconds: float) -> None:
    """Return when a turn has ended, or stop it after so long."""
    end = time.monotonic() + seconds
    while server.get(execution)["status"]["phase"] in ("PHASE_RUNNING", "PHASE_PENDING"):
        if time.monotonic() > end:
            server.call("StopAgentExecution", {"agentExecutionId": execution})
            return
        time.sleep(0.05)


def _looked(server: HostlerProcess) -> Mapping[str, float]:
    """Return what is there when nothing is done: the least of several looks, since rest comes by and by."""
    with suppress(urllib.error.URLError):
        time.sleep(REST_SECONDS)
    looks: list[Mapping[str, float]] = []
    for _ in range(LOOKS):
        looks.append(_look(server))
        time.sleep(1)
    return {name: min(look[name] for look in looks) for name in looks[0]}


def _look(server: HostlerProcess) -> Mapping[str, float]:
    assert server.process
    own = Path(f"/proc/{server.process.pid}")
    status = dict(line.split(":", 1) for line in (own / "status").read_text().splitlines())
    found: dict[str, float] = {
        "memory MB": int(status["VmRSS"].split()[0]) / 1024,
        "file descriptors": len(os.listdir(own / "fd")),
        "threads": int(status["Threads"]),
        "processes": len(_family(server.process.pid, str(server.folder))),
        "sandboxes": sum(1 for _ in (server.folder / "environments").glob("*/files")),
        "files": sum(1 for name in ("said", "secrets", "kept", "blobs") for _ in (server.folder / name).rglob("*")),
    }
    with closing(sqlite3.connect(f"file:{server.folder / 'hostler.db'}?mode=ro", uri=True)) as database:
        for table in ROWS:
            found[f"rows of {table}"] = database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    return found


def _family(server: int, folder: str) -> set[int]:
    """Return the server, whatever names its folder, and all their descendants."""
    parents: dict[int, int] = {}
    family = {server}
    for pid, parent, words in _processes():
        parents[pid] = parent
        if folder in words:
            family.add(pid)
    grown = True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in family} - family
        family |= more
        grown = bool(more)
    return family


def _processes() -> Iterator[tuple[int, int, str]]:
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            with suppress(OSError):
                words = Path("/proc", name, "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                yield int(name), int(Path("/proc", name, "stat").read_text().rpartition(")")[2].split()[1]), words


def _told(before: Mapping[str, float], after: Mapping[str, float], done: int, seconds: float) -> int:
    """Print both looks; return 1 when something has grown."""
    grown: Sequence[str] = [name for name in after if after[name] > before[name] + SLACK.get(name, 0)]
    print(f"{done} executions lived and were deleted in {seconds:.0f} s")
    for name in after:
        mark = "  GROWN" if name in grown else ""
        print(f"{name:>32}: {before[name]:10.1f} {after[name]:10.1f}{mark}")
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
