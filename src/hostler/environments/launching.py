"""Starting a supervisor so that it outlives us: its code, its socket, its program, and how to know it again."""

import contextlib
import functools
import hashlib
import json
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path

from hostler.core.errors import EnvironmentFailed
from hostler.core.providers import Limits
from hostler.environments import processes
from hostler.environments.channel import reachable
from hostler.environments.places import Launch, Place

PACKAGE = "hostler_supervisor"
SOURCE = Path(__file__).parent / "supervisor"


@dataclass(frozen=True, slots=True)
class Program:
    """What to execute for one environment, beside the listening socket it inherits."""

    argv: Sequence[str]
    env: Mapping[str, str]
    fds: tuple[int, ...] = ()
    """More descriptors to hand over; they were opened for this program only, and are closed here afterwards."""
    info: int | None = None
    """A pipe from which the pid of the process to kill is read, as bubblewrap tells it; None: it is the program's."""


@functools.cache
def _sweep(root: Path) -> None:
    """Remove, once in this process, what processes left that were killed while they copied."""
    for part in root.glob(".supervisor-*-*-*"):
        if not Path("/proc", part.name.split("-")[2]).exists():
            shutil.rmtree(part, ignore_errors=True)


def supervisor_code(root: Path, python: str) -> Path:
    """Copy the supervisor into the data folder, compiled for the Python that runs it; returns the folder to bind."""
    _sweep(root)
    sources = sorted(SOURCE.glob("*.py"))
    mark = hashlib.sha256(b"\0".join([python.encode(), *(file.read_bytes() for file in sources)])).hexdigest()[:12]
    target = root / f"supervisor-{mark}"
    if target.is_dir():
        return target
    part = root / f".{target.name}-{os.getpid()}-{threading.get_ident()}"
    (part / PACKAGE).mkdir(parents=True)
    for file in sources:
        shutil.copyfile(file, part / PACKAGE / file.name)
    compile_words = [python, "-I", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", part]
    subprocess.run(compile_words, check=False, capture_output=True)
    for folder in (part, part / PACKAGE):
        folder.chmod(0o755)
    with contextlib.suppress(OSError):  # Somebody else was quicker.
        part.rename(target)
    shutil.rmtree(part, ignore_errors=True)
    return target


@dataclass(frozen=True, slots=True)
class Inside:
    """The names that things have where the supervisor runs."""

    python: str
    code: str
    work: str
    state: str
    forwards: Mapping[int, str]
    """Local port to the socket that serves it outside."""


def supervisor_words(
    place: Place, inside: Inside, listener: int, incarnation: str, limits: Limits, memory: int
) -> list[str]:
    """Return the supervisor's command line; it sees neither site packages nor the user's settings.

    The label is its last word: a process that cannot be looked into still shows its command line. `memory` limits each
    process by itself, in bytes, for machines that cannot limit the sum; 0 leaves it unlimited.
    """
    start = f"import sys; sys.path.insert(0, {inside.code!r}); from {PACKAGE}.__main__ import main; main()"
    options = {
        "listener": listener,
        "incarnation": incarnation,
        "state": inside.state,
        "workspace": inside.work,
        "idle": limits.idle_seconds,
        "processes": limits.processes,
        "open_files": limits.open_files,
        "file_size": limits.disk_bytes,
        "memory": memory,
        "forwards": dict(inside.forwards),
    }
    return [inside.python, "-I", "-S", "-c", start, json.dumps(options), processes.label_of(place.folder)]


def listen(place: Place) -> socket.socket:
    """Make the listening socket that the supervisor inherits; its path stays outside."""
    place.socket.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with reachable(place.socket) as name:
        listener.bind(name)
    place.socket.chmod(0o600)
    listener.listen(128)
    listener.setblocking(False)
    return listener


def launch(place: Place, program: Program, listener: int, incarnation: str, born: Callable[[int], None]) -> Launch:
    """Start the program in a session of its own and remember it; blocks, so call it in a thread.

    `born` is told the child's pid at once: whoever ends the environment reaps it.
    """
    boot = processes.boot_id()
    place.write_launch(Launch(boot, incarnation))
    name, _, value = processes.label_of(place.folder).partition("=")
    env = {**program.env, name: value}
    try:
        with place.log.open("wb") as log:
            child = subprocess.Popen(
                program.argv,
                env=env,
                pass_fds=(listener, *program.fds),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
            )
    except OSError as error:
        raise EnvironmentFailed(f"{program.argv[0]} could not be started: {error.strerror}") from error
    finally:
        for descriptor in program.fds:
            os.close(descriptor)
    pid = child.pid
    # It outlives this object, which would otherwise wait for it or complain.
    child.returncode = 0
    born(pid)
    if program.info is not None:
        with open(program.info, "rb", buffering=0) as info:
            pid = _told_pid(info, place)
    since = processes.started(pid)
    if since is None:
        raise EnvironmentFailed(f"The environment ended at once: {said(place)}")
    result = Launch(boot, incarnation, pid, since)
    place.write_launch(result)
    return result


def _told_pid(info: RawIOBase, place: Place) -> int:
    """Read {"child-pid": N}; the pipe ends early when the program fails."""
    text = b""
    while part := info.read(4096):
        text += part
        if b"}" in text:
            break
    try:
        return int(json.loads(text)["child-pid"])
    except (ValueError, KeyError) as error:
        hint = "`hostler doctor` says what to mend."
        raise EnvironmentFailed(f"The sandbox could not be made: {said(place)} {hint}") from error


def said(place: Place) -> str:
    """Return the end of what launching printed."""
    try:
        text = place.log.read_text(errors="replace").strip()
    except OSError:
        text = ""
    return text[-600:] or "it said nothing"


def alive(launched: Launch | None) -> bool:
    """Say whether the launched process is still the same one and runs."""
    return (
        launched is not None
        and launched.pid > 0
        and launched.boot == processes.boot_id()
        and processes.started(launched.pid) == launched.started
    )
