"""Reads the project's pages: their blocks of code, with the heading above and the notes a test finds before them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.md")])
_FENCE = re.compile(r"```(\w*)")
_NOTE = re.compile(r"<!-- (\w+) ?(.*?) -->")


@dataclass(frozen=True)
class Block:
    """One block of code: `notes` are the invisible comments right before it, such as `status 404`."""

    heading: str
    kind: str
    text: str
    notes: tuple[tuple[str, str], ...] = ()

    def note(self, name: str) -> str | None:
        return next((value for key, value in self.notes if key == name), None)


def blocks(page: Path) -> Iterator[Block]:
    """Yield the blocks of code of a page, in order."""
    heading, notes, lines = "", list[tuple[str, str]](), iter(page.read_text().splitlines())
    for line in lines:
        if line.startswith("#"):
            heading = line.lstrip("# ")
        elif note := _NOTE.fullmatch(line):
            notes.append((note[1], note[2]))
        elif fence := _FENCE.fullmatch(line):
            inside = iter(lambda: next(lines), "```")
            yield Block(heading, fence[1], "\n".join(inside), tuple(notes))
            notes = []


def prose(page: Path) -> str:
    """Return a page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def headings(page: Path) -> list[str]:
    """Return the headings of a page."""
    return re.findall(r"^#+ +(.*?) *$", prose(page), flags=re.MULTILINE)
