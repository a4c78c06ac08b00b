"""A zip archive that is sent while it is made: no file on the disk, no whole archive in memory."""

import asyncio
import zipfile
from collections.abc import AsyncGenerator, AsyncIterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of an archive, whose content comes in pieces."""

    name: str
    pieces: AsyncIterable[bytes]


class _Outlet:
    """Takes what the archive writes until it is fetched; it cannot be sought in, and says so."""

    def __init__(self) -> None:
        self._written: list[bytes] = []
        self._at = 0

    def write(self, data: bytes) -> int:
        self._written.append(bytes(data))
        self._at += len(data)
        return len(data)

    def tell(self) -> int:
        return self._at

    def flush(self) -> None:
        pass

    def fetch(self) -> bytes:
        """Return what was written since the last time."""
        data = b"".join(self._written)
        self._written.clear()
        return data


async def zipped(folder: str, entries: AsyncIterable[Entry], at: datetime) -> AsyncGenerator[bytes]:
    """Yield an archive with the entries in one folder; compressing is done in a thread."""
    outlet = _Outlet()
    archive = zipfile.ZipFile(cast("Any", outlet), "w", zipfile.ZIP_DEFLATED)
    when = (max(at.year, 1980), at.month, at.day, at.hour, at.minute, at.second)
    async for entry in entries:
        info = zipfile.ZipInfo(f"{folder}/{entry.name}", when)
        info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o600 << 16
        with archive.open(info, "w", force_zip64=True) as file:
            async for piece in entry.pieces:
                await asyncio.to_thread(file.write, piece)
                if data := outlet.fetch():
                    yield data
    archive.close()
    yield outlet.fetch()


async def whole(*pieces: bytes) -> AsyncGenerator[bytes]:
    """Yield pieces that are there already."""
    for piece in pieces:
        yield piece
