"""What commands say: from a pipe into a file, with head and tail at hand, for any number of readers at any offset."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import stat
from collections.abc import AsyncIterator

PIPE_READ = 64 << 10
FRAME = 256 << 10


class Bell:
    """Wakes everybody who waits for the next change."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def ring(self) -> None:
        """Wake all who wait now."""
        self._next.set()
        self._next = asyncio.Event()

    async def wait(self) -> None:
        """Return at the next ring."""
        await self._next.wait()


def fresh(path: str) -> int:
    """Make a file anew and open it for writing; what hostile code planted under its name is taken away, not opened."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def existing(path: str) -> int:
    """Open a file for reading; a named pipe would hold the supervisor up for ever, so it is refused with OSError."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    if stat.S_ISREG(os.fstat(file).st_mode):
        return file
    os.close(file)
    raise OSError(errno.EINVAL, "not a regular file")


class Recording:
    """One stream kept in a file up to a cap, and counted beyond it; the file is made when there is something in it."""

    def __init__(self, path: str, keep: int, half: int = 0) -> None:
        self.path = path
        with contextlib.suppress(FileNotFoundError):  # from an earlier life of the supervisor
            os.unlink(path)
        self._file = -1
        self._keep = keep
        self._half = half
        self._end: int | None = None
        self._finished = False
        self._bell = Bell()
        self.head = b""
        self.tail = b""
        self.total = 0
        self.kept = 0

    def feed(self, data: bytes) -> None:
        """Take what was read; after the seal it still goes to the file, but counts no more."""
        if self._finished and self._end is not None:
            return
        if self._end is None:
            self.total += len(data)
            room = self._half - len(self.head)
            self.head += data[:room]
            self.tail = (self.tail + data[room:])[-self._half :] if self._half else b""
        with contextlib.suppress(OSError):  # A full disk cuts the file short; the command itself sees its own error.
            if self.kept < self._keep:
                self._file = self._file if self._file >= 0 else fresh(self.path)
                self.kept += os.pwrite(self._file, data[: self._keep - self.kept], self.kept)
        self._bell.ring()

    def seal(self) -> None:
        """Fix what belongs to the result: readers end here."""
        if self._end is None:
            self._end = self.kept
            self._bell.ring()
        self._release()

    def finish(self) -> None:
        """Nothing more will come from the pipe."""
        self._finished = True
        self._release()

    def _release(self) -> None:
        if self._finished and self._end is not None and self._file >= 0:
            os.close(self._file)
            self._file = -1

    async def follow(self, offset: int) -> AsyncIterator[tuple[int, bytes]]:
        """Yield (offset, bytes) as they come, until the seal."""
        while not self.kept:
            if self._end is not None:
                return
            await self._bell.wait()
        file = existing(self.path)
        try:
            while True:
                end = self.kept if self._end is None else self._end
                data = os.pread(file, min(FRAME, end - offset), offset) if offset < end else b""
                if data:
                    yield offset, data
                    offset += len(data)
                elif self._end is not None:  # All is shown, or somebody inside cut the file short.
                    return
                else:
                    await self._bell.wait()
        finally:
            os.close(file)


class Pump:
    """Moves bytes from a pipe into a recording until the end of the pipe."""

    def __init__(self, pipe: int, recording: Recording) -> None:
        self._pipe = pipe
        self.recording = recording
        self.finished = asyncio.Event()
        os.set_blocking(pipe, False)
        asyncio.get_running_loop().add_reader(pipe, self._move)

    def _move(self) -> None:
        try:
            data = os.read(self._pipe, PIPE_READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self.recording.feed(data)
            return
        asyncio.get_running_loop().remove_reader(self._pipe)
        os.close(self._pipe)
        self.recording.finish()
        self.finished.set()

    async def drain(self, seconds: float) -> None:
        """Give the pipe a moment to end; a daemon that kept it open is not waited for and can go on writing."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.finished.wait(), seconds)


class Feed:
    """Writes bytes into a pipe, whole and in order, however slowly they are read."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._lock = asyncio.Lock()
        os.set_blocking(pipe, False)

    async def write(self, data: bytes) -> None:
        """Return when all of `data` is in the pipe; raises OSError when nobody will read it."""
        async with self._lock:
            view = memoryview(data)
            while view:
                if self._pipe < 0:
                    raise BrokenPipeError("its standard input is closed")
                try:
                    view = view[os.write(self._pipe, view) :]
                except BlockingIOError:
                    await self._writable()

    async def _writable(self) -> None:
        loop, ready = asyncio.get_running_loop(), asyncio.Event()
        loop.add_writer(self._pipe, ready.set)
        try:
            await ready.wait()
        finally:
            if self._pipe >= 0:
                loop.remove_writer(self._pipe)

    def close(self) -> None:
        """Close the pipe; a write under way fails at its next step."""
        if self._pipe >= 0:
            asyncio.get_running_loop().remove_writer(self._pipe)
            os.close(self._pipe)
            self._pipe = -1
