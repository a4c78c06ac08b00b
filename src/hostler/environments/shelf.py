"""Kept work of an execution as one file on a shelf that other machines reach: it can be had without this machine."""

import asyncio
import shutil
import tarfile
import tempfile
from pathlib import Path

import structlog

from hostler.core.bundles import KeptBundles
from hostler.core.errors import HostlerError

log = structlog.get_logger(__name__)


class Shelf:
    """Puts folders of kept work on the shelf, and takes them from there."""

    def __init__(self, bundles: KeptBundles) -> None:
        self._bundles = bundles

    async def put(self, execution: str, folder: Path) -> None:
        """Put a folder there; when that fails the work is kept here alone, and the next time brings it along."""
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{execution}.") as place:
            file = Path(place, "bundle")
            try:
                await asyncio.to_thread(_pack, folder, file)
                await self._bundles.save(execution, file)
            except (HostlerError, OSError) as problem:
                log.warning("kept work lies on this machine alone", execution=execution, problem=str(problem))

    async def take(self, execution: str, folder: Path) -> bool:
        """Make the folder what the shelf has of it; return whether it has anything."""
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{execution}.") as place:
            file = Path(place, "bundle")
            if not await self._bundles.load(execution, file):
                return False
            await asyncio.to_thread(_unpack, file, Path(place, "fresh"), folder)
            return True

    async def remove(self, execution: str) -> None:
        """Keep nothing of an execution there any more."""
        await self._bundles.remove(execution)


def _pack(folder: Path, file: Path) -> None:
    with tarfile.open(file, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.name.endswith((".part", ".lock")):
                archive.add(path, path.relative_to(folder).as_posix(), recursive=False, filter=_plain)


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leave out what says nothing about the work, so that the same work makes the same bytes."""
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    return member


def _unpack(file: Path, fresh: Path, folder: Path) -> None:
    with tarfile.open(file) as archive:
        archive.extractall(fresh, filter="data")
    for needed in ("refs/heads", "objects/info", "objects/pack"):
        (fresh / needed).mkdir(parents=True, exist_ok=True)
    if folder.exists():
        shutil.rmtree(folder)
    fresh.rename(folder)
