"""A changed file as hunks of numbered lines, whoever changed it and in whichever form the log has it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from unidiff.errors import UnidiffParseError
from unidiff.patch import PatchedFile, PatchSet

from hostler.core.agents import FileChange
from hostler.projections.blocks import modification

Sign = Literal["+", "-", " "]
KNOWN: Mapping[str, Sign] = {"+": "+", "-": "-", " ": " "}
SIGNS: Mapping[str, Sign] = {"TYPE_ADDED": "+", "TYPE_REMOVED": "-", "TYPE_UNCHANGED": " "}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a change; `old` and `new` are its numbers before and after, 0 where it is not."""

    sign: Sign
    old: int
    new: int
    text: str


Hunk = tuple[Line, ...]
"""Neighbouring lines; between two hunks lines are left out."""


def counts(hunks: Iterable[Hunk]) -> tuple[int, int]:
    """Return how many lines were added and removed."""
    signs = [line.sign for hunk in hunks for line in hunk]
    return signs.count("+"), signs.count("-")


def of_details(details: Mapping[str, Any]) -> tuple[Hunk, ...]:
    """Return what a write or an edit of the built-in agent changed."""
    return of_frame(modification("change", details))


def of_frame(body: Mapping[str, Any]) -> tuple[Hunk, ...]:
    """Return what a FileModification of the API shows."""
    start = int(body.get("startLine", 1) or 1)
    groups: Sequence[Mapping[str, Any]] = body.get("diff", {}).get("diffGroups", ())
    hunk = tuple(_grouped(groups, start))
    return (hunk,) if hunk else ()


def _grouped(groups: Sequence[Mapping[str, Any]], start: int) -> Iterator[Line]:
    old = new = start
    for group in groups:
        sign = SIGNS.get(str(group.get("type", "")), " ")
        for text in group.get("lines", ()):
            yield Line(sign, 0 if sign == "+" else old, 0 if sign == "-" else new, str(text))
            old += sign != "+"
            new += sign != "-"


def of_change(change: FileChange) -> tuple[Hunk, ...]:
    """Return what an agent in the environment says that it changed: a unified diff, or a whole text."""
    if change.kind in ("add", "delete") and not change.diff.startswith(("@@", "--- ")):
        added = change.kind == "add"
        hunk = tuple(
            Line("+" if added else "-", 0 if added else number, number if added else 0, text)
            for number, text in enumerate(change.diff.splitlines(), 1)
        )
        return (hunk,) if hunk else ()
    head = "" if change.diff.startswith("--- ") else f"--- a/{change.path}\n+++ b/{change.path}\n"
    try:
        patch = PatchSet(head + change.diff)
    except UnidiffParseError:
        return (tuple(_unparsed(change.diff)),) if change.diff else ()
    return tuple(hunk for file in patch for hunk in _hunks(file))


@dataclass(frozen=True, slots=True)
class FilePatch:
    """What a patch does to one file; `binary` when it shows no lines of it."""

    path: str
    kind: Literal["add", "update", "delete", "move"]
    hunks: tuple[Hunk, ...]
    additions: int
    deletions: int
    moved_from: str = ""
    binary: bool = False


def of_patch(patch: str) -> tuple[FilePatch, ...] | None:
    """Return what a patch of git does, file by file; None when it cannot be read as one."""
    try:
        read = PatchSet(patch)
    except UnidiffParseError:
        return None
    return tuple(_file(file) for file in read)


def _file(file: PatchedFile) -> FilePatch:
    kind = "add" if file.is_added_file else "delete" if file.is_removed_file else "update"
    hunks = _hunks(file)
    before = (file.source_file or "").removeprefix("a/")
    moved = before if kind == "update" and before != file.path else ""
    return FilePatch(
        file.path, "move" if moved else kind, hunks, *counts(hunks), moved_from=moved, binary=bool(file.is_binary_file)
    )


def _hunks(file: PatchedFile) -> tuple[Hunk, ...]:
    return tuple(
        tuple(
            Line(KNOWN[line.line_type], line.source_line_no or 0, line.target_line_no or 0, line.value.rstrip("\n"))
            for line in hunk
            if line.line_type in KNOWN
        )
        for hunk in file
    )


def _unparsed(diff: str) -> Iterator[Line]:
    for number, text in enumerate(diff.splitlines(), 1):
        sign = KNOWN.get(text[:1], " ")
        yield Line(sign, 0 if sign == "+" else number, 0 if sign == "-" else number, text[1:])
