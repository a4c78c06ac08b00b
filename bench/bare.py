"""What stands beside Hostler: the least that does the same work, without a sandbox, a log or an API."""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg

Commit = Callable[[str, int], None]
"""Appends one row for (execution, seq), which is on the disk when it returns."""
BODY = json.dumps({"call_id": "c1", "outcome": "ok", "text": "(no output)", "exit_code": 0})


@contextmanager
def raw_database(file: Path) -> Iterator[sqlite3.Connection]:
    """Yield a database with the promises of ours: a write-ahead log, each commit on the disk before it returns."""
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("CREATE TABLE event (execution TEXT, seq INTEGER, body TEXT, PRIMARY KEY (execution, seq))")
        yield database


def commit(database: sqlite3.Connection, execution: str, seq: int) -> None:
    """Append one row."""
    database.execute("BEGIN IMMEDIATE")
    database.execute("INSERT INTO event VALUES (?, ?, ?)", (execution, seq, BODY))
    database.execute("COMMIT")


@contextmanager
def committing(place: str) -> Iterator[Commit]:
    """Yield what commits to a database: a file's path, or the URL of one on a Postgres server."""
    if place.startswith("postgresql://"):
        with psycopg.connect(place, autocommit=True) as connection:
            connection.execute(
                "CREATE TABLE event (execution TEXT, seq INTEGER, body TEXT, PRIMARY KEY (execution, seq))"
            )
            insert = "INSERT INTO event VALUES (%s, %s, %s)"
            yield lambda execution, seq: connection.execute(insert, (execution, seq, BODY)) and None
    else:
        with raw_database(Path(place)) as database:
            yield lambda execution, seq: commit(database, execution, seq)


async def command(*words: str) -> None:
    """Run a program and read what it says."""
    process = await asyncio.create_subprocess_exec(
        *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    await process.communicate()


async def steps(database: sqlite3.Connection, execution: str, count: int) -> None:
    """Do what an agent's steps come to: one command and one commit each."""
    for seq in range(count):
        await command("bash", "-c", "true")
        commit(database, execution, seq)
