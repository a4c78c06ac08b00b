"""Retention: everything that was kept for as long as the settings say goes, once a day or when somebody asks."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

import structlog

from hostler.core.ambient import Ambient
from hostler.core.audit import Audit, Entry
from hostler.core.commands import Command, Delete
from hostler.core.errors import HostlerError
from hostler.core.retention import Broom, Swept
from hostler.core.state import State

log = structlog.get_logger(__name__)

ACTION = "gc"
YOUNG = timedelta(days=1)
"""Files that are younger may belong to a row that is still being written."""
STEP = 20
"""Executions that are removed at a time."""


class Quiet(Protocol):
    """What the store knows of executions and large outputs."""

    async def find(self, before: datetime, limit: int = 0) -> Sequence[str]:
        """Return the executions that neither ran nor changed since a moment."""
        ...

    async def size(self, before: datetime) -> int:
        """Return the bytes of their logs and large outputs."""
        ...

    async def known(self) -> frozenset[str]:
        """Return the ids of all executions."""
        ...

    async def named(self) -> frozenset[str]:
        """Return the names of all large outputs."""
        ...


class Retention:
    """Sweeps with every broom it was given; one that fails keeps no other from its work."""

    def __init__(self, audit: Audit, ambient: Ambient) -> None:
        self._audit = audit
        self._ambient = ambient
        self._brooms: list[Broom] = []
        self._one_at_a_time = asyncio.Lock()

    def add(self, *brooms: Broom) -> None:
        """Sweep with more brooms from now on."""
        self._brooms.extend(brooms)

    async def run(self, *, dry: bool, actor: tuple[str, str, str] = ("", "system", "hostler")) -> Sequence[Swept]:
        """Sweep, or only look; what went is in the audit log."""
        async with self._one_at_a_time:
            found = [await self._one(broom, dry=dry) for broom in self._brooms]
        gone = {one.name: str(one.number) for one in found if one.number}
        if gone and not dry:
            id_, kind, name = actor
            await self._audit.write(
                Entry(self._ambient.new_id(), self._ambient.now(), id_, kind, name, ACTION, "done", details=gone)
            )
        return found

    async def _one(self, broom: Broom, *, dry: bool) -> Swept:
        now = self._ambient.now()
        try:
            return await (broom.look(now) if dry else broom.sweep(now))
        except (HostlerError, OSError) as problem:
            log.warning("what is old could not be removed", what=broom.name, problem=str(problem))
            return Swept(broom.name, 0)


class OldExecutions:
    """Executions that neither ran nor changed for some days; implements `Broom`."""

    name = "executions"

    def __init__(self, quiet: Quiet, command: Callable[[str, Command], Awaitable[State]], days: float) -> None:
        self._quiet = quiet
        self._command = command
        self._days = timedelta(days=days)

    async def look(self, now: datetime) -> Swept:
        """Count them."""
        found = await self._quiet.find(now - self._days)
        return Swept(self.name, len(found), await self._quiet.size(now - self._days) if found else 0)

    async def sweep(self, now: datetime) -> Swept:
        """Delete them as a person would, so that all that hangs on them goes too."""
        before, number, tried = now - self._days, 0, set[str]()
        size = await self._quiet.size(before)
        while fresh := [one for one in await self._quiet.find(before, STEP + len(tried)) if one not in tried]:
            for execution in fresh[:STEP]:
                tried.add(execution)
                with contextlib.suppress(HostlerError):
                    await self._command(execution, Delete())
                    number += 1
        return Swept(self.name, number, size if number else 0)


Chosen = Callable[[datetime], Awaitable[Iterable[Path]]]


class Files:
    """Files or folders that nobody needs any more; implements `Broom`."""

    def __init__(self, name: str, chosen: Chosen) -> None:
        self.name = name
        self._chosen = chosen

    async def look(self, now: datetime) -> Swept:
        """Count them."""
        paths = list(await self._chosen(now))
        return Swept(self.name, len(paths), await asyncio.to_thread(lambda: sum(map(_size, paths))))

    async def sweep(self, now: datetime) -> Swept:
        """Remove them, unless they are used again meanwhile."""
        number, size = 0, 0
        for path in list(await self._chosen(now)):
            taken = await asyncio.to_thread(_size, path)
            if await asyncio.to_thread(_remove, path, (now - YOUNG).timestamp()):
                number, size = number + 1, size + taken
        return Swept(self.name, number, size)


def orphaned_blobs(folder: Path, quiet: Quiet) -> Files:
    """Return the broom for large outputs that no execution names."""

    async def chosen(now: datetime) -> Iterable[Path]:
        files = await asyncio.to_thread(_older, folder, "*/*", now - YOUNG)
        named = await quiet.named() if files else frozenset[str]()
        return [path for path in files if path.name not in named]

    return Files("orphaned blobs", chosen)


def orphaned_text(folder: Path, quiet: Quiet) -> Files:
    """Return the broom for text that was being said by executions that are gone."""

    async def chosen(now: datetime) -> Iterable[Path]:
        files = await asyncio.to_thread(_older, folder, "*.jsonl", now - YOUNG)
        known = await quiet.known() if files else frozenset[str]()
        return [path for path in files if path.stem not in known]

    return Files("text of executions that are gone", chosen)


def unused_setups(folder: Path, days: float) -> Files:
    """Return the broom for what setup commands made and nobody used for some days."""

    async def chosen(now: datetime) -> Iterable[Path]:
        marks = await asyncio.to_thread(_older, folder, "*/whole", now - timedelta(days=days))
        return [mark.parent for mark in marks]

    return Files("unused setup caches", chosen)


class KeptBroom:
    """Kept work whose days are over; implements `Broom`."""

    name = "kept work"

    def __init__(self, folder: Path, days: Callable[[], float], expire: Callable[[], Awaitable[None]]) -> None:
        self._folder = folder
        self._days = days
        self._expire = expire

    async def look(self, now: datetime) -> Swept:
        """Count the executions whose kept work would go."""
        before = now - timedelta(days=self._days())
        marks = await asyncio.to_thread(_older, self._folder, "*.git/refs/hostler", before)
        return Swept(self.name, len(marks), await asyncio.to_thread(lambda: sum(_size(m.parents[1]) for m in marks)))

    async def sweep(self, now: datetime) -> Swept:
        """Let it go."""
        found = await self.look(now)
        await self._expire()
        return found


async def daily(retention: Retention, ambient: Ambient, first: timedelta = timedelta(minutes=10)) -> None:
    """Sweep once a day, the first time a while after the start."""
    wait = first
    while True:
        await ambient.until(ambient.now() + wait)
        wait = timedelta(days=1)
        try:
            await retention.run(dry=False)
        except Exception as problem:  # noqa: BLE001 whatever it was, the next day is another one
            log.warning("what is old could not be removed", problem=str(problem))


def _older(folder: Path, pattern: str, before: datetime) -> list[Path]:
    found: list[Path] = []
    for path in folder.glob(pattern):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < before.timestamp():
                found.append(path)
    return sorted(found)


def _size(path: Path) -> int:
    total = 0
    with contextlib.suppress(OSError):
        total = path.stat().st_size if path.is_file() else 0
        for folder, _, names in os.walk(path):
            total += sum(Path(folder, name).stat().st_size for name in names)
    return total


def _remove(path: Path, before: float) -> bool:
    """Remove a file or folder that was not touched since a moment; return whether it went."""
    try:
        if path.is_dir():
            shutil.rmtree(path)
            return True
        if path.stat().st_mtime >= before:
            return False
        path.unlink()
    except OSError:
        return False
    return True
