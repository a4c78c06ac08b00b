"""Watching what environments take of the disk, where no quota holds them: who passes its limit is to be stopped.

A look costs little when nothing grows: folders are measured again when their file system's free space has shrunk, and
otherwise now and then, a large one less often. What is deleted but still open counts too.
"""

import asyncio
import contextlib
import os
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hostler.core.ambient import Ambient, SystemAmbient
from hostler.environments import launching
from hostler.environments.places import Place, places

GROWN = 1 << 20
"""Bytes by which free space must shrink before anybody is suspected."""
MADE = 2000
"""Files that must be made before anybody is suspected."""
LEAST = 4096
"""Bytes that a file or folder counts for at least: a file system has room for so many only, however small they are."""
SELDOM = 30.0
"""Seconds after which a folder is measured although nothing has shrunk."""
SHARE = 20
"""A folder is measured at most a twentieth of the time."""
PAUSE = 0.03
"""Seconds between two measurements of whatever environment, on the average."""
MEASURING_SECONDS = 20.0
AGAIN = 16 << 20
"""Bytes that one that was over its limit may take after it was started again, so that somebody can tidy up."""
MOST_FILES = 50_000
"""Open files that are looked at in one environment."""


@dataclass(frozen=True, slots=True)
class Overfull:
    """An environment that takes more than it may, in bytes."""

    environment: str
    used: int
    limit: int


@dataclass(slots=True)
class _Known:
    """What is known of one running environment."""

    used: int = 0
    at: float = float("-inf")
    cost: float = 0.0
    free: int = 0
    hidden: int = 0
    nodes: int = 0
    """How many files the file system had room for."""
    made: int = 0
    """By how many that has shrunk since files were counted."""
    counted: int = 0


class DiskWatch:
    """Measures the environments below a folder; it keeps no task of its own."""

    def __init__(self, root: Path, ambient: Ambient | None = None) -> None:
        self._root = root
        self._ambient = ambient or SystemAmbient()
        self._known: dict[str, _Known] = {}
        self._forgiven: dict[str, int] = {}

    async def look(self) -> list[Overfull]:
        """Return the running environments that are over their limit now."""
        return await asyncio.to_thread(self._look)

    async def used(self, environments: Sequence[str]) -> int:
        """Return the bytes that environments take, running or not; of those elsewhere nothing is known."""
        folders = [self._root / name / "files" for name in environments]
        return await asyncio.to_thread(lambda: sum(taken(folder) for folder in folders if folder.is_dir()))

    def _look(self) -> list[Overfull]:
        running = {where.folder.name: where for where in places(self._root) if _runs(where)}
        self._known = {name: self._known.get(name, _Known()) for name in running}
        found: list[Overfull] = []
        for name, where in running.items():
            record = where.record()
            if record is None:
                continue
            limit = max(record.limits.disk_bytes, self._forgiven.get(name, -AGAIN) + AGAIN)
            used = self._measured(where, self._known[name], limit, PAUSE * len(running))
            if used > limit:
                found.append(Overfull(name, used, record.limits.disk_bytes))
                self._forgiven[name] = used
            elif used <= record.limits.disk_bytes:
                self._forgiven.pop(name, None)
        return found

    def _measured(self, where: Place, known: _Known, limit: int, pause: float) -> int:
        """Return what an environment takes, as it was or, if it may have grown, as it is."""
        now, (free, nodes) = self._ambient.monotonic(), _free(where.folder)
        shrunk, age, made = known.free - free, now - known.at, max(0, known.nodes - nodes)
        if age < max(known.cost * SHARE, pause) and max(shrunk, made * LEAST) < limit - known.used:
            return known.used
        if age < SELDOM and shrunk < GROWN and known.made + made < MADE:
            return known.used
        used = taken(where.folder / "files")
        known.made, known.nodes = known.made + made, nodes
        if known.made >= MADE or age >= SELDOM:
            known.made, known.counted = 0, counted(where.folder / "files")
        used = max(used, known.counted * LEAST)
        if used <= limit and (shrunk >= GROWN or known.hidden):
            known.hidden = unseen(where)
        known.used, known.at, known.free = used + known.hidden, now, free
        known.cost = self._ambient.monotonic() - now
        return known.used


def _runs(where: Place) -> bool:
    with contextlib.suppress(Exception):  # One that cannot be read is somebody else's problem, not this watch's end.
        return launching.alive(where.launch())
    return False


def _free(folder: Path) -> tuple[int, int]:
    """Return how many bytes, and how many files, a file system has room for."""
    seen = os.statvfs(folder)
    return seen.f_bfree * seen.f_frsize, seen.f_ffree


def taken(folder: Path) -> int:
    """Return the bytes that a folder takes on its file system."""
    return _du(folder, "--block-size=1")


def counted(folder: Path) -> int:
    """Return how many files and folders there are in a folder."""
    return _du(folder, "--inodes")


def _du(folder: Path, what: str) -> int:
    """Return a sum over a tree; `du` walks those of any depth that others made."""
    words = ["du", "-sx", what, "--", str(folder)]
    try:
        ended = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, timeout=MEASURING_SECONDS, check=False
        )
        return int(ended.stdout.split(b"\t")[0])
    except (OSError, ValueError, IndexError, subprocess.TimeoutExpired):
        return 0


def unseen(where: Place) -> int:
    """Return the bytes of files that processes of an environment hold open, or mapped, though they are deleted."""
    launch = where.launch()
    if launch is None:
        return 0
    device = where.work.stat().st_dev
    files: dict[int, int] = {}
    for pid in _members(launch.pid):
        _opened(pid, device, files)
        _mapped(pid, device, files)
        if len(files) > MOST_FILES:
            break
    return sum(files.values())


def _members(first: int) -> list[int]:
    """Return the processes in the same process namespace as a sandbox's first one; none where that is our own."""
    try:
        namespace, own = os.readlink(f"/proc/{first}/ns/pid"), os.readlink("/proc/self/ns/pid")
    except OSError:
        return []
    members: list[int] = []
    for name in os.listdir("/proc") if namespace != own else ():
        with contextlib.suppress(OSError):
            if name.isdigit() and os.readlink(f"/proc/{name}/ns/pid") == namespace:
                members.append(int(name))
    return members


def _opened(pid: int, device: int, files: dict[int, int]) -> None:
    with contextlib.suppress(OSError), os.scandir(f"/proc/{pid}/fd") as scan:
        for entry in scan:
            with contextlib.suppress(OSError):
                info = os.stat(entry.path)
                if info.st_nlink == 0 and info.st_dev == device and stat.S_ISREG(info.st_mode):
                    files[info.st_ino] = max(files.get(info.st_ino, 0), info.st_blocks * 512)


def _mapped(pid: int, device: int, files: dict[int, int]) -> None:
    named = f"{os.major(device):02x}:{os.minor(device):02x}".encode()
    with contextlib.suppress(OSError, ValueError), open(f"/proc/{pid}/maps", "rb") as maps:
        for line in maps:
            if line.endswith(b" (deleted)\n"):
                span, _, _, where, inode, _ = line.split(None, 5)
                begin, end = (int(part, 16) for part in span.split(b"-"))
                if where == named:
                    files[int(inode)] = max(files.get(int(inode), 0), end - begin)


def told(one: Overfull) -> str:
    """Return what people are told of an environment that was stopped."""
    return (
        f"stopped: it took {one.used / (1 << 20):.0f} MiB of disk, and may take {one.limit / (1 << 20):.0f} MiB;"
        " start it to tidy up, or choose a larger class"
    )
