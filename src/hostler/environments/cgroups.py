"""Limits that hold for an environment as a whole, where this machine lets us set them."""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from hostler.core.providers import Limits, Protection

ROOT = Path("/sys/fs/cgroup")
PERIOD = 100_000


@dataclass(frozen=True, slots=True)
class Means:
    """The cgroup folders below which each environment gets its own, by controller; empty where there are none."""

    version: int
    parents: dict[str, Path]

    def folders(self, name: str) -> list[Path]:
        """Return the cgroups of one environment."""
        return sorted({parent / name for parent in self.parents.values()})

    def make(self, name: str, limits: Limits) -> list[Path]:
        """Make the cgroups and set their limits; returns the files into which the launcher writes itself."""
        for folder in self.folders(name):
            folder.mkdir(exist_ok=True)
        for controller, parent in self.parents.items():
            for file, value in _values(self.version, controller, limits):
                with contextlib.suppress(OSError):  # Swap limits and bursts exist on some kernels only.
                    (parent / name / file).write_text(value)
        return [folder / "cgroup.procs" for folder in self.folders(name)]

    def remove(self, name: str) -> None:
        """Remove the cgroups once nothing runs in them."""
        for folder in self.folders(name):
            with contextlib.suppress(OSError):
                folder.rmdir()

    def protections(self) -> tuple[Protection, ...]:
        """Say which limits hold for the sum of all processes."""
        means = f"cgroup v{self.version}"
        return tuple(
            Protection(limit, means, holds=True)
            for limit, controller in (("memory", "memory"), ("processes", "pids"), ("cpus", "cpu"))
            if controller in self.parents
        )


def _values(version: int, controller: str, limits: Limits) -> list[tuple[str, str]]:
    memory, pids, quota = str(limits.memory_bytes), str(limits.processes), int(limits.cpus * PERIOD)
    known = {
        (1, "memory"): [("memory.limit_in_bytes", memory), ("memory.memsw.limit_in_bytes", memory)],
        (1, "pids"): [("pids.max", pids)],
        (1, "cpu"): [("cpu.cfs_period_us", str(PERIOD)), ("cpu.cfs_quota_us", str(quota))],
        (2, "memory"): [("memory.max", memory), ("memory.swap.max", "0")],
        (2, "pids"): [("pids.max", pids)],
        (2, "cpu"): [("cpu.max", f"{quota} {PERIOD}")],
    }
    return known[version, controller]


def find() -> Means:
    """Try what this machine offers, by making a cgroup and removing it again."""
    own = _own()
    unified = ROOT / own.get("", "/").lstrip("/")
    if (ROOT / "cgroup.controllers").exists():
        return Means(2, _delegated(unified))
    parents: dict[str, Path] = {}
    for controller in ("memory", "pids", "cpu"):
        parent = ROOT / controller / own.get(controller, "/").lstrip("/")
        if _writable(parent):
            parents[controller] = parent
    return Means(1, parents)


def _own() -> dict[str, str]:
    """Return this process's cgroup by controller; the unified one has no name."""
    found: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            found.update(dict.fromkeys(controllers.split(","), path))
    return found


def _delegated(unified: Path) -> dict[str, Path]:
    """Return the nearest folder of the unified hierarchy whose children can be limited: our own, its parent, the root.

    Our own holds this process, so it can hand controllers on only where it is the root; where a service manager
    delegated our parent to us and put us into a group below, that one can.
    """
    for parent in dict.fromkeys((unified, unified.parent, ROOT)):
        if not parent.is_relative_to(ROOT):
            continue
        if not _writable(parent):
            continue
        granted: dict[str, Path] = {}
        for controller in ("memory", "pids", "cpu"):
            # A folder that holds processes itself cannot hand controllers on; the root can.
            with contextlib.suppress(OSError):
                (parent / "cgroup.subtree_control").write_text(f"+{controller}")
                granted[controller] = parent
        if granted:
            return granted
    return {}


def _writable(parent: Path) -> bool:
    probe = parent / f"hostler-probe-{os.getpid()}"
    try:
        probe.mkdir()
        probe.rmdir()
    except OSError:
        return False
    return True
