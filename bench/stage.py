"""A real server for measuring: its log is watched in the database itself, its cost is read from the kernel."""

import itertools
import json
import os
import re
import sqlite3
import struct
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from tests.server import HostlerProcess, short_folder

from bench.wire import Wire
from hostler.testing.postgres import ThrowAwayPostgres, throw_away_postgres

LOOK_SECONDS = 0.001
PATIENCE = 60.0
TICK = os.sysconf("SC_CLK_TCK")


@dataclass
class Stage:
    """A server, a connection to it, and a reader of its database."""

    server: HostlerProcess
    wire: Wire
    database: Any
    folder: Path
    environments: dict[str, str] = field(default_factory=dict[str, str])

    def start(self, environment: str = "", model: str = "") -> str:
        """Start an agent in an environment, a fresh one if none is named; return the execution's id."""
        body: dict[str, Any] = {"codeContext": {"environmentId": environment}} if environment else {}
        if model:
            body["annotations"] = {"hostler/model": model}
        execution: str = self.wire.ask("StartAgent", body)[0]["agentExecutionId"]
        self.until(execution, "EnvironmentReady")
        return execution

    def send(self, execution: str, text: str) -> float:
        """Send a text; return how many milliseconds the answer took."""
        return self.wire.ask("SendToAgentExecution", message(execution, text))[1]

    def environment_of(self, execution: str) -> str:
        got = self.wire.ask("GetAgentExecution", {"agentExecutionId": execution})[0]
        return got["agentExecution"]["status"]["usedEnvironments"][0]["environmentId"]

    def workspace(self, environment: str) -> Path:
        return next((self.server.folder / "environments").glob(f"**/{environment}/files/work"))

    def until(self, execution: str, kind: str, count: int = 1) -> float:
        """Return the moment at which the log holds `count` events of a kind, as somebody who reads it sees it."""
        return self.until_true(lambda: self.count(execution, kind) >= count, f"{kind} of {execution}")

    def until_true(self, holds: Any, what: str = "that") -> float:
        end = time.perf_counter() + PATIENCE
        while not holds():
            if time.perf_counter() > end:
                raise RuntimeError(f"{what} did not come; the server said: {self.server.said()}")
            time.sleep(LOOK_SECONDS)
        return time.perf_counter()

    def count(self, execution: str, kind: str) -> int:
        query = "SELECT count(*) FROM event WHERE execution_id = ? AND kind = ?"
        return self.database.execute(query, (execution, kind)).fetchone()[0]

    def turn(self, execution: str, text: str) -> float:
        """Run one turn; return the milliseconds from the request until its end is in the log."""
        before, stops = self.count(execution, "TurnEnded"), self.count(execution, "Stopped")
        since = time.perf_counter()
        self.send(execution, text)
        self.until_true(
            lambda: self.count(execution, "TurnEnded") > before or self.count(execution, "Stopped") > stops, "its end"
        )
        took = (time.perf_counter() - since) * 1000
        if self.count(execution, "Stopped") > stops:
            raise RuntimeError(f"the turn was stopped: {self.server.get(execution)['status']}")
        return took

    def events(self, execution: str) -> list[tuple[int, str, int]]:
        """Return (seq, kind, microseconds since 1970) of every event."""
        query = "SELECT seq, kind, at FROM event WHERE execution_id = ? ORDER BY seq"
        return self.database.execute(query, (execution,)).fetchall()

    def cpu(self) -> float:
        """Return the seconds of processor time that the server has used."""
        assert self.server.process
        return cpu_of(self.server.process.pid)

    def rss(self) -> float:
        """Return the server's resident memory in MB."""
        assert self.server.process
        text = Path(f"/proc/{self.server.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+)", text)
        assert found
        return int(found[1]) / 1024

    def commits(self) -> tuple[bytes, int]:
        """Return the write-ahead log's salt and how many commits are in it; they compare while the salt is the same."""
        return commits_in(self.server.folder / "hostler.db-wal")


def message(execution: str, text: str) -> dict[str, Any]:
    """Return the body of SendToAgentExecution."""
    return {"agentExecutionId": execution, "userInput": {"inputs": [{"text": {"content": text}}]}}


def cpu_of(pid: int) -> float:
    """Return the seconds of processor time that a process has used."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / TICK


def commits_in(wal: Path) -> tuple[bytes, int]:
    """Count the frames of SQLite's write-ahead log that end a transaction: those that say how large the file is."""
    data = wal.read_bytes()
    (page,) = struct.unpack_from(">I", data, 8)
    salt, count = data[16:24], 0
    for start in range(32, len(data) - page - 23, page + 24):
        _, size = struct.unpack_from(">II", data, start)
        if data[start + 8 : start + 16] != salt:
            break
        count += size > 0
    return salt, count


class Elsewhere:
    """A Postgres database, asked as SQLite's are."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)

    def execute(self, query: str, values: Sequence[Any] = ()) -> Any:
        """Run a query."""
        return self._connection.execute(query.replace("?", "%s").encode(), values)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _database(server: HostlerProcess) -> Any:
    if url := server.env.get("HOSTLER_DATABASE_URL"):
        return Elsewhere(url)
    return sqlite3.connect(f"file:{server.folder / 'hostler.db'}?mode=ro", uri=True)


SCHEMAS = itertools.count(1)
_postgres: list[ThrowAwayPostgres] = []


@contextmanager
def on_postgres() -> Generator[None]:
    """Let every server in this block keep its rows in Postgres, each commit flushed to the disk."""
    with throw_away_postgres(durable=True) as server:
        _postgres.append(server)
        try:
            yield
        finally:
            _postgres.remove(server)


def place() -> dict[str, str]:
    """Return what tells a new server where its rows are."""
    if not _postgres:
        return {}
    schema = f"bench{next(SCHEMAS)}"
    with psycopg.connect(_postgres[-1].url(), autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}".encode())
    return {"HOSTLER_DATABASE_URL": _postgres[-1].url(schema)}


@contextmanager
def opened(server: HostlerProcess) -> Iterator[Stage]:
    """Yield what measures a server that runs."""
    wire = Wire(server.url, server.token)
    with closing(wire), closing(_database(server)) as database:
        yield Stage(server, wire, database, server.folder.parent)


@contextmanager
def serving(scripts: Mapping[str, Any], **env: str) -> Iterator[Stage]:
    """Yield a server whose model follows the first script; FOLDER/NAME.json are all of them, `@` in them is FOLDER."""
    with short_folder() as folder:
        for name, script in scripts.items():
            (folder / f"{name}.json").write_text(json.dumps(script).replace("@", str(folder)))
        data = folder / "data"
        data.mkdir(mode=0o711)
        scripted = {"HOSTLER_MODEL": f"scripted:{folder}/{next(iter(scripts))}.json"} if scripts else {}
        unlimited = {"HOSTLER_RATES__CALLER": "0", "HOSTLER_RATES__ADDRESS": "0"}
        server = HostlerProcess(data, env={**scripted, **unlimited, **place(), **env}, checked=False)
        server.start()
        try:
            with opened(server) as stage:
                yield stage
        finally:
            server.close()
