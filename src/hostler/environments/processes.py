"""Finding and ending an environment's processes from outside: by a label in their environment, pid and start time."""

import functools
import itertools
import os
import select
import signal
import threading
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

LABEL = "HOSTLER_ENVIRONMENT"
ROUNDS = 20
WAIT_MS = 500


@dataclass(frozen=True, slots=True)
class Seen:
    """One process and when it started, which together are never reused."""

    pid: int
    started: int


@functools.cache
def boot_id() -> str:
    """Return what changes with every start of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def started(pid: int) -> int | None:
    """Return the start time of a process in ticks since boot; None when it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def label_of(folder: Path) -> str:
    """Return the label of the environment in this folder; it does not tell the folder's name."""
    return f"{LABEL}={sha256(os.fsencode(folder)).hexdigest()[:32]}"


def labelled(folder: Path) -> list[Seen]:
    """Return every process that was started with this environment's label as a variable or as an argument."""
    found = ((pid, started(pid)) for pid in _CENSUS.carriers(label_of(folder).encode()))
    return [Seen(pid, since) for pid, since in found if since is not None]


class _Census:
    """Looks through all processes; one look serves everybody who asked before it began, as when many end at once."""

    def __init__(self) -> None:
        self._moments = itertools.count()
        self._looking = threading.Lock()
        self._began = -1
        self._carriers: dict[bytes, list[int]] = {}

    def carriers(self, label: bytes) -> list[int]:
        """Return the pids of those that carried a label when this was called, or soon after."""
        asked = next(self._moments)
        with self._looking:
            if self._began < asked:
                self._began = next(self._moments)
                self._carriers = _look()
            return self._carriers.get(label, [])


def _look() -> dict[bytes, list[int]]:
    prefix, found = f"{LABEL}=".encode(), dict[bytes, list[int]]()
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        said = b"\0" + _read(f"/proc/{name}/cmdline") + b"\0" + _read(f"/proc/{name}/environ")
        if b"\0" + prefix in said:
            for label in {word for word in said.split(b"\0") if word.startswith(prefix)}:
                found.setdefault(label, []).append(int(name))
    return found


def _read(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.readall()
    except OSError:
        return b""


_CENSUS = _Census()


def end(seen: Seen) -> None:
    """Kill one process for certain and wait until it is gone; does nothing to another one that got its pid."""
    try:
        descriptor = os.pidfd_open(seen.pid)
    except OSError:
        return
    try:
        if started(seen.pid) == seen.started:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            poll.poll(WAIT_MS)
    except ProcessLookupError:
        pass
    finally:
        os.close(descriptor)


def end_labelled(folder: Path) -> bool:
    """Kill every process with the label until there is none; False when some would not go."""
    for _ in range(ROUNDS):
        found = labelled(folder)
        if not found:
            return True
        for seen in found:
            end(seen)
    return not labelled(folder)
