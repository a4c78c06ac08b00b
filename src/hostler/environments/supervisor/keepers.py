"""Keepers: small processes under which commands run, so that everything a command leaves behind can be found.

The spawner is forked from the supervisor while that is still small, and forks keepers. A keeper is its command's
subreaper: daemons, however often they fork, stay below it. On its socket it says its pid, how the first process (the
leader) ended, and that nothing below it is left; then the supervisor may give it another command, for forking a keeper
costs more than running a small one. A socket that ends says that keeper, leader and daemons are gone.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import resource
import signal
import socket
import struct
import termios
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 1, 4, 36
PID, ENDED, GONE, FAILED = b"P", b"E", b"G", b"X"
"""What a report begins with; four bytes follow, which for FAILED are the length of the reason after them."""
NOTHING_LEFT = GONE + bytes(4)
NO_PROCESS = "the environment is at its limit of processes"

_NUMBER = struct.Struct("i")
_libc = ctypes.CDLL(None, use_errno=True)


def prctl(option: int, value: int) -> None:
    """Call prctl(2); errors are ignored, for each use only strengthens what also holds without it."""
    _libc.prctl(option, value, 0, 0, 0)


class Spec(NamedTuple):
    """What to execute."""

    argv: Sequence[str]
    cwd: str
    env: Mapping[str, str]
    memory: int = 0
    """Bytes of private memory per process; 0 leaves it unlimited."""
    tty: bool = False
    """Standard input becomes the controlling terminal."""
    read_only: bool = False
    """The command, and what it starts, may write to /tmp alone."""


class Spawner:
    """The supervisor's end of the spawner."""

    def __init__(self, orders: socket.socket) -> None:
        self.orders = orders

    @classmethod
    def fork(cls) -> Spawner:
        """Fork the spawner; call it before anything large is imported."""
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if os.fork() == 0:
            try:
                ours.close()
                _Spawner(its).run()
            finally:
                os._exit(70)
        its.close()
        return cls(ours)

    def order(self, spec: Spec, report: int, streams: tuple[int, int, int]) -> None:
        """Have a command started by a new keeper, whose end of its socket `report` is. Raises OSError."""
        order(self.orders, spec, (*streams, report))


def order(orders: socket.socket, spec: Spec, descriptors: tuple[int, ...]) -> None:
    """Hand a command on, with its three streams. Raises OSError."""
    described = os.memfd_create("spec")
    try:
        os.write(described, json.dumps(spec).encode())
        socket.send_fds(orders, [b"s"], [described, *descriptors])
    finally:
        os.close(described)


class _Spawner:
    """The spawner itself: takes orders, forks keepers, reaps, and ends what a killed keeper left.

    Behind the first command there is a spare keeper, forked in advance, that takes the next order itself. Without one,
    at the limit of processes, the spawner takes the order, so that somebody says what is wrong.
    """

    def __init__(self, orders: socket.socket) -> None:
        self._orders = orders
        self._keepers: set[int] = set()
        self._spare = 0
        self._hears, self._told = os.pipe()

    def run(self) -> None:
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: self._reap())
        while True:
            if self._spare:
                # The spare has taken an order, or has died; of one before it nothing is to be known any more.
                if int.from_bytes(os.read(self._hears, 4), "big") != self._spare:
                    continue
            else:
                descriptors = _order(self._orders)
                self._start(descriptors)
                for descriptor in descriptors:
                    os.close(descriptor)
            self._fork(self._wait, spare=True)

    def _start(self, descriptors: list[int]) -> None:
        if not self._fork(lambda: _keep(descriptors)):
            os.write(descriptors[-1], failure(NO_PROCESS))

    def _wait(self) -> None:
        """Be the spare keeper."""
        descriptors = _order(self._orders)
        os.write(self._told, os.getpid().to_bytes(4, "big"))
        _keep(descriptors)

    def _fork(self, child: Callable[[], None], *, spare: bool = False) -> bool:
        """Fork a keeper; False at the limit of processes."""
        spawner, pid = os.getpid(), 0
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        try:
            pid = os.fork()
            if pid == 0:
                try:
                    _watch_over(spawner)
                    child()
                finally:
                    os._exit(70)
            self._keepers.add(pid)
            return True
        except OSError:
            return False
        finally:
            self._spare = pid if spare else self._spare
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})

    def _reap(self) -> None:
        """Reap, and kill what a killed keeper left: each that dies may hand its own children on, so look again then."""
        killed = False
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            killed |= pid not in self._keepers or os.WIFSIGNALED(status)
            self._keepers.discard(pid)
            if pid == self._spare:
                os.write(self._told, pid.to_bytes(4, "big"))
        if killed:
            orphans = {pid for pid in tree().get(os.getpid(), ()) if pid not in self._keepers}
            send(freeze(orphans) | orphans, signal.SIGKILL)


def _order(orders: socket.socket) -> list[int]:
    """Wait for an order and return its descriptors; ends this process when there is nobody to give any.

    They close themselves where something is executed; `socket.recv_fds` would not see to that.
    """
    data, passed, _, _ = orders.recvmsg(16, socket.CMSG_SPACE(8 * _NUMBER.size), socket.MSG_CMSG_CLOEXEC)
    if not data:
        os._exit(0)
    return [number for _, _, numbers in passed for (number,) in _NUMBER.iter_unpack(numbers)]


def _watch_over(spawner: int) -> None:
    """Become what a keeper is before it has a command: the reaper of all below, that dies with its spawner."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != spawner:  # It died before it could take us with it.
        os._exit(70)
    os.setsid()


def _keep(descriptors: list[int]) -> None:
    """Be a keeper, for one command after another: never returns."""
    *descriptors, report = descriptors
    try:
        os.write(report, PID + os.getpid().to_bytes(4, "big"))
        _hold_only({report, *descriptors})
        orders = socket.socket(fileno=report)
        while True:
            _see_through(report, descriptors)
            descriptors = _order(orders)
    finally:
        os._exit(0)


def _hold_only(descriptors: set[int]) -> None:
    """Let go of all other descriptors; where the three standard ones were, nothing is read or heard."""
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for number in range(3):
        os.dup2(nothing, number)
    first = 3
    for descriptor in sorted(descriptors):
        os.closerange(first, descriptor)
        first = descriptor + 1
    os.closerange(first, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def _see_through(report: int, descriptors: list[int]) -> None:
    """Run one command, and say how it ended, and when nothing is left of it."""
    leader, said = _start_leader(report, descriptors), b""
    for descriptor in descriptors:
        os.close(descriptor)
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG if said else 0)
        except ChildProcessError:
            os.write(report, said + NOTHING_LEFT)
            return
        if pid == leader:
            said = ENDED + status.to_bytes(4, "big")
        elif pid == 0:  # Daemons are left, for nobody knows how long.
            os.write(report, said)
            said = b""


def _start_leader(report: int, descriptors: list[int]) -> int:
    """Return the pid of the command's first process; 0 where there is none, and it is said why."""
    described, *streams = descriptors
    spec = Spec(*json.loads(os.pread(described, os.fstat(described).st_size, 0)))
    if spec.tty or spec.read_only:
        return _fork_leader(report, spec, streams)
    what = spec.cwd
    try:
        if spec.memory:
            # It holds for this keeper too, which is therefore never given a command with another limit.
            resource.setrlimit(resource.RLIMIT_DATA, (spec.memory, spec.memory))
        os.chdir(spec.cwd)
        what = spec.argv[0]
        return _spawn(spec, streams)
    except BlockingIOError:
        os.write(report, failure(NO_PROCESS))
    except (OSError, ValueError) as error:
        os.write(report, failure(f"{what}: {_reason(error)}"))
    finally:
        os.chdir("/")
    return 0


def _spawn(spec: Spec, streams: list[int]) -> int:
    """Start the leader without copying this process, which is what costs most of a fork.

    The search is that of `execvpe`, in the command's own PATH. All descriptors but the streams close themselves. What a
    killed keeper leaves is ended by the spawner, the leader too.
    """
    name, env = spec.argv[0], dict(spec.env)
    places = [(os.POSIX_SPAWN_DUP2, descriptor, number) for number, descriptor in enumerate(streams)]
    folders = [""] if "/" in name else env.get("PATH", os.defpath).split(os.pathsep)
    problem: OSError | None = None
    for folder in folders:
        path = os.path.join(folder, name)
        try:
            os.lstat(path)
            return os.posix_spawn(path, list(spec.argv), env, file_actions=places, setsid=True)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except BlockingIOError:
            raise
        except OSError as error:
            problem = problem or error
    raise problem or FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


def _fork_leader(report: int, spec: Spec, streams: list[int]) -> int:
    """Start a leader that has more to do than can be said to `posix_spawn`."""
    try:
        leader = os.fork()
    except OSError:
        os.write(report, failure(NO_PROCESS))
        return 0
    if leader == 0:
        _lead(report, spec, streams)
    return leader


def _lead(report: int, spec: Spec, streams: list[int]) -> None:
    """Be the leader: execute the command, or say why not."""
    what = spec.argv[0]
    try:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.setsid()
        if spec.tty:
            fcntl.ioctl(streams[0], termios.TIOCSCTTY, 0)
        for number, descriptor in enumerate(streams):
            os.dup2(descriptor, number)
        if spec.memory:
            resource.setrlimit(resource.RLIMIT_DATA, (spec.memory, spec.memory))
        what = spec.cwd
        os.chdir(spec.cwd)
        what = spec.argv[0]
        if spec.read_only:
            from .landlock import forbid_writing

            forbid_writing()
        os.execvpe(what, list(spec.argv), dict(spec.env))
    except (OSError, ValueError) as error:
        os.write(report, failure(f"{what}: {_reason(error)}"))
    finally:
        os._exit(127)


def _reason(error: OSError | ValueError) -> str:
    return str(error.strerror if isinstance(error, OSError) else error)


def failure(reason: str) -> bytes:
    """Return the report of a command that could not be started."""
    text = reason.encode(errors="replace")[:2000]
    return FAILED + len(text).to_bytes(4, "big") + text


def tree() -> dict[int, list[int]]:
    """Return the pids below each parent, as /proc shows them now; the dead are left out."""
    below: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb", buffering=0) as file:
                fields = file.read(1000).rpartition(b")")[2].split()
        except OSError:
            continue
        if fields and fields[0] not in (b"Z", b"X"):
            below.setdefault(int(fields[1]), []).append(int(name))
    return below


def descendants(roots: Iterable[int]) -> set[int]:
    """Return all pids below the roots."""
    below, found, todo = tree(), set[int](), list(roots)
    while todo:
        for pid in below.get(todo.pop(), ()):
            if pid not in found:
                found.add(pid)
                todo.append(pid)
    return found


def freeze(roots: Iterable[int], rounds: int = 50) -> set[int]:
    """Stop everything below the roots until nothing new appears, so that a fork bomb cannot outrun a kill."""
    frozen: set[int] = set()
    roots = list(roots)
    for _ in range(rounds):
        fresh = descendants(roots) - frozen
        if not fresh:
            break
        send(fresh, signal.SIGSTOP)
        frozen |= fresh
    return frozen


def send(pids: Iterable[int], number: int) -> None:
    """Send a signal to those that still exist."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue
