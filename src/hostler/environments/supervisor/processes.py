"""The commands of this environment as the supervisor's loop sees them: started, ended, gone, killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterable

from .keepers import ENDED, FAILED, PID, Spawner, Spec, freeze, send

LAST_WORDS_SECONDS = 0.05


class SpawnFailed(Exception):
    """The command could not be started: no such program or folder, or no more processes allowed."""


class Child:
    """One started command: its keeper's pid, how its leader ended, and whether all below the keeper are gone."""

    def __init__(self, group: str, report: int) -> None:
        loop = asyncio.get_running_loop()
        self.group = group
        self.pid = 0
        self.ended: asyncio.Future[int | None] = loop.create_future()
        """The leader's wait status; None when its keeper was killed. Raises SpawnFailed when it never started."""
        self.ended.add_done_callback(asyncio.Future[int | None].exception)
        self.known = asyncio.Event()
        self.gone = asyncio.Event()
        self._report = report
        self._text: bytes = b""
        os.set_blocking(report, False)
        loop.add_reader(report, self._collect)

    def _collect(self) -> None:
        """Read what the keeper reported so far; the end of the pipe is the end of all below it."""
        try:
            data = os.read(self._report, 4096)
        except BlockingIOError:
            return
        self._text += data
        self._understand()
        if not data:
            asyncio.get_running_loop().remove_reader(self._report)
            os.close(self._report)
            if not self.ended.done():
                # If the spawner died as well, this supervisor ends before it can tell a half-truth.
                asyncio.get_running_loop().call_later(LAST_WORDS_SECONDS, self._give_up)
            self.known.set()
            self.gone.set()

    def _give_up(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def _understand(self) -> None:
        while len(self._text) >= 5:
            kind, value, rest = self._text[:1], int.from_bytes(self._text[1:5], "big"), self._text[5:]
            if kind == PID:
                self.pid = value
                self.known.set()
            elif kind == ENDED and not self.ended.done():
                self.ended.set_result(value)
            elif kind == FAILED:
                if len(rest) < value:
                    return
                if not self.ended.done():
                    self.ended.set_exception(SpawnFailed(rest[:value].decode(errors="replace")))
                rest = rest[value:]
            self._text = rest


class Processes:
    """Starts commands through the spawner, and kills them with all they left."""

    def __init__(self, spawner: Spawner) -> None:
        self._spawner = spawner
        self._children: set[Child] = set()

    def need_spawner(self) -> None:
        """End at once when the spawner dies: the keepers die with it, and nobody knows how commands end."""
        asyncio.get_running_loop().add_reader(self._spawner.orders, os._exit, 70)

    def start(self, group: str, spec: Spec, streams: tuple[int, int, int]) -> Child:
        """Start a command in a group; raises SpawnFailed."""
        read, write = os.pipe()
        try:
            self._spawner.order(spec, write, streams)
        except OSError as error:
            os.close(read)
            raise SpawnFailed(f"the spawner takes no orders: {error.strerror}") from error
        finally:
            os.close(write)
        child = Child(group, read)
        self._children = {known for known in self._children if not known.gone.is_set()} | {child}
        return child

    async def kill(self, children: Iterable[Child]) -> None:
        """Kill everything below the keepers, however it forks meanwhile; return when all are gone."""
        live = [child for child in children if not child.gone.is_set()]
        for child in live:
            await child.known.wait()
        patience = 0.02
        while live := [child for child in live if not child.gone.is_set()]:
            send(freeze(child.pid for child in live), signal.SIGKILL)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    for child in live:
                        await child.gone.wait()
            if patience > 0.1:
                # A keeper was stopped or wedged by its own charges; they fall to the spawner, which ends them.
                send((child.pid for child in live if not child.gone.is_set()), signal.SIGKILL)
            patience = min(patience * 2, 0.5)

    async def kill_group(self, group: str) -> None:
        """Kill every command of the group and all their daemons."""
        await self.kill([child for child in self._children if child.group == group])

    async def kill_all(self) -> None:
        """Kill every command and all daemons."""
        await self.kill(list(self._children))
