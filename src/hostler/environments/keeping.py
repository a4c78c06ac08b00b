"""Where kept work lies outside its environment: a bare repository an execution, each turn's commit under a ref.

A repository holds only what its execution changed and what that replaced, so it is small and of no use as a clone.
What comes in was made inside and is not trusted: it is bounded, checked object by object, and never executed.
"""

import asyncio
import contextlib
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import TypeAdapter, ValidationError

from hostler.core.errors import EnvironmentFailed
from hostler.core.kept import KeepRequest, Snapshot, WorkKept
from hostler.core.machines import Machine, Patch
from hostler.environments import hostgit
from hostler.environments.shelf import Shelf

SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")
EMPTY_TREES = {40: hashlib.sha1(b"tree 0\0").hexdigest(), 64: hashlib.sha256(b"tree 0\0").hexdigest()}
REFS, NOTES = "refs/hostler", "hostler"
DIFF = ("--binary", "--full-index", "--no-ext-diff", "--no-textconv", "--no-color")


@dataclass(frozen=True, slots=True)
class Record:
    """What is noted beside a kept commit: how it was taken, and what its environment had been made from."""

    snapshot: Snapshot
    anchor: str = ""
    """The commit that has to be had elsewhere to make the workspace again."""
    origin: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def told(self, turn: int) -> WorkKept:
        """Return what the log says of it."""
        s = self.snapshot
        return WorkKept(turn, s.commit, s.files, s.size, s.base, s.head, s.branch, s.repository, s.pushed, s.left_out)


RECORD = TypeAdapter(Record)


class KeptWork:
    """The kept work of every execution of this runner, in one folder."""

    def __init__(self, root: Path, limit: int, shelf: Shelf | None = None) -> None:
        self._root = root
        self._shelf = shelf
        self.limit = limit
        """Bytes of one turn's pack."""
        self._locks: dict[str, asyncio.Lock] = {}
        """One keeping of an execution at a time: the end of a turn and the end of its environment may meet."""

    async def keep(
        self,
        machine: Machine,
        execution: str,
        turn: int,
        base: str,
        anchor: str,
        origin: Mapping[str, Any],
        without: tuple[str, ...] = (),
    ) -> Record:
        """Take a snapshot of a workspace and store it; asked again, it finds the same. Raises EnvironmentFailed.

        Of the files `without`, nothing is taken.
        """
        request = KeepRequest(f"{execution}/{turn}", base, anchor, limit=self.limit, without=without)
        async with self._locks.setdefault(execution, asyncio.Lock()):
            return await self._keep(machine, execution, turn, request, origin)

    async def _keep(
        self, machine: Machine, execution: str, turn: int, request: KeepRequest, origin: Mapping[str, Any]
    ) -> Record:
        folder = self._folder(execution)
        known = await asyncio.to_thread(_last, folder)
        request = replace(request, known=known)
        async with self._arriving(folder) as pack:
            with contextlib.ExitStack() as stack:
                files: list[BinaryIO] = []

                async def on_part(data: bytes) -> None:
                    if not files:  # Most often nothing has changed, and nothing comes.
                        files.append(stack.enter_context(pack.open("wb")))
                    await asyncio.to_thread(files[0].write, data)

                snapshot = await machine.git_keep(request, on_part)
            record = Record(snapshot, request.anchor if snapshot.base else "", origin)
            if not snapshot.commit:
                return record
            if snapshot.size:
                await self._take_in(folder, snapshot, pack)
            elif snapshot.commit != known:
                raise EnvironmentFailed("the environment sent nothing of what it keeps")
        await asyncio.to_thread(_note, folder, turn, record)
        if self._shelf is not None:
            await self._shelf.put(execution, folder)
        return record

    async def fetch(self, execution: str, *, anew: bool = False) -> None:
        """Have what another machine has kept of an execution; without `anew` only where nothing is here."""
        folder = self._folder(execution)
        if self._shelf is None or (not anew and await asyncio.to_thread(folder.is_dir)):
            return
        async with self._locks.setdefault(execution, asyncio.Lock()):
            await self._shelf.take(execution, folder)

    async def record(self, execution: str, turn: int) -> Record | None:
        """Return what is noted of a turn's work; None when none is kept."""
        await self.fetch(execution)
        file = self._folder(execution) / NOTES / f"{turn}.json"
        with contextlib.suppress(OSError, ValidationError):
            return RECORD.validate_json(await asyncio.to_thread(file.read_bytes))
        return None

    @asynccontextmanager
    async def _arriving(self, folder: Path) -> AsyncGenerator[Path]:
        """Yield a file for what comes in; it is gone afterwards."""
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        pack = folder.with_suffix(".arriving")
        try:
            yield pack
        finally:
            pack.unlink(missing_ok=True)

    async def _take_in(self, folder: Path, snapshot: Snapshot, pack: Path) -> None:
        await asyncio.to_thread(hostgit.make, folder, sha256=len(snapshot.commit) == 64)
        words = ("index-pack", "--stdin", "--fsck-objects", f"--max-input-size={self.limit}")
        await hostgit.must(folder, *words, stdin=pack)
        kind = await hostgit.must(folder, "cat-file", "-t", snapshot.commit)
        if kind.strip() != b"commit":
            raise EnvironmentFailed("what the environment sent is not a commit")

    async def diff(self, execution: str, base: str, commit: str, limit: int) -> Patch:
        """Return the change from the base (empty: from nothing) to a kept commit; raises EnvironmentFailed."""
        folder = self._folder(execution)
        await self.fetch(execution)
        if not await self.has(execution, commit):
            raise EnvironmentFailed("what was kept of the execution's work is not there any more")
        start = base or EMPTY_TREES[len(commit)]
        done = await hostgit.run(folder, "diff", *DIFF, start, commit, limit=limit)
        if done.code:
            raise EnvironmentFailed(f"what was kept cannot be shown: {done.said}")
        return Patch(done.out, done.cut)

    async def has(self, execution: str, commit: str) -> bool:
        """Return whether a commit is kept."""
        folder = self._folder(execution)
        if not await asyncio.to_thread(folder.is_dir):
            return False
        return (await hostgit.run(folder, "cat-file", "-e", commit)).code == 0

    @asynccontextmanager
    async def packed(self, execution: str) -> AsyncGenerator[Path]:
        """Yield a pack of everything that is kept of an execution; it is gone afterwards."""
        folder = self._folder(execution)
        with tempfile.TemporaryDirectory(dir=self._root, prefix=f"{execution}.") as place:
            names, pack = Path(place, "names"), Path(place, "pack")
            words = ("cat-file", "--batch-all-objects", "--batch-check=%(objectname)")
            listed = await hostgit.run(folder, *words, into=names)
            words = ("pack-objects", "--stdout", "--quiet", "--delta-base-offset")
            done = await hostgit.run(folder, *words, stdin=names, into=pack)
            if listed.code or done.code:
                raise EnvironmentFailed(f"what was kept cannot be read: {listed.said or done.said}")
            yield pack

    async def remove(self, execution: str) -> None:
        """Keep nothing of an execution any more; repeating it is fine."""
        if self._shelf is not None:
            await self._shelf.remove(execution)
        await asyncio.to_thread(self._remove, self._folder(execution))
        self._locks.pop(execution, None)

    def _remove(self, folder: Path) -> None:
        for left in self._root.glob(f"{folder.stem}.*"):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)

    async def expire(self, before: datetime) -> tuple[str, ...]:
        """Remove what was last added to before a moment; return the executions whose work that was."""
        return await asyncio.to_thread(self._expire, before.timestamp())

    def _expire(self, before: float) -> tuple[str, ...]:
        gone: list[str] = []
        for folder in sorted(self._root.glob("*.git")):
            with contextlib.suppress(OSError):
                if (folder / REFS).stat().st_mtime < before:
                    shutil.rmtree(folder)
                    gone.append(folder.stem)
        return tuple(gone)

    def _folder(self, execution: str) -> Path:
        if not SAFE_ID.fullmatch(execution):
            raise EnvironmentFailed("that is not an execution's id")
        return self._root / f"{execution}.git"


def _refs(folder: Path) -> dict[int, Path]:
    place = folder / REFS
    return {int(ref.name): ref for ref in place.iterdir() if ref.name.isdigit()} if place.is_dir() else {}


def _last(folder: Path) -> str:
    """Return what was kept last; empty when nothing was."""
    refs = _refs(folder)
    return refs[max(refs)].read_text().strip() if refs else ""


def _note(folder: Path, turn: int, record: Record) -> None:
    """Note a kept commit; the ref comes last, so that what has one is whole."""
    _write(folder / NOTES / f"{turn}.json", RECORD.dump_json(record))
    _write(folder / REFS / str(turn), f"{record.snapshot.commit}\n".encode())


def _write(path: Path, data: bytes) -> None:
    """Write a file whole: after a power cut it is there or it is not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
