"""Terminals: they go on while nobody looks, and a ring buffer keeps what was shown last."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import struct
import termios
from collections.abc import AsyncIterator
from typing import Any

from .commands import CANCELLED, outcome_of, spec_of
from .fences import Fences, Refused
from .outputs import PIPE_READ, Bell, Feed
from .processes import Child, Processes, SpawnFailed
from .requests import Call, Key

RING = 256 << 10


class Terminal:
    """One terminal and what runs in it."""

    def __init__(self, master: int, child: Child) -> None:
        self.child = child
        self.ended: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.cancelled = False
        self._master = master
        self._ring = b""
        self._total = 0
        self._bell = Bell()
        self.feed = Feed(os.dup(master))
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
        self.feed.close()

    def resize(self, rows: int, cols: int) -> None:
        """Change the size in characters."""
        if self._master >= 0:
            fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows & 0xFFFF, cols & 0xFFFF, 0, 0))

    async def follow(self) -> AsyncIterator[bytes]:
        """Yield the ring, then what comes; a reader slower than the ring loses the oldest part."""
        at = self._total - len(self._ring)
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
        """Open or rejoin; send what it shows, then how it ended."""
        key = call.key
        self._fences.check(key.execution, call.get("fence", int), call.get("incarnation", str))
        terminal = self._known.get(key)
        if terminal is None and self._fences.buried(*key):
            await call.send({"type": "ended", "outcome": CANCELLED})
            return
        terminal = terminal or self._begin(key, call)
        await call.send({"type": "opened"})
        async for data in terminal.follow():
            await call.send({"type": "output"}, data)
        await call.send({"type": "ended", "outcome": await asyncio.shield(terminal.ended)})

    def _begin(self, key: Key, call: Call) -> Terminal:
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
        terminal = self._known[key] = Terminal(master, child)
        terminal.resize(call.get("rows", int), call.get("cols", int))
        task = asyncio.ensure_future(terminal.watch())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return terminal

    def _find(self, call: Call) -> Terminal:
        key = call.key
        self._fences.check(key.execution, call.get("fence", int), call.get("incarnation", str))
        if key not in self._known:
            raise Refused("lost", "there is no such terminal", incarnation=self._fences.incarnation)
        return self._known[key]

    async def type(self, call: Call) -> None:
        """Type the body into the terminal."""
        with contextlib.suppress(OSError):
            await self._find(call).feed.write(call.body)
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
