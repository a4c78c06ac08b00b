"""Turning a supervisor's answers into values; everything is checked, for hostile code may have written it."""

import base64
import binascii
from typing import Any, Literal, cast

from hostler.core.errors import MachineLost
from hostler.core.machines import (
    Cancelled,
    Changed,
    Changes,
    Edited,
    EditRefused,
    EditResult,
    Entry,
    ExecResult,
    Exited,
    GitChange,
    GitStatus,
    OpenTerminal,
    Outcome,
    Output,
    Signalled,
    TimedOut,
    Unknown,
)
from hostler.environments.channel import need, rows, table
from hostler.environments.supervisor.frames import Header

END_OF_TIME = 253402300799.0
"""The last second that a date can tell; a file can have any other."""
MOST_CHANGES = 1000
MOST_TERMINALS = 256


def outcome(header: Header) -> Outcome:
    """Read how a command ended."""
    body = table(header, "outcome")
    match body.get("kind"):
        case "exited":
            return Exited(_small(body, "code"))
        case "signalled":
            return Signalled(_small(body, "signal"))
        case "timed_out":
            return TimedOut()
        case "cancelled":
            return Cancelled()
        case _:
            return Unknown(str(body.get("reason", ""))[:500])


def _small(header: Header, name: str) -> int:
    """Return what the kernel keeps in one byte; raises MachineLost for anything else."""
    value = need(header, name, int)
    if not 0 <= value <= 0xFF:
        raise MachineLost(f"The environment's supervisor speaks no sense: {name}.")
    return value


def result(header: Header) -> ExecResult:
    """Read a command's result."""
    seconds = need(header, "seconds", float) if "seconds" in header else 0.0
    return ExecResult(outcome(header), _output(header, "out"), _output(header, "err"), seconds, "replayed" in header)


def _output(header: Header, name: str) -> Output:
    if name not in header:
        return Output()
    body = table(header, name)
    try:
        head, tail = (base64.b64decode(need(body, part, str), validate=True) for part in ("head", "tail"))
    except binascii.Error as error:
        raise MachineLost("The environment's supervisor speaks no sense.") from error
    total = max(need(body, "total", int), len(head) + len(tail))
    return Output(head, tail, total, min(max(need(body, "kept", int), 0), total))


def edit(header: Header) -> EditResult:
    """Read what an edit did."""
    replayed = "replayed" in header
    match header.get("type"):
        case "edited":
            return Edited(need(header, "line", int), replayed)
        case "cancelled":
            return Cancelled()
        case _:
            lines = [line for line in cast("list[Any]", need(header, "lines", list)) if isinstance(line, int)]
            return EditRefused(need(header, "occurrences", int), tuple(lines[:10]), replayed)


def entry(body: Header) -> Entry:
    """Read the description of one path."""
    kinds: dict[str, Literal["file", "directory", "link"]] = {"file": "file", "directory": "directory", "link": "link"}
    return Entry(
        path=need(body, "path", str),
        kind=kinds.get(need(body, "kind", str), "other"),
        size=need(body, "size", int),
        mode=need(body, "mode", int) & 0o7777,
        modified=min(max(need(body, "modified", float), 0.0), END_OF_TIME),
    )


def entries(header: Header) -> list[Entry]:
    """Read a listing."""
    return [entry(body) for body in rows(header, "entries")]


def changes(header: Header) -> Changes:
    """Read what has changed."""
    kinds: dict[str, Literal["created", "updated", "deleted"]] = {"created": "created", "deleted": "deleted"}
    files = tuple(
        Changed(need(body, "path", str), kinds.get(need(body, "kind", str), "updated"), need(body, "folder", bool))
        for body in rows(header, "changes")[:MOST_CHANGES]
    )
    return Changes(files, need(header, "git", bool), need(header, "lost", bool))


def terminals(header: Header) -> list[OpenTerminal]:
    """Read the terminals that are open."""
    return [_terminal(body) for body in rows(header, "terminals")[:MOST_TERMINALS]]


def _terminal(body: Header) -> OpenTerminal:
    return OpenTerminal(
        id=need(body, "id", str)[:200],
        program=need(body, "program", str)[:4096],
        cwd=need(body, "cwd", str)[:4096],
        created=min(max(need(body, "created", float), 0.0), END_OF_TIME),
        rows=need(body, "rows", int) & 0xFFFF,
        cols=need(body, "cols", int) & 0xFFFF,
        notes={str(key): str(value) for key, value in table(body, "notes").items()},
    )


def git_status(text: bytes) -> GitStatus:
    """Read `git status --porcelain=v2 --branch -z`."""
    branch: str | None = None
    head: str | None = None
    changes: list[GitChange] = []
    parts = iter(text.decode(errors="replace").split("\0"))
    for part in parts:
        kind, _, rest = part.partition(" ")
        match kind:
            case "#":
                name, _, value = rest.partition(" ")
                branch = value if name == "branch.head" and value != "(detached)" else branch
                head = value if name == "branch.oid" and value != "(initial)" else head
            case "1" | "u":
                fields = rest.split(" ", 7 if kind == "1" else 9)
                changes.append(GitChange(fields[0], fields[-1]))
            case "2":
                fields = rest.split(" ", 8)
                changes.append(GitChange(fields[0], fields[-1]))
                next(parts, None)  # The path it was renamed from.
            case "?":
                changes.append(GitChange("??", rest))
            case _:
                pass
    return GitStatus(branch, head, tuple(changes))
