"""Finding and ending an environment's processes from outside: by a label in their environment, pid and start time."""

import os
import select
import signal
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
    mark = label_of(folder).encode()
    found: list[Seen] = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        if mark in _words(name, "cmdline") + _words(name, "environ") and (since := started(int(name))) is not None:
            found.append(Seen(int(name), since))
    return found


def _words(pid: str, file: str) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/{file}").read_bytes().split(b"\0")
    except OSError:
        return []


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
