"""Reading and changing files from inside, where a planted link can only lead to what the environment may see anyway."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from collections.abc import Iterator
from typing import Any

from .fences import Fences, Refused
from .outputs import existing
from .requests import Call, Key

READ_LIMIT = 16 << 20
EDIT_LIMIT = 64 << 20
REMEMBERED = 20_000
LISTED = 3 << 20
"""Bytes of what is listed in one answer: a frame's header may not be larger, however long names are."""
KINDS = {
    errno.ENOENT: "not_found",
    errno.ENOTDIR: "not_directory",
    errno.EISDIR: "is_directory",
    errno.EEXIST: "exists",
    errno.EACCES: "permission",
    errno.EPERM: "permission",
    errno.EROFS: "permission",
    errno.ENOSPC: "full",
    errno.EDQUOT: "full",
    errno.EFBIG: "too_large",
    errno.ELOOP: "not_found",
}


def problem(error: OSError, path: str) -> Refused:
    """Return the refusal that tells of a failed file operation."""
    return Refused("file", f"{path}: {error.strerror or error}", problem=KINDS.get(error.errno or 0, "other"))


class Files:
    """The file operations of this environment; changes are answered from memory when they are repeated."""

    def __init__(self, fences: Fences, root: str, workspace: str) -> None:
        self._fences = fences
        self._root = root
        self._workspace = workspace
        self._results: dict[Key, dict[str, Any]] = {}

    def _path(self, call: Call) -> str:
        path = call.get("path", str)
        if "\0" in path:
            raise Refused("bad", "path: holds a NUL")
        return os.path.join(self._workspace, path)

    async def read(self, call: Call) -> None:
        """Send a part of a regular file and its size."""
        await self._send_part(call, self._path(call), call.get("path", str))

    async def output(self, call: Call) -> None:
        """Send a part of an operation's kept output."""
        stream = call.get("stream", str)
        if stream not in ("out", "err"):
            raise Refused("bad", "stream: out or err")
        folder = call.key.folder(self._root)
        if _silent(folder, stream):
            await call.send({"type": "part", "size": 0})
        else:
            await self._send_part(call, os.path.join(folder, stream), f"output of {call.key.operation}")

    async def _send_part(self, call: Call, path: str, name: str) -> None:
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError as error:
            raise problem(error, name) from error
        try:
            info = os.fstat(file)
            if not stat.S_ISREG(info.st_mode):
                kind = "is_directory" if stat.S_ISDIR(info.st_mode) else "other"
                raise Refused("file", f"{name}: not a regular file", problem=kind)
            _outside_kernel(file)
            data = os.pread(file, min(max(call.get("limit", int), 0), READ_LIMIT), max(call.get("offset", int), 0))
        except OSError as error:
            raise problem(error, name) from error
        finally:
            os.close(file)
        await call.send({"type": "part", "size": info.st_size}, data)

    async def stat(self, call: Call) -> None:
        """Describe one path."""
        path = self._path(call)
        try:
            entry = entry_of(call.get("path", str), os.lstat(path))
        except OSError as error:
            raise problem(error, call.get("path", str)) from error
        await call.send({"type": "entry", "entry": entry})

    async def list(self, call: Call) -> None:
        """List a folder, breadth first, names in order."""
        path, depth, limit = self._path(call), call.get("depth", int), min(call.get("limit", int), 10_000)
        entries: list[dict[str, Any]] = []
        room = LISTED
        try:
            for entry in _walk(path, depth):
                room -= weight(entry)
                if len(entries) >= limit or room < 0:
                    break
                entries.append(entry)
        except OSError as error:
            raise problem(error, call.get("path", str)) from error
        await call.send({"type": "entries", "entries": entries})

    async def write(self, call: Call) -> None:
        """Replace a file whole, once per operation."""
        await self._once(call, self._write)

    async def edit(self, call: Call) -> None:
        """Replace the one occurrence of a text, once per operation."""
        await self._once(call, self._edit)

    async def _once(self, call: Call, change: Any) -> None:
        key = call.key
        self._fences.check(key.execution, call.get("fence", int), call.get("incarnation", str))
        result = self._results.get(key)
        if result is not None:
            await call.send({**result, "replayed": True})
            return
        if self._fences.buried(*key):
            await call.send({"type": "cancelled"})
            return
        try:
            result = change(call)
        except OSError as error:
            raise problem(error, call.get("path", str)) from error
        self._results[key] = result
        if len(self._results) > REMEMBERED:
            del self._results[next(iter(self._results))]
        await call.send(result)

    def _write(self, call: Call) -> dict[str, Any]:
        path = _target(self._path(call))
        mode = call.header.get("mode")
        existed = os.path.exists(path)
        how = call.header.get("how", "replace")
        if how == "truncate" and not existed:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if how == "append":
            _append(path, call.body)
        else:
            _replace(path, call.body, mode if isinstance(mode, int) else None, new=how == "create")
        return {"type": "written", "size": len(call.body), "existed": existed}

    def _edit(self, call: Call) -> dict[str, Any]:
        path = _target(self._path(call))
        size = call.get("old_size", int)
        old, new = call.body[:size], call.body[size:]
        if not old:
            raise Refused("bad", "old: may not be empty")
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise Refused("file", f"{call.get('path', str)}: not a regular file", problem="is_directory")
        if os.stat(path).st_size > EDIT_LIMIT:
            raise Refused("file", f"{call.get('path', str)}: too large to edit", problem="too_large")
        with open(existing(path), "rb") as file:
            _outside_kernel(file.fileno())  # A folder on the way may have become a link since.
            text = file.read()
        count = text.count(old)
        if count != 1:
            return {"type": "refused", "occurrences": count, "lines": list(_lines(text, old, 10))}
        _replace(path, text.replace(old, new), None)
        return {"type": "edited", "line": next(_lines(text, old, 1))}


def _silent(folder: str, stream: str) -> bool:
    """Return whether an operation that is known has said nothing on a stream."""
    return os.path.isdir(folder) and not os.path.lexists(os.path.join(folder, stream))


def _lines(text: bytes, part: bytes, most: int) -> Iterator[int]:
    at = -1
    for _ in range(most):
        at = text.find(part, at + 1)
        if at < 0:
            return
        yield text.count(b"\n", 0, at) + 1


KERNEL = ("/proc/", "/sys/", "/dev/")
"""What lies there is no file but a view of a process or a device: through a planted link it would be our own."""


def _target(path: str) -> str:
    """Return where a path leads; raises PermissionError for what is no file."""
    path = os.path.realpath(path)
    if path.startswith(KERNEL):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    return path


def _outside_kernel(file: int) -> None:
    """Raise PermissionError for an open file that is none."""
    if os.readlink(f"/proc/self/fd/{file}").startswith(KERNEL):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _append(path: str, data: bytes) -> None:
    """Write at the end of a regular file; what cannot be written whole is not written at all."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
    file = os.open(path, flags, 0o644)
    try:
        size = os.fstat(file)
        if not stat.S_ISREG(size.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        _outside_kernel(file)
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(file, view) :]
        except OSError:
            os.ftruncate(file, size.st_size)
            raise
    finally:
        os.close(file)


def _replace(path: str, data: bytes, mode: int | None, *, new: bool = False) -> None:
    """Write beside and rename, so that nobody ever sees half a file; a `new` one must not be there."""
    if new and os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    if os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if mode is None:
        with contextlib.suppress(OSError):
            mode = stat.S_IMODE(os.stat(path).st_mode)
    # The random part keeps a planted link of the same name from being followed.
    beside = os.path.join(os.path.dirname(path), f".{os.urandom(6).hex()}.part")
    file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        with open(file, "wb") as whole:
            whole.write(data)
            if mode is not None:
                os.fchmod(whole.fileno(), mode & 0o7777)
        if new:
            os.link(beside, path)
            os.unlink(beside)
        else:
            os.replace(beside, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise


def weight(entry: dict[str, Any]) -> int:
    """Return how many bytes something takes in a frame's header."""
    return len(json.dumps(entry)) + 1


def entry_of(path: str, info: os.stat_result) -> dict[str, Any]:
    """Return what is told of a path."""
    kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}
    return {
        "path": os.fsencode(path).decode(errors="replace"),
        "kind": kinds.get(stat.S_IFMT(info.st_mode), "other"),
        "size": info.st_size,
        "mode": stat.S_IMODE(info.st_mode),
        "modified": info.st_mtime,
    }


def _walk(top: str, depth: int) -> Iterator[dict[str, Any]]:
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
                yield entry_of(path, info)
                if level < depth and stat.S_ISDIR(info.st_mode):
                    folders.append((path, level + 1))
