"""Finding files by name below a folder; links are never followed, and a huge tree costs only so much time."""

from __future__ import annotations

import asyncio
import contextlib
import fnmatch
import os
import stat
import time
from collections.abc import Callable, Iterator
from typing import Any

from .fences import Refused
from .files import LISTED, entry_of, problem, weight
from .requests import Call

SECONDS = 10.0
AT_ONCE = 200
"""Entries that are looked at before others get their turn."""
MOST = 10_000
SKIPPED = (".git",)
"""Folders that are not looked into."""
GLOB = frozenset("*?[")

Test = Callable[[str], int]
"""Says how badly a path fits, 0 best; below 0 it does not."""


def exact(pattern: str) -> Test:
    """Return the test for a glob (on the whole path when it has a slash, else on the name), or for a part of a name."""
    if not GLOB & set(pattern):
        low = pattern.casefold()
        return lambda path: 0 if low in (path if "/" in pattern else os.path.basename(path)).casefold() else -1
    if "/" in pattern:
        return lambda path: 0 if fnmatch.fnmatchcase(path, pattern.replace("**/", "*")) else -1
    return lambda path: 0 if fnmatch.fnmatchcase(os.path.basename(path), pattern) else -1


def fuzzy(pattern: str) -> Test:
    """Return the test whether all characters occur in a path, in order; the closer together, the better."""
    wanted = [letter for letter in pattern.casefold() if not letter.isspace()]

    def test(path: str) -> int:
        text = path.casefold()
        name = text.rpartition("/")[2]
        found = [place for where in (name, text) if (place := _spread(where, wanted)) >= 0]
        return min(found) * 1000 + len(text) if found else -1

    return test


def _spread(text: str, wanted: list[str]) -> int:
    at, gaps = -1, 0
    for letter in wanted:
        place = text.find(letter, at + 1)
        if place < 0:
            return -1
        gaps += place - at - 1
        at = place
    return gaps


class Finding:
    """Finds files in the workspace, or wherever a request says."""

    def __init__(self, workspace: str) -> None:
        self._workspace = workspace

    async def find(self, call: Call) -> None:
        """Send the entries that fit, and whether there are more than were looked for."""
        top = os.path.join(self._workspace, call.get("path", str))
        pattern, kind = call.get("pattern", str), call.get("kind", str)
        limit, depth = min(max(call.get("limit", int), 1), MOST), call.get("depth", int)
        test: Test = (fuzzy if call.get("fuzzy", bool) else exact)(pattern) if pattern else lambda _: 0
        until, found, cut = time.monotonic() + SECONDS, list[tuple[int, dict[str, Any]]](), False
        room = LISTED
        try:
            for number, (path, info) in enumerate(_walk(top, depth)):
                if number % AT_ONCE == AT_ONCE - 1:
                    await asyncio.sleep(0)
                    cut = time.monotonic() > until
                if cut:
                    break
                if _wanted(info, kind) and (rank := test(path)) >= 0:
                    entry = entry_of(path, info)
                    room -= weight(entry)
                    cut = len(found) >= limit or room < 0
                    found += [] if cut else [(rank, entry)]
        except OSError as error:
            raise problem(error, call.get("path", str)) from error
        found.sort(key=lambda one: one[0])
        await call.send({"type": "entries", "entries": [entry for _, entry in found], "cut": cut})


def _wanted(info: os.stat_result, kind: str) -> bool:
    if kind not in ("file", "directory", "any"):
        raise Refused("bad", "kind: file, directory or any")
    folder = stat.S_ISDIR(info.st_mode)
    return kind == "any" or folder == (kind == "directory")


def _walk(top: str, depth: int) -> Iterator[tuple[str, os.stat_result]]:
    """Yield (path below the top, what it is), breadth first."""
    folders = [("", 1)]
    while folders:
        below, level = folders.pop(0)
        try:
            names = sorted(os.listdir(os.path.join(top, below)))
        except OSError:
            if not below:
                raise
            continue
        for name in names:
            path = os.path.join(below, name)
            with contextlib.suppress(OSError):
                info = os.lstat(os.path.join(top, path))
                if stat.S_ISDIR(info.st_mode) and name not in SKIPPED and level < depth:
                    folders.append((path, level + 1))
                yield path, info
