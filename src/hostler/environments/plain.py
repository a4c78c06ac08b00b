"""No sandbox: the supervisor as a plain process, with all that the server may do. Only when asked for by name."""

import os
import sys
from pathlib import Path

from hostler.core.providers import Finding, Preflight, Protection
from hostler.environments import launching
from hostler.environments.folders import FolderProvider
from hostler.environments.places import Place, Record


class NoWalls:
    """Nothing between the agent and this machine but the limits a process can set itself."""

    name = "none"
    uids: range | None = None

    async def preflight(self) -> Preflight:
        """Say plainly what this is."""
        problem = "Agents run without a sandbox: they can read and change all that the server can."
        return Preflight(
            "degraded", (Finding(problem, 'Choose sandbox = "bubblewrap".'),), self.protections(Record("", -1))
        )

    def furnish(self, place: Place, record: Record) -> None:
        """Nothing is needed."""

    def program(self, place: Place, record: Record, incarnation: str, listener: int) -> launching.Program:
        """Return the supervisor itself, with a home of its own and without the server's variables."""
        python = sys.executable
        code = str(launching.supervisor_code(place.folder.parent, python))
        inside = launching.Inside(python, code, str(place.work), str(place.state), {})
        variables = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(place.home),
            "LANG": "C.UTF-8",
            "TERM": "dumb",
        }
        words = launching.supervisor_words(
            place, inside, listener, incarnation, record.limits, record.limits.memory_bytes
        )
        return launching.Program(words, {**variables, **record.env})

    def protections(self, record: Record) -> tuple[Protection, ...]:
        """Say that nothing holds."""
        limits = ("memory", "processes", "cpus", "disk")
        walls = ("files", "network", "privileges", "host processes", "identity")
        return tuple(Protection(name, "no sandbox", holds=False) for name in (*limits, *walls))

    def clear(self, place: Place) -> None:
        """Nothing lies elsewhere."""


def plain_provider(root: Path) -> FolderProvider:
    """Return the provider without walls, whose environments lie below `root`."""
    return FolderProvider(root, NoWalls())
