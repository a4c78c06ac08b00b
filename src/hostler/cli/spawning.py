"""Starts a server in the background for `hostler run`, and waits until it takes work."""

import os
import subprocess
import sys
import time
from pathlib import Path

from hostler.cli import places
from hostler.cli.client import Client
from hostler.cli.problems import Problem
from hostler.cli.screen import note

IDLE_MINUTES = "30"
PATIENCE = 60.0
"""Seconds that a server may take until it is ready."""
LOOK = 0.05
IN_USE = "another Hostler server uses"
"""What a server says that finds the data folder locked."""


def running_or_started(folder: Path) -> places.Server:
    """Return the server of this data folder, ready for work; starts one when none answers."""
    if (known := places.server_file(folder)) and alive(str(known["url"])):
        return places.find(folder)
    if sys.platform != "linux":
        raise Problem("the server runs on Linux only: set HOSTLER_URL and HOSTLER_TOKEN to use one elsewhere")
    note(f"starting a server for {folder} (it ends after {IDLE_MINUTES} idle minutes)")
    return _started(folder)


def alive(url: str) -> bool:
    """Say whether a Hostler server answers at an address; what was left behind there may be somebody else's now."""
    try:
        return "version" in Client(places.Server(url, "")).json("GET", "/healthz", timeout=5)
    except Problem:
        return False


def _started(folder: Path) -> places.Server:
    """Start `hostler serve` in a session of its own; raises Problem with its last words when it ends early.

    Where another server has the folder, it may just be starting or ending: it is tried again until one serves.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "server.log"
    child, start = _begun(folder, log)
    deadline = time.monotonic() + PATIENCE
    reason = "it wrote no server.json"
    while time.monotonic() < deadline:
        ended = child.poll() is not None
        if known := places.server_file(folder):
            reason = readiness(str(known["url"]))
            if not reason:
                return places.find(folder)
        if ended:
            reason = _last_words(log, start)
            if IN_USE not in reason:
                raise Problem(f"the server did not start:\n{reason}")
            child, start = _begun(folder, log)
        time.sleep(LOOK)
    raise Problem(f"the server is not ready after {PATIENCE:.0f} s ({reason}); see {log}")


def _begun(folder: Path, log: Path) -> tuple[subprocess.Popen[bytes], int]:
    """Start the process; return it and where in the log its words begin."""
    words = [sys.executable, "-P", "-m", "hostler", "serve", "--port", "0", "--data-dir", str(folder)]
    environ = {**os.environ, "HOSTLER_IDLE_EXIT_MINUTES": IDLE_MINUTES}
    with log.open("ab") as out:
        start = out.tell()
        os.chmod(log, 0o600)
        child = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environ, start_new_session=True, cwd=folder
        )
    return child, start


def readiness(url: str) -> str:
    """Return why a server takes no work yet; nothing when it does."""
    try:
        Client(places.Server(url, "")).request("GET", "/readyz", timeout=5)
    except Problem as problem:
        return problem.message
    return ""


def _last_words(log: Path, start: int) -> str:
    with log.open("rb") as file:
        file.seek(start)
        lines = file.read().decode(errors="replace").strip().splitlines()
    return "\n".join(f"  {line}" for line in lines[-10:]) or f"  it said nothing; see {log}"
