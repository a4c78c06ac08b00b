"""Kept work in the database: a file in parts, each its own commit, and a row that says which parts are the file.

Parts are named after the sha256 of the whole, so a save that was cut off is gone on with by the next one of the same
bytes, and removed by one of others.
"""

import asyncio
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from sqlalchemy import Connection, text

from hostler.core.errors import Conflict, NotFound, Unavailable
from hostler.store.reading import Readers
from hostler.store.writer import Writer, Writing

PART = 1 << 20
"""Bytes of a part: what one commit holds up everybody else for."""
EXECUTION = text("SELECT id FROM execution WHERE id = :execution")
HEAD = text("SELECT sha256, parts FROM kept_bundle WHERE execution_id = :execution")
SAVE_HEAD = text("""
    INSERT INTO kept_bundle (execution_id, sha256, size, parts) VALUES (:execution, :sha256, :size, :parts)
    ON CONFLICT (execution_id) DO UPDATE SET sha256 = excluded.sha256, size = excluded.size, parts = excluded.parts""")
SAVE_PART = text("""
    INSERT INTO kept_part (execution_id, sha256, number, body) VALUES (:execution, :sha256, :number, :body)
    ON CONFLICT DO NOTHING""")
COUNT = text("SELECT count(*) FROM kept_part WHERE execution_id = :execution AND sha256 = :sha256")
READ_PART = text("SELECT body FROM kept_part WHERE execution_id = :execution AND sha256 = :sha256 AND number = :number")
DROP_OTHERS = text("DELETE FROM kept_part WHERE execution_id = :execution AND sha256 <> :sha256")
DROP_HEAD = text("DELETE FROM kept_bundle WHERE execution_id = :execution")
DROP_PARTS = text("DELETE FROM kept_part WHERE execution_id = :execution")
TRIES = 3
"""How often a file is read that is replaced in the middle of reading it."""


class StoredBundles:
    """One file for each execution."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def save(self, execution: str, file: Path) -> None:
        """Keep a file's bytes instead of what was kept before."""
        name, size = await asyncio.to_thread(_digest, file)
        head = {"execution": execution, "sha256": name, "size": size, "parts": -(-size // PART)}
        if (known := await self._head(execution)) is not None and known[0] == name:
            return
        number = 0
        parts = _parts(file)
        while (body := await asyncio.to_thread(next, parts, None)) is not None:
            await self._add({"execution": execution, "sha256": name, "number": number, "body": body})
            number += 1

        def work(writing: Writing) -> None:
            _there(writing.connection, execution)
            if writing.connection.execute(COUNT, head).scalar_one() != head["parts"]:
                raise Conflict("somebody else keeps other work of the execution at the same time")
            writing.connection.execute(SAVE_HEAD, head)
            writing.connection.execute(DROP_OTHERS, head)

        await self._writer.do(work)

    async def load(self, execution: str, file: Path) -> bool:
        """Write what is kept to a file."""
        for _ in range(TRIES):
            head = await self._head(execution)
            if head is None:
                return False
            if await self._write(execution, *head, file):
                return True
            await asyncio.to_thread(file.unlink, missing_ok=True)
        raise Unavailable("the kept work of the execution changes all the time; try again")

    async def remove(self, execution: str) -> None:
        """Keep nothing of an execution any more."""

        def work(writing: Writing) -> None:
            writing.connection.execute(DROP_HEAD, {"execution": execution})
            writing.connection.execute(DROP_PARTS, {"execution": execution})

        await self._writer.do(work)

    async def _add(self, part: dict[str, object]) -> None:
        def work(writing: Writing) -> None:
            _there(writing.connection, str(part["execution"]))
            writing.connection.execute(SAVE_PART, part)

        await self._writer.do(work)

    async def _head(self, execution: str) -> tuple[str, int] | None:
        """Return what the file of an execution is called, and how many parts it has."""

        def read(connection: Connection) -> tuple[str, int] | None:
            found = connection.execute(HEAD, {"execution": execution}).first()
            return (found.sha256, found.parts) if found else None

        return await self._readers.do(read)

    async def _write(self, execution: str, name: str, parts: int, file: Path) -> bool:
        """Return whether all parts were there, and are in the file."""
        with await asyncio.to_thread(file.open, "wb") as out:
            for number in range(parts):
                body = await self._part(execution, name, number)
                if body is None:
                    return False
                await asyncio.to_thread(out.write, body)
        return True

    async def _part(self, execution: str, name: str, number: int) -> bytes | None:
        asked = {"execution": execution, "sha256": name, "number": number}
        return await self._readers.do(lambda connection: connection.execute(READ_PART, asked).scalar_one_or_none())


def _there(connection: Connection, execution: str) -> None:
    if connection.execute(EXECUTION, {"execution": execution}).first() is None:
        raise NotFound("there is no such execution", field="agent_execution_id")


def _digest(file: Path) -> tuple[str, int]:
    with file.open("rb") as data:
        digest, size = sha256(), 0
        while piece := data.read(PART):
            digest.update(piece)
            size += len(piece)
    return digest.hexdigest(), size


def _parts(file: Path) -> Iterator[bytes]:
    with file.open("rb") as data:
        while piece := data.read(PART):
            yield piece
