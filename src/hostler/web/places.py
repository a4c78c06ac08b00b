"""Environments as pages show them: what each is made of, what holds it, who uses it, what it may reach."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from hostler.core.desk import EnvironmentClass
from hostler.core.egress import Allowed
from hostler.core.ports import EnvironmentRow, Row
from hostler.projections.environments import setup_failures
from hostler.web.lines import ago, short, shortened
from hostler.web.words import iso, plain, span

TONES = {"running": "good", "creating": "run", "starting": "run", "stopping": "", "stopped": "", "deleting": "bad"}
WHYS = {
    "settings": "the server's settings",
    "environment class": "its class",
    "repository": "its repository",
    "private": "the server's settings (private)",
    "class": "allowed for its class",
    "once": "allowed until it stops",
}
LIMITS = {"cpus": "CPU", "memory": "Memory", "disk": "Disk", "processes": "Processes"}


@dataclass(frozen=True, slots=True)
class Place:
    """An environment in a list, or on top of its page."""

    id: str
    name: str
    phase: str
    tone: str
    archived: bool
    failure: str
    class_id: str
    class_name: str
    cpus: str
    memory: str
    disk: str
    repository: str
    repository_full: str
    created: str
    created_ago: str
    used: str
    used_ago: str


def place(row: EnvironmentRow, classes: Mapping[str, EnvironmentClass], now: datetime) -> Place:
    """Return what is shown of an environment wherever it is."""
    size = classes.get(row.class_id)
    failure = plain(str(row.status.get("failure", "")))
    repository = address(row)
    return Place(
        id=row.id,
        name=short(row.name) or shortened(repository) or f"Empty workspace ({row.id[:8]})",
        phase=row.phase,
        tone="bad" if failure else TONES.get(row.phase, ""),
        archived=bool(row.status.get("archived_at")),
        failure=failure,
        class_id=row.class_id,
        class_name=size.name if size else row.class_id[:8],
        cpus=f"{size.cpus:g}" if size else "",
        memory=gibibytes(size.memory_bytes) if size else "",
        disk=gibibytes(size.disk_bytes) if size else "",
        repository=shortened(repository),
        repository_full=plain(repository),
        created=iso(row.created_at),
        created_ago=ago((now - row.created_at).total_seconds()),
        used=iso(row.last_used_at),
        used_ago=ago((now - row.last_used_at).total_seconds()),
    )


def address(row: EnvironmentRow) -> str:
    """Return where its code came from; empty for an empty workspace."""
    source: Any = row.spec.get("source")
    found = str(source.get("url") or source.get("path") or "") if isinstance(source, dict) else ""  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    parts = urlsplit(found) if "@" in found else None
    return found.replace(f"{parts.netloc.rpartition('@')[0]}@", "", 1) if parts and parts.netloc else found


def gibibytes(size: int) -> str:
    """Return a limit in GiB."""
    return f"{size / (1 << 30):g} GiB"


@dataclass(frozen=True, slots=True)
class Protection:
    """A limit or wall, and by which means it holds."""

    name: str
    size: str
    means: str
    holds: bool


def protections(told: Sequence[Mapping[str, Any]], size: EnvironmentClass | None) -> list[Protection]:
    """Return what holds an environment, those that do not hold first."""
    sizes = (
        {}
        if size is None
        else {
            "cpus": f"{size.cpus:g}",
            "memory": gibibytes(size.memory_bytes),
            "disk": gibibytes(size.disk_bytes),
            "processes": f"{size.processes:,}",
        }
    )
    found = [
        Protection(
            LIMITS.get(limit := plain(str(one.get("limit", ""))), limit.capitalize()),
            sizes.get(limit, ""),
            plain(str(one.get("means", ""))),
            bool(one.get("holds", True)),
        )
        for one in told
    ]
    return sorted(found, key=lambda one: one.holds)


@dataclass(frozen=True, slots=True)
class Step:
    """A setup command and what became of it."""

    name: str
    state: str
    tone: str
    took: str
    failure: str


STEPS = {"done": ("done", "good"), "failed": ("failed", "bad"), "running": ("running", "run")}


def steps(row: EnvironmentRow) -> list[Step]:
    """Return the setup commands in the order in which they began."""
    books: Mapping[str, Mapping[str, Mapping[str, Any]]] = row.status.get("steps") or {}
    found: list[Step] = []
    for book in books.values():
        for label, said in book.items():
            state, tone = STEPS.get(str(said.get("state", "")), ("waiting", ""))
            took = span(float(said["seconds"])) if said.get("seconds") else ""
            found.append(Step(plain(label), state, tone, took, plain(str(said.get("failure", "")))))
    return found


def remarks(row: EnvironmentRow) -> list[str]:
    """Return what people should know of it, beside a failure."""
    failed = {step.failure for step in steps(row)}
    said = [*map(str, row.status.get("notes") or ()), *(one for one in setup_failures(row.status) if one not in failed)]
    return [plain(one) for one in dict.fromkeys(said) if one]


@dataclass(frozen=True, slots=True)
class Reached:
    """A host that an environment may reach; `undo` says from what it can be taken back: once, class or nothing."""

    host: str
    why: str
    who: str
    undo: str


def hosts(allowed: Iterable[Allowed]) -> list[Reached]:
    """Return what an environment may reach; what people allowed comes first."""
    found = [
        Reached(
            plain(one.host),
            WHYS[one.why],
            f"by {plain(one.by)}" if one.by else "",
            one.why if one.why in ("once", "class") else "",
        )
        for one in allowed
    ]
    return sorted(found, key=lambda one: not one.undo)


def refused(users: Iterable[Row]) -> list[str]:
    """Return the hosts that the executions which use an environment were refused, and nobody has allowed since."""
    found = [str(host) for row in users for host in row.view.get("hostler", {}).get("refusedHosts", ())]
    return [plain(host) for host in dict.fromkeys(found)]
