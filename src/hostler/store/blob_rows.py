"""Large bytes as rows, where several machines share the database; `blobs.py` keeps them as files."""

from hashlib import sha256

from sqlalchemy import Connection, bindparam, text

from hostler.store.blobs import KNOWN, NAMED, OWN, UNNAMED
from hostler.store.reading import Readers
from hostler.store.writer import Writer, Writing

KEEP = text("""
    INSERT INTO blob_data (sha256, body) VALUES (:sha256, :body)
    ON CONFLICT (sha256) DO UPDATE SET sha256 = excluded.sha256""")
"""An update that changes nothing but locks the row: a purge that looks at it meanwhile waits, and sees the new name."""
READ = text("SELECT body FROM blob_data WHERE sha256 = :sha256")
LOCK = text("SELECT sha256 FROM blob_data WHERE sha256 IN :names ORDER BY sha256 FOR UPDATE").bindparams(
    bindparam("names", expanding=True)
)
DROP = text("""
    DELETE FROM blob_data WHERE sha256 IN :names AND NOT EXISTS (
        SELECT 1 FROM blob WHERE blob.sha256 = blob_data.sha256)""").bindparams(bindparam("names", expanding=True))


class BlobRows:
    """Large bytes by their sha256."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def put(self, execution: str, data: bytes) -> str:
        """Keep bytes for an execution and return their sha256 in hex."""
        name = sha256(data).hexdigest()
        named = {"sha256": name, "execution": execution, "size": len(data)}

        def work(writing: Writing) -> None:
            writing.connection.execute(KEEP, {"sha256": name, "body": data})
            writing.connection.execute(NAMED, named)

        await self._writer.do(work)
        return name

    async def get(self, sha256: str, execution: str = "") -> bytes | None:
        """Return the bytes; None for a hash that no execution, or not this one, names."""
        asked = {"sha256": sha256, "execution": execution}

        def read(connection: Connection) -> bytes | None:
            if connection.execute(KNOWN, asked).first() is None:
                return None
            return connection.execute(READ, {"sha256": sha256}).scalar_one_or_none()

        return await self._readers.do(read)

    async def purge(self, execution: str) -> None:
        """Remove the blobs that only this execution names; repeating it is fine."""

        def work(writing: Writing) -> None:
            own = list(writing.connection.execute(OWN, {"execution": execution}).scalars())
            if own:
                writing.connection.execute(LOCK, {"names": own})
            writing.connection.execute(UNNAMED, {"execution": execution})
            if own:
                writing.connection.execute(DROP, {"names": own})

        await self._writer.do(work)
