"""Large bytes as files named by their sha256, and an index of which execution names which.

A file is whole or absent: it is written under another name, flushed to the disk, and renamed. The index never names a
file that is not there, except while a purge that was cut off waits to be repeated.
"""

import asyncio
import os
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile

from sqlalchemy import text

from hostler.core.errors import Unavailable
from hostler.store.reading import Readers
from hostler.store.writer import Writer, Writing

NAMED = text("""
    INSERT INTO blob (sha256, execution_id, size) VALUES (:sha256, :execution, :size) ON CONFLICT DO NOTHING""")
OWN = text("""
    SELECT sha256 FROM blob WHERE execution_id = :execution AND NOT EXISTS (
        SELECT 1 FROM blob other WHERE other.sha256 = blob.sha256 AND other.execution_id <> :execution)""")
KNOWN = text("SELECT 1 FROM blob WHERE sha256 = :sha256 AND (:execution = '' OR execution_id = :execution) LIMIT 1")
UNNAMED = text("DELETE FROM blob WHERE execution_id = :execution")


class StoredBlobs:
    """Large bytes by their sha256."""

    def __init__(self, folder: Path, writer: Writer, readers: Readers) -> None:
        self._folder = folder
        self._writer = writer
        self._readers = readers
        self._lock = asyncio.Lock()
        self._sweep()

    async def put(self, execution: str, data: bytes) -> str:
        """Keep bytes for an execution and return their sha256 in hex; Unavailable when the disk does not take them."""
        try:
            name, written = await asyncio.to_thread(self._write, data)
        except OSError as error:
            raise Unavailable(f"the bytes cannot be written to {self._folder}: {error.strerror}") from error
        values = {"sha256": name, "execution": execution, "size": len(data)}

        def work(writing: Writing) -> None:
            writing.connection.execute(NAMED, values)

        async with self._lock:
            await asyncio.to_thread(self._place, written, self._path(name))
            await self._writer.do(work)
        return name

    async def get(self, sha256: str, execution: str = "") -> bytes | None:
        """Return the bytes; None for a hash that no execution, or not this one, names."""
        asked = {"sha256": sha256, "execution": execution}
        known = await self._readers.do(lambda connection: connection.execute(KNOWN, asked).first())
        return await asyncio.to_thread(self._read, self._path(sha256)) if known else None

    async def purge(self, execution: str) -> None:
        """Remove the blobs that only this execution names; the files go first, so that a repeat finds the rest."""

        def work(writing: Writing) -> None:
            writing.connection.execute(UNNAMED, {"execution": execution})

        async with self._lock:
            own = await self._readers.do(
                lambda connection: list(connection.execute(OWN, {"execution": execution}).scalars())
            )
            await asyncio.to_thread(self._unlink, own)
            await self._writer.do(work)

    def _sweep(self) -> None:
        """Make the folder, and remove what writes that were cut off left behind."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in self._folder.glob("*.part"):
            left.unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / name[:2] / name

    def _write(self, data: bytes) -> tuple[str, Path]:
        """Write the bytes under a name of their own; the directory entry follows with `_place`."""
        with NamedTemporaryFile(dir=self._folder, suffix=".part", delete=False) as file:
            path = Path(file.name)
            try:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            except BaseException:
                path.unlink(missing_ok=True)
                raise
        return sha256(data).hexdigest(), path

    def _place(self, written: Path, path: Path) -> None:
        path.parent.mkdir(exist_ok=True, mode=0o700)
        written.replace(path)
        for folder in (path.parent, self._folder):
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    def _read(self, path: Path) -> bytes | None:
        with suppress(FileNotFoundError):
            return path.read_bytes()
        return None

    def _unlink(self, names: list[str]) -> None:
        for name in names:
            self._path(name).unlink(missing_ok=True)
