"""Telling of changes of files and of the git state, as the kernel reports them (inotify), in batches."""

from __future__ import annotations

import asyncio
import ctypes
import fnmatch
import os
import struct
from collections.abc import Sequence
from typing import Any

from .fences import Refused
from .files import LISTED, weight
from .requests import Call

MOST_FOLDERS = 8192
MOST_CHANGES = 1000
"""Changes in one frame; of more, the reader is told to look again."""
GATHER_SECONDS = 0.05
CLOSE_WRITE, MOVED_FROM, MOVED_TO, CREATE, DELETE = 0x8, 0x40, 0x80, 0x100, 0x200
MODIFY, OVERFLOW, ONLYDIR, ISDIR = 0x2, 0x4000, 0x1000000, 0x40000000
DONT_FOLLOW = 0x2000000
MASK = MODIFY | CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | DELETE | ONLYDIR | DONT_FOLLOW
HEADER = struct.Struct("iIII")
GIT = ".git"
GIT_FILES = ("HEAD", "index", "MERGE_HEAD", "packed-refs")

_libc = ctypes.CDLL(None, use_errno=True)


class Watch:
    """One watch of a folder tree; folders that appear are watched too, links are not followed."""

    def __init__(self, top: str, excluded: Sequence[str]) -> None:
        self._top = top
        self._excluded = excluded
        self._folders: dict[int, str] = {}
        self._full = False
        self.file = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.file < 0:
            raise Refused("failed", f"files cannot be watched: {os.strerror(ctypes.get_errno())}")

    def add(self, below: str = "") -> list[str]:
        """Watch a folder and all below it; return the files that are there already."""
        there: list[str] = []
        folders = [below]
        while folders:
            folder = folders.pop()
            self._watch(folder)
            try:
                scan = os.scandir(os.path.join(self._top, folder))
            except OSError:
                continue
            with scan:
                for entry in scan:
                    path = os.path.join(folder, entry.name)
                    if self._skipped(path):
                        continue
                    there.append(path)
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(path)
        return there

    def _watch(self, folder: str) -> None:
        if len(self._folders) >= MOST_FOLDERS:
            self._full = True
            return
        number = _libc.inotify_add_watch(self.file, os.fsencode(os.path.join(self._top, folder)), MASK)
        if number >= 0:
            self._folders[number] = folder
        elif folder == "":
            raise Refused("file", "the workspace cannot be watched", problem="not_found")

    def _skipped(self, path: str) -> bool:
        if path.startswith(f"{GIT}/"):
            rest = path[len(GIT) + 1 :]
            return not (rest in GIT_FILES or rest == "refs" or rest.startswith("refs/heads") or rest == "refs/remotes")
        name = os.path.basename(path)
        return any(fnmatch.fnmatchcase(path, one) or fnmatch.fnmatchcase(name, one) for one in self._excluded)

    def read(self) -> tuple[dict[str, tuple[str, bool]], bool]:
        """Return what has changed, by path, and whether changes were lost."""
        changes: dict[str, tuple[str, bool]] = {}
        lost, self._full = self._full, False
        try:
            data = os.read(self.file, 256 << 10)
        except BlockingIOError:
            return changes, lost
        at = 0
        while at < len(data):
            number, mask, _, size = HEADER.unpack_from(data, at)
            name = os.fsdecode(data[at + HEADER.size : at + HEADER.size + size].rstrip(b"\0"))
            at += HEADER.size + size
            lost = lost or bool(mask & OVERFLOW)
            folder = self._folders.get(number)
            if folder is None or not name or self._skipped(path := os.path.join(folder, name)):
                continue
            self._note(changes, path, mask)
        return changes, lost

    def _note(self, changes: dict[str, tuple[str, bool]], path: str, mask: int) -> None:
        is_folder = bool(mask & ISDIR)
        if mask & (CREATE | MOVED_TO):
            # What was replaced by a rename was there before; nobody can tell, so a second look is an update.
            changes[path] = ("created", is_folder)
            for below in self.add(path) if is_folder else ():
                changes.setdefault(below, ("created", os.path.isdir(os.path.join(self._top, below))))
        elif mask & (DELETE | MOVED_FROM):
            changes[path] = ("deleted", is_folder)
        elif changes.get(path, ("", False))[0] != "created":
            changes[path] = ("updated", is_folder)

    def close(self) -> None:
        """Let the kernel forget it."""
        os.close(self.file)


class Watching:
    """Watches the workspace for whoever asks, each with a watch of its own."""

    def __init__(self, workspace: str) -> None:
        self._workspace = workspace

    async def watch(self, call: Call) -> None:
        """Send what changes, for as long as somebody listens."""
        watch = Watch(self._workspace, call.words("excluded"))
        loop, ready = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(watch.file, ready.set)
        try:
            watch.add()
            await call.send({"type": "watching"})
            while True:
                await ready.wait()
                await asyncio.sleep(GATHER_SECONDS)
                ready.clear()
                changes, lost = watch.read()
                await call.send(told(changes, lost))
        finally:
            loop.remove_reader(watch.file)
            watch.close()


def told(changes: dict[str, tuple[str, bool]], lost: bool) -> dict[str, Any]:
    """Return a frame that tells of changes; those below .git only say that the git state changed."""
    files = [
        {"path": path, "kind": kind, "folder": folder}
        for path, (kind, folder) in changes.items()
        if path != GIT and not path.startswith(f"{GIT}/")
    ]
    room, fits = LISTED, 0
    for file in files[:MOST_CHANGES]:
        if (room := room - weight(file)) < 0:
            break
        fits += 1
    lost = lost or fits < len(files)
    return {"type": "changes", "changes": files[:fits], "git": bool(changes) or lost, "lost": lost}
