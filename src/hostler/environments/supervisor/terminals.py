"""Terminals: they go on while nobody looks, and a ring buffer keeps what was shown last."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import struct
import termios
import time
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from .commands import CANCELLED, outcome_of, spec_of
from .fences import Fences, Refused
from .outputs import PIPE_READ, Bell, Feed
from .processes import Child, Processes, SpawnFailed
from .requests import Call, Key

RING = 256 << 10
MOST_OPEN = 64
MOST_TYPED = 1 << 20
"""Bytes that may wait for a program that does not read."""
REMEMBERED = 16
"""Terminals that have ended and can still be looked at."""


class About(NamedTuple):
    """What is told of a terminal in a list."""

    program: str
    cwd: str
    created: float
    notes: dict[str, str]


class Terminal:
    """One terminal and what runs in it."""

    def __init__(self, master: int, child: Child, about: About) -> None:
        self.child = child
        self.about = about
        self.rows = self.cols = 0
        self.ended: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.cancelled = False
        self._master = master
        self._ring = b""
        self._total = 0
        self._bell = Bell()
        self._feed = Feed(os.dup(master))
        self._typed = 0
        self._typing: set[asyncio.Task[None]] = set()
        asyncio.get_running_loop().add_reader(master, self._read)

    async def watch(self) -> None:
        """See it to its end."""
        try:
            outcome = outcome_of(await self.child.ended)
        except SpawnFailed as error:
            self._show(f"{error}\r\n".encode())
            outcome = {"kind": "exited", "code": 127}
        self._read()
        self._close()
        self.ended.set_result(CANCELLED if self.cancelled else outcome)
        self._bell.ring()

    def _read(self) -> None:
        if self._master < 0:
            return
        try:
            data = os.read(self._master, PIPE_READ)
        except BlockingIOError:
            return
        except OSError:  # EIO: the other side has closed.
            data = b""
        if data:
            self._show(data)
        else:
            asyncio.get_running_loop().remove_reader(self._master)

    def _show(self, data: bytes) -> None:
        self._total += len(data)
        self._ring = (self._ring + data)[-RING:]
        self._bell.ring()

    def _close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)
        self._master = -1
        self._feed.close()

    def resize(self, rows: int, cols: int) -> None:
        """Change the size in characters."""
        self.rows, self.cols = rows & 0xFFFF, cols & 0xFFFF
        if self._master >= 0:
            fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", self.rows, self.cols, 0, 0))

    def type(self, data: bytes) -> None:
        """Type `data`, in order, as fast as the program reads; raises Refused when too much waits already."""
        if self._typed + len(data) > MOST_TYPED:
            raise Refused("file", "the program in the terminal does not read what is typed", problem="full")
        self._typed += len(data)
        task = asyncio.ensure_future(self._write(data))
        self._typing.add(task)
        task.add_done_callback(self._typing.discard)

    async def _write(self, data: bytes) -> None:
        try:
            with contextlib.suppress(OSError):
                await self._feed.write(data)
        finally:
            self._typed -= len(data)

    def history(self) -> tuple[int, bytes]:
        """Return how much was shown in all, and the last part of it."""
        return self._total, self._ring

    async def follow(self, at: int) -> AsyncIterator[bytes]:
        """Yield what was shown from a place on, then what comes; a reader slower than the ring loses the oldest."""
        while True:
            at = max(at, self._total - len(self._ring))
            if at < self._total:
                data = self._ring[at - self._total :]
                at = self._total
                yield data
            elif self.ended.done():
                return
            else:
                await self._bell.wait()


class Terminals:
    """All terminals of this environment, by operation."""

    def __init__(self, processes: Processes, fences: Fences, workspace: str) -> None:
        self._processes = processes
        self._fences = fences
        self._workspace = workspace
        self._known: dict[Key, Terminal] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def busy(self) -> bool:
        """Say whether one of them is open."""
        return any(not terminal.ended.done() for terminal in self._known.values())

    async def open(self, call: Call) -> None:
        """Open or rejoin; send its size and what it showed last, then what it shows, then how it ended."""
        key = call.key
        self._fences.check(key.execution, call.get("fence", int), call.get("incarnation", str))
        terminal = self._known.get(key)
        if terminal is None and self._fences.buried(*key):
            await call.send({"type": "ended", "outcome": CANCELLED})
            return
        if terminal is None and "join" in call.header:
            raise Refused("file", "there is no such terminal", problem="not_found")
        terminal = terminal or self._begin(key, call)
        at, shown = terminal.history()
        await call.send({"type": "opened", "rows": terminal.rows, "cols": terminal.cols}, shown)
        async for data in terminal.follow(at):
            await call.send({"type": "output"}, data)
        await call.send({"type": "ended", "outcome": await asyncio.shield(terminal.ended)})

    async def list(self, call: Call) -> None:
        """Send what is open for an execution, the oldest first."""
        execution = call.get("execution", str)
        found = [
            {"id": key.operation, "rows": one.rows, "cols": one.cols, **one.about._asdict()}
            for key, one in self._known.items()
            if key.execution == execution and not one.ended.done()
        ]
        await call.send({"type": "terminals", "terminals": found})

    def _room(self) -> None:
        """Forget the oldest that have ended; raises Refused when too many are open."""
        ended = [key for key, one in self._known.items() if one.ended.done()]
        for key in ended[: max(0, len(ended) - REMEMBERED)]:
            del self._known[key]
            self._fences.bury(*key)
        if len(self._known) - len(ended) >= MOST_OPEN:
            raise Refused("file", f"{MOST_OPEN} terminals are open; close one first", problem="full")

    def _begin(self, key: Key, call: Call) -> Terminal:
        self._room()
        spec = spec_of(call, self._workspace, 0)
        spec = spec._replace(env={"TERM": "xterm-256color", **spec.env}, tty=True)
        master, slave = os.openpty()
        os.set_blocking(master, False)
        try:
            child = self._processes.start(key.execution, spec, (slave, slave, slave))
        except SpawnFailed as error:
            os.close(master)
            raise Refused("failed", str(error)) from error
        finally:
            os.close(slave)
        notes = call.table("notes") if "notes" in call.header else {}
        about = About(spec.argv[0], spec.cwd, time.time(), notes)
        terminal = self._known[key] = Terminal(master, child, about)
        terminal.resize(call.get("rows", int), call.get("cols", int))
        task = asyncio.ensure_future(terminal.watch())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return terminal

    def _find(self, call: Call) -> Terminal:
        key = call.key
        self._fences.check(key.execution, call.get("fence", int), call.get("incarnation", str))
        if key not in self._known:
            raise Refused("file", "there is no such terminal", problem="not_found")
        return self._known[key]

    async def type(self, call: Call) -> None:
        """Type the body into the terminal."""
        self._find(call).type(call.body)
        await call.send({"type": "done"})

    async def resize(self, call: Call) -> None:
        """Change the size."""
        self._find(call).resize(call.get("rows", int), call.get("cols", int))
        await call.send({"type": "done"})

    async def cancel(self, key: Key) -> None:
        """End the terminal and all that runs in it."""
        terminal = self._known.get(key)
        if terminal and not terminal.ended.done():
            terminal.cancelled = True
            await self._processes.kill([terminal.child])

    def cancel_all(self, execution: str) -> None:
        """Let all of the execution end as cancelled; their processes are killed by the caller."""
        for key, terminal in self._known.items():
            if key.execution == execution and not terminal.ended.done():
                terminal.cancelled = True
                self._fences.bury(*key)

    async def settled(self, execution: str) -> None:
        """Return when none of the execution's terminals is left."""
        ended = [terminal.ended for key, terminal in self._known.items() if key.execution == execution]
        if ended:
            await asyncio.wait(ended)
