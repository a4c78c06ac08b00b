"""What a story is written on: a terminal, lines for a pipe, or a pane of `hostler top`."""

import re
import shutil
import sys
import unicodedata
from collections.abc import Sequence
from typing import Protocol

from hostler.cli.screen import paint, say

NARROWEST = 20
_STYLE = re.compile(r"\x1b\[[0-9;]*m")
_TOKEN = re.compile(r"\n|[^\S\n]+|\S+")


class Paper(Protocol):
    """Takes rows, and text that grows piece by piece."""

    @property
    def width(self) -> int:
        """Return how many cells a row has."""
        ...

    def row(self, text: str, *styles: str) -> None:
        """Write a row, after the open text has been ended; its own indent is kept where it is wrapped."""
        ...

    def piece(self, text: str, *styles: str) -> None:
        """Continue the open text."""
        ...

    def close(self) -> None:
        """End the open text."""
        ...


class Terminal:
    """Standard output: wrapped between words on a terminal, as it is for a pipe."""

    def __init__(self) -> None:
        self._wraps = sys.stdout.isatty()
        self._column = 0
        self._word = ""
        self._styles: tuple[str, ...] = ()
        self._open = False

    @property
    def width(self) -> int:
        """Return the terminal's width."""
        return max(shutil.get_terminal_size((100, 24)).columns, NARROWEST)

    def row(self, text: str, *styles: str) -> None:
        """Write a row."""
        self.close()
        for one in wrapped(text, self.width) if self._wraps else [text]:
            say(paint(one, *styles))

    def piece(self, text: str, *styles: str) -> None:
        """Continue the open text; on a terminal a word is written when it is whole."""
        self._open = True
        if not self._wraps:
            say(paint(text, *styles), end="")
            self._column = 0 if text.endswith("\n") else 1
            return
        out: list[str] = []
        for token in _TOKEN.findall(text):
            if token.isspace():
                out += self._whole()
                out.append(self._gap(token))
            else:
                self._word += token
        say(paint("".join(out), *styles), end="")
        self._styles = styles

    def close(self) -> None:
        """End the open text with a new line, unless it has one."""
        if not self._open:
            return
        last = "".join(self._whole())
        if last:
            say(paint(last, *self._styles), end="")
        if self._column:
            say()
        self._open, self._column = False, 0

    def _whole(self) -> list[str]:
        """Return the finished word, on a new line where it does not fit."""
        word, self._word = self._word, ""
        if not word:
            return []
        size = cells(word)
        if self._column and self._column + size > self.width:
            self._column = size
            return ["\n", word]
        self._column += size
        return [word]

    def _gap(self, token: str) -> str:
        if token == "\n":
            self._column = 0
            return token
        self._column += cells(token)
        return token


class Rows:
    """Rows in memory, each with its styles; the last `most` are kept."""

    def __init__(self, width: int, most: int) -> None:
        self.width = width
        self.rows: list[tuple[str, tuple[str, ...]]] = []
        self._most = most
        self._open = False
        self._line, self._taken = "", 0

    def row(self, text: str, *styles: str) -> None:
        """Add a row."""
        self.close()
        self._add([(one, styles) for one in wrapped(text, self.width)])

    def piece(self, text: str, *styles: str) -> None:
        """Continue the open text; the line that grows is wrapped anew."""
        if self._taken:
            del self.rows[-self._taken :]
        *done, self._line = (self._line + text).split("\n")
        self._open = True
        self._add([(one, styles) for line in done for one in wrapped(line, self.width, hang=0)])
        growing = wrapped(self._line, self.width, hang=0) if self._line else []
        self._taken = len(growing)
        self._add([(one, styles) for one in growing])

    def close(self) -> None:
        """End the open text."""
        self._open, self._line, self._taken = False, "", 0

    def _add(self, rows: Sequence[tuple[str, tuple[str, ...]]]) -> None:
        self.rows += rows
        del self.rows[: -self._most]


def fact(name: str, value: str, indent: int = 10) -> None:
    """Write a name and a value to standard output; on a terminal what is long is wrapped below the value."""
    text = f"{name:<{indent}}{value}"
    tty = sys.stdout.isatty()
    width = max(shutil.get_terminal_size((100, 24)).columns, NARROWEST)
    for row in wrapped(text, width, hang=indent) if tty else [text]:
        say(row)


def cells(text: str) -> int:
    """Return how many cells of a terminal a text takes: two for wide characters, none for marks above others."""
    if "\x1b" in text:
        text = _STYLE.sub("", text)
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def fitting(text: str, width: int) -> str:
    """Return one line shortened to so many cells."""
    if cells(text) <= width:
        return text
    size, kept = 0, ""
    for character in text:
        size += cells(character)
        if size > width - 1:
            break
        kept += character
    return f"{kept}…"


def wrapped(text: str, width: int, hang: int = 2) -> list[str]:
    """Return the lines of a row, broken between words; what follows is indented as the row is, and `hang` more."""
    lines: list[str] = []
    for given in text.split("\n"):
        indent = " " * min(len(given) - len(given.lstrip()) + hang, width // 2)
        now = ""
        for token in re.findall(r"\s+|\S+", given):
            if cells(now) + cells(token.rstrip()) <= width:
                now += token
                continue
            if now.strip():
                lines.append(now.rstrip())
                now = indent
            rest = token.strip()
            while cells(now) + cells(rest) > width:
                head = _head(rest, width - cells(now))
                lines.append(now + head)
                now, rest = indent, rest[len(head) :]
            now += rest
        lines.append(now.rstrip())
    return lines


def _head(text: str, width: int) -> str:
    """Return the beginning of a word that fills so many cells, at least one character."""
    size, end = 0, 0
    for end, character in enumerate(text):  # noqa: B007
        size += cells(character)
        if size > width:
            break
    return text[: max(end, 1)]
