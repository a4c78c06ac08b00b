"""Finding and ending an environment's processes from outside: by a label in their environment, pid and start time."""

import os
import select
import signal
from dataclasses import dataclass
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


def labelled(label: str) -> list[Seen]:
    """Return every process that was started with this label."""
    mark = f"{LABEL}={label}".encode()
    found: list[Seen] = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            words = Path(f"/proc/{name}/environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if mark in words and (since := started(int(name))) is not None:
            found.append(Seen(int(name), since))
    return found


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


def end_labelled(label: str) -> bool:
    """Kill every process with the label until there is none; False when some would not go."""
    for _ in range(ROUNDS):
        found = labelled(label)
        if not found:
            return True
        for seen in found:
            end(seen)
    return not labelled(label)
