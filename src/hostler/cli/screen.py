"""Output for people and for programs: colour only on a terminal that wants it, and no control codes of an agent."""

import json
import os
import re
import shutil
import sys
from collections.abc import Sequence
from typing import Any, TextIO

STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34", "cyan": "36"}
_CONTROL = re.compile(
    r"(?:\x1b\[|\x9b)[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b.|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)
_UNSEEN = re.compile(r"[\u202a-\u202e\u2066-\u2069]")


def colourful(stream: TextIO) -> bool:
    """Say whether `stream` takes colour: a terminal, without NO_COLOR, unless FORCE_COLOR insists."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (stream.isatty() and os.environ.get("TERM", "") != "dumb")


def paint(text: str, *styles: str, stream: TextIO | None = None) -> str:
    """Return `text` in the given styles where the stream (standard output) takes colour."""
    if not styles or not text or not colourful(stream or sys.stdout):
        return text
    return f"\x1b[{';'.join(STYLES[style] for style in styles)}m{text}\x1b[0m"


def clean(text: str) -> str:
    """Return text that others wrote without terminal control codes and direction overrides."""
    return _UNSEEN.sub("", _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))


def line(text: str) -> str:
    """Return the first line of text that others wrote, cleaned."""
    return clean(text).strip().partition("\n")[0]


def cut(text: str, width: int) -> str:
    """Return one line shortened to `width` characters."""
    return text if len(text) <= width else f"{text[: max(width - 1, 0)]}…"


def width() -> int:
    """Return the terminal's width in characters."""
    return shutil.get_terminal_size((100, 24)).columns


def say(text: str = "", end: str = "\n") -> None:
    """Write to standard output, at once."""
    sys.stdout.write(text + end)
    sys.stdout.flush()


def note(text: str, *styles: str) -> None:
    """Write a remark to standard error."""
    sys.stderr.write(paint(text, *(styles or ("dim",)), stream=sys.stderr) + "\n")
    sys.stderr.flush()


def emit(value: Any, *, lines: bool = False) -> None:
    """Write JSON for programs: indented, or with `lines` as one line."""
    say(json.dumps(value, ensure_ascii=False, indent=None if lines else 2))


def table(rows: Sequence[Sequence[str]], heads: Sequence[str] = ()) -> None:
    """Write rows in columns, the last one cut at the terminal's edge."""
    shown = [tuple(heads), *map(tuple, rows)] if heads else [tuple(row) for row in rows]
    if not shown:
        return
    widths = [max(len(row[column]) for row in shown) for column in range(len(shown[0]))]
    left = sum(widths[:-1]) + 2 * (len(widths) - 1)
    for number, row in enumerate(shown):
        cells = [cell.ljust(size) for cell, size in zip(row[:-1], widths[:-1], strict=True)]
        last = cut(row[-1], max(width() - left, 20)) if sys.stdout.isatty() else row[-1]
        text = "  ".join([*cells, last]).rstrip()
        say(paint(text, "dim") if heads and number == 0 else text)
