"""Starting processes so that everything they leave behind can be found and killed.

Each command gets a keeper: a fork of the supervisor that is its subreaper, so that daemons, however often they fork,
stay below it. The keeper tells how the first process (the leader) ended, and lives while anything below it lives.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import os
import resource
import signal
import termios
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 1, 4, 36
FREEZE_ROUNDS = 50

_libc = ctypes.CDLL(None, use_errno=True)


def prctl(option: int, value: int) -> None:
    """Call prctl(2); errors are ignored, for each use only strengthens what also holds without it."""
    _libc.prctl(option, value, 0, 0, 0)


class SpawnFailed(Exception):
    """The command could not be started: no such program or folder, or no more processes allowed."""


class Streams(NamedTuple):
    """The descriptors a command gets as its standard streams; `tty` makes the first one its terminal."""

    stdin: int
    stdout: int
    stderr: int
    tty: bool = False


class Spec(NamedTuple):
    """What to execute."""

    argv: Sequence[str]
    cwd: str
    env: Mapping[str, str]
    memory: int = 0
    """Bytes of private memory per process; 0 leaves it unlimited."""


class Child:
    """One started command: its keeper's pid, how its leader ended, and whether all below the keeper are gone."""

    def __init__(self, group: str, pid: int, report: int) -> None:
        loop = asyncio.get_running_loop()
        self.group = group
        self.pid = pid
        self.ended: asyncio.Future[int | None] = loop.create_future()
        """The leader's wait status; None when the keeper was killed. Raises SpawnFailed when it never started."""
        self.gone = asyncio.Event()
        self._report = report
        self._text = b""
        os.set_blocking(report, False)
        loop.add_reader(report, self.collect)

    def collect(self) -> None:
        """Read what the keeper reported so far."""
        try:
            data = os.read(self._report, 4096)
        except BlockingIOError:
            return
        self._text += data
        if self._text[:1] == b"E" and len(self._text) >= 5 and not self.ended.done():
            self.ended.set_result(int.from_bytes(self._text[1:5], "big"))
        if not data:
            self._close()

    def _close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._report)
        os.close(self._report)
        self._report = -1
        if self.ended.done():
            return
        if self._text[:1] == b"X":
            self.ended.set_exception(SpawnFailed(self._text[1:].decode(errors="replace")))
        else:
            self.ended.set_result(None)

    def vanish(self) -> None:
        """The keeper was reaped: nothing below it is left."""
        if self._report >= 0:
            self.collect()
        if self._report >= 0:
            self._close()
        self.gone.set()


class Processes:
    """Starts commands and reaps everything that ends up with the supervisor."""

    def __init__(self) -> None:
        self._children: dict[int, Child] = {}
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._reap)

    def start(self, group: str, spec: Spec, streams: Streams) -> Child:
        """Fork a keeper and its leader into a group; raises SpawnFailed when no process can be made."""
        report, told = os.pipe()
        try:
            pid = os.fork()
        except OSError as error:
            os.close(report)
            os.close(told)
            raise SpawnFailed("the environment is at its limit of processes") from error
        if pid == 0:
            try:
                _keep(spec, streams, told)
            finally:
                os._exit(70)
        os.close(told)
        child = self._children[pid] = Child(group, pid, report)
        return child

    async def kill(self, children: Iterable[Child]) -> None:
        """Kill everything below the keepers, however it forks meanwhile; return when all are gone."""
        live = [child for child in children if not child.gone.is_set()]
        patience = 0.02
        while live:
            frozen = _freeze({child.pid for child in live})
            _signal(frozen, signal.SIGKILL)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(_all_gone(live), patience)
            live = [child for child in live if not child.gone.is_set()]
            if patience > 0.1:
                # A keeper that was stopped or wedged by its own charges; they fall to the supervisor.
                _signal((child.pid for child in live), signal.SIGKILL)
            patience = min(patience * 2, 0.5)

    async def kill_group(self, group: str) -> None:
        """Kill every command of the group and all their daemons."""
        await self.kill([child for child in self._children.values() if child.group == group])

    async def kill_all(self) -> None:
        """Kill every command and every orphan."""
        await self.kill(list(self._children.values()))
        self._kill_orphans()

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = self._children.pop(pid, None)
            if child is None:
                continue
            child.vanish()
            if os.WIFSIGNALED(status):
                self._kill_orphans()

    def _kill_orphans(self) -> None:
        """Kill what a killed keeper left to the supervisor: its group is over."""
        below = _tree()
        mine = [pid for pid in below.get(os.getpid(), ()) if pid not in self._children]
        _signal(mine, signal.SIGKILL)
        if mine:
            _signal(_freeze(set(mine)), signal.SIGKILL)


async def _all_gone(children: Iterable[Child]) -> None:
    for child in children:
        await child.gone.wait()


def _keep(spec: Spec, streams: Streams, told: int) -> None:
    """Be a keeper: never returns normally."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setsid()
    try:
        leader = os.fork()
    except OSError:
        os.write(told, b"Xthe environment is at its limit of processes")
        os._exit(71)
    if leader == 0:
        _lead(spec, streams, told)
    os.closerange(0, told)
    os.closerange(told + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    while True:
        try:
            pid, status = os.waitpid(-1, 0)
        except ChildProcessError:
            os._exit(0)
        if pid == leader:
            os.write(told, b"E" + status.to_bytes(4, "big"))


def _lead(spec: Spec, streams: Streams, told: int) -> None:
    """Be the leader: execute the command, or say why not."""
    what = spec.argv[0]
    try:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.setsid()
        if streams.tty:
            fcntl.ioctl(streams.stdin, termios.TIOCSCTTY, 0)
        for number, descriptor in enumerate(streams[:3]):
            os.dup2(descriptor, number)
        if spec.memory:
            resource.setrlimit(resource.RLIMIT_DATA, (spec.memory, spec.memory))
        what = spec.cwd
        os.chdir(spec.cwd)
        what = spec.argv[0]
        os.execvpe(what, list(spec.argv), dict(spec.env))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        os.write(told, f"X{what}: {reason}".encode(errors="replace")[:2000])
    os._exit(127)


def _tree() -> dict[int, list[int]]:
    """Return the pids below each parent, as /proc shows them now."""
    below: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        if fields and fields[0] not in (b"Z", b"X"):
            below.setdefault(int(fields[1]), []).append(int(name))
    return below


def _descendants(roots: set[int]) -> set[int]:
    below, found, todo = _tree(), set[int](), list(roots)
    while todo:
        for pid in below.get(todo.pop(), ()):
            if pid not in found:
                found.add(pid)
                todo.append(pid)
    return found


def _freeze(roots: set[int]) -> set[int]:
    """Stop everything below the roots until nothing new appears, so that a fork bomb cannot outrun the kill."""
    frozen: set[int] = set()
    for _ in range(FREEZE_ROUNDS):
        fresh = _descendants(roots) - frozen
        if not fresh:
            break
        _signal(fresh, signal.SIGSTOP)
        frozen |= fresh
    return frozen


def _signal(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
