"""The commands of this environment as the supervisor's loop sees them: started, ended, gone, killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Iterable

from .keepers import ENDED, FAILED, GONE, PID, Spawner, Spec, freeze, order, send

LAST_WORDS_SECONDS = 0.05
MOST_IDLE = 3
"""Keepers without a command that are kept for the next ones."""


class SpawnFailed(Exception):
    """The command could not be started: no such program or folder, or no more processes allowed."""


class Child:
    """One started command: its keeper's pid, how its leader ended, and whether all below the keeper are gone."""

    def __init__(self, group: str, pid: int = 0) -> None:
        self.group = group
        self.pid = pid
        self.ended: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        """The leader's wait status; None when its keeper was killed. Raises SpawnFailed when it never started."""
        self.ended.add_done_callback(asyncio.Future[int | None].exception)
        self.known = asyncio.Event()
        self.gone = asyncio.Event()
        if pid:
            self.known.set()

    def settle(self, status: int | None) -> None:
        """Take how the leader ended, if that is not known yet."""
        if not self.ended.done():
            self.ended.set_result(status)

    def fail(self, reason: str) -> None:
        """Take why there is no leader."""
        if not self.ended.done():
            self.ended.set_exception(SpawnFailed(reason))

    def left(self) -> None:
        """Take that nothing is left of it."""
        self.known.set()
        self.gone.set()


class Keeper:
    """The supervisor's end of a keeper, and the command that it keeps now.

    No other command is given to it before nothing is left of the last one, and that is known here: so whoever kills
    what is below a keeper never meets the next command.
    """

    def __init__(self, report: socket.socket, memory: int, child: Child, idle: Callable[[Keeper], None]) -> None:
        self.memory = memory
        """The limit that it has taken with its first command."""
        self._report = report
        self._child = child
        self._idle = idle
        self._pid = 0
        self._text: bytes = b""
        self.ended = False
        report.setblocking(False)
        asyncio.get_running_loop().add_reader(report, self._collect)

    def give(self, group: str, spec: Spec, streams: tuple[int, int, int]) -> Child:
        """Have it keep another command. Raises OSError when it is not there any more."""
        order(self._report, spec, streams)
        self._child = Child(group, self._pid)
        return self._child

    def let_go(self) -> None:
        """Let it end."""
        if not self.ended:
            self.ended = True
            asyncio.get_running_loop().remove_reader(self._report)
            self._report.close()

    def _collect(self) -> None:
        """Read what it reported so far; the end of the socket is the end of all below it."""
        try:
            data = self._report.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._text += data
        self._understand()
        if not data:
            self.let_go()
            if not self._child.ended.done():
                # If the spawner died as well, this supervisor ends before it can tell a half-truth.
                asyncio.get_running_loop().call_later(LAST_WORDS_SECONDS, self._child.settle, None)
            self._child.left()

    def _understand(self) -> None:
        while len(self._text) >= 5:
            kind, value, rest = self._text[:1], int.from_bytes(self._text[1:5], "big"), self._text[5:]
            if kind == PID:
                self._pid = self._child.pid = value
                self._child.known.set()
            elif kind == ENDED:
                self._child.settle(value)
            elif kind == GONE:
                self._child.left()
                self._idle(self)
            elif kind == FAILED:
                if len(rest) < value:
                    return
                self._child.fail(rest[:value].decode(errors="replace"))
                rest = rest[value:]
            self._text = rest


class Processes:
    """Starts commands through the spawner, and kills them with all they left."""

    def __init__(self, spawner: Spawner) -> None:
        self._spawner = spawner
        self._children: set[Child] = set()
        self._idle: list[Keeper] = []

    def need_spawner(self) -> None:
        """End at once when the spawner dies: the keepers die with it, and nobody knows how commands end."""
        asyncio.get_running_loop().add_reader(self._spawner.orders, os._exit, 70)

    def start(self, group: str, spec: Spec, streams: tuple[int, int, int]) -> Child:
        """Start a command in a group; raises SpawnFailed."""
        child = self._again(group, spec, streams) or self._anew(group, spec, streams)
        self._children = {known for known in self._children if not known.gone.is_set()} | {child}
        return child

    def _again(self, group: str, spec: Spec, streams: tuple[int, int, int]) -> Child | None:
        """Give the command to a keeper that has none; None when there is no such one."""
        for keeper in [keeper for keeper in reversed(self._idle) if keeper.memory == spec.memory]:
            self._idle.remove(keeper)
            with contextlib.suppress(OSError):
                return keeper.give(group, spec, streams)
            keeper.let_go()
        return None

    def _anew(self, group: str, spec: Spec, streams: tuple[int, int, int]) -> Child:
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._spawner.order(spec, its.fileno(), streams)
        except OSError as error:
            ours.close()
            raise SpawnFailed(f"the spawner takes no orders: {error.strerror}") from error
        finally:
            its.close()
        child = Child(group)
        Keeper(ours, spec.memory, child, self._rest)
        return child

    def _rest(self, keeper: Keeper) -> None:
        """Keep a keeper for the next command, or let it end when there are enough."""
        self._idle = [*(known for known in self._idle if not known.ended), keeper]
        if len(self._idle) > MOST_IDLE:
            self._idle.pop(0).let_go()

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
