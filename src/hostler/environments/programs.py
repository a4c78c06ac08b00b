"""Programs of this machine that environments see, read-only, beside the system's own."""

import os
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path

INSIDE = "/run/hostler/programs"
VARIABLE = "HOSTLER_PROGRAMS"
"""Tells commands inside where the programs are, each in a folder of its name."""
KEPT = ".programs"


def binds(root: Path, programs: Mapping[str, Path], *, others: bool) -> list[str]:
    """Return bubblewrap's words for the programs; `others` says that environments have user ids of their own.

    A folder that those may not read is copied below `root`, once for each state that it is in.
    """
    words: list[str] = []
    for name, folder in sorted(programs.items()):
        seen = folder if not others or open_to_all(folder) else _copied(root, name, folder)
        words += ["--ro-bind", str(seen), f"{INSIDE}/{name}"]
    return [*words, "--setenv", VARIABLE, INSIDE] if words else []


def open_to_all(folder: Path) -> bool:
    """Return whether every user may come to the folder and read it."""
    real = folder.resolve()
    return all(place.stat().st_mode & 0o001 for place in (real, *real.parents)) and bool(real.stat().st_mode & 0o004)


def _copied(root: Path, name: str, folder: Path) -> Path:
    state = folder.stat()
    target = root / KEPT / f"{name}-{state.st_ino}-{state.st_mtime_ns}"
    if target.is_dir():
        return target
    part = target.with_name(f".{target.name}-{os.getpid()}-{threading.get_ident()}")
    shutil.copytree(folder, part)
    part.parent.chmod(0o755)
    for place in (part, *part.rglob("*")):
        place.chmod(0o755 if place.is_dir() or place.stat().st_mode & 0o100 else 0o644)
    try:
        part.rename(target)
    except OSError:  # Somebody else was quicker.
        shutil.rmtree(part, ignore_errors=True)
    return target
