"""Which simple commands a shell text runs, for rules about commands: quotes are respected, nesting is followed.

This is no shell. Where a text cannot be read to its end, what was read by then counts, and what stands in a string for
another shell (`bash -c`, `eval`, a here document for it) is read too. A rule on commands keeps from mistakes; what an
agent can reach at all is the sandbox's business.
"""

import re
import shlex
from collections.abc import Sequence
from functools import lru_cache
from posixpath import basename

Words = tuple[str, ...]

DEEPEST = 12
"""Shells within shells that are read."""
LONGEST = 20_000
"""Characters of a text that are read."""
MOST = 2000
"""Simple commands that are looked at."""
SHELLS = frozenset({"bash", "sh", "dash", "zsh", "ksh", "ash"})
WRAPPERS = frozenset(
    {
        "sudo",
        "doas",
        "env",
        "nohup",
        "nice",
        "ionice",
        "time",
        "timeout",
        "xargs",
        "command",
        "exec",
        "builtin",
        "stdbuf",
        "setsid",
        "watch",
        "busybox",
        "strace",
        "parallel",
        "chroot",
        "unshare",
        "flock",
    }
)
"""Programs that run the command in their arguments."""
LEADS = frozenset(["!", "{", "}", "if", "then", "elif", "else", "while", "until", "do", "fi", "done", "time", "coproc"])
"""Words before a command that are none."""
EXECS = frozenset({"-exec", "-execdir", "-ok", "-okdir"})
ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=")
HERE = re.compile(r"<<(-?)[ \t]*(\\?['\"]?)(\w+)['\"]?")
REDIRECT = re.compile(r"&>>?|[<>]&|<<<|<>|>>|>\||>|<")


@lru_cache(maxsize=256)
def simple_commands(text: str) -> tuple[Words, ...]:
    """Return the words of every simple command that a text may run, those of its inner shells included."""
    found: dict[Words, None] = {}
    _collect(text[:LONGEST], found, 0)
    return tuple(found)


def _collect(text: str, found: dict[Words, None], depth: int) -> None:
    if depth > DEEPEST:
        return
    reader = _Reader(text)
    reader.read("")
    for words in reader.found:
        if len(found) >= MOST:
            return
        _add(words, found, depth, reader.documents)


def _add(words: Words, found: dict[Words, None], depth: int, documents: Sequence[str]) -> None:
    """Add a command, and those that it runs in turn."""
    while words and (words[0] in LEADS or ASSIGNMENT.match(words[0])):
        words = words[1:]
    if not words or words in found:
        return
    found[words] = None
    name = basename(words[0])
    if name in SHELLS:
        for word in (*words[1:], *documents):
            if any(letter in word for letter in " ;|&\n$`"):
                _collect(word, found, depth + 1)
        if any(word.startswith("-") and "c" in word for word in words[1:]):
            for word in words[1:]:
                _collect(word, found, depth + 1)
    elif name == "eval":
        _collect(" ".join(words[1:]), found, depth + 1)
    elif name in WRAPPERS:
        for at in range(1, min(len(words), 20)):
            if not words[at].startswith("-") and depth <= DEEPEST:
                _add(words[at:], found, depth + 1, documents)
    elif name == "find":
        for at, word in enumerate(words):
            if word in EXECS:
                _add(words[at + 1 :], found, depth + 1, documents)


class _Reader:
    """Reads a text once, from left to right; commands in brackets and substitutions are found where they stand."""

    def __init__(self, text: str) -> None:
        self.found: list[Words] = []
        self.documents: list[str] = []
        self._text = text
        self._at = 0
        self._marks: list[tuple[str, bool]] = []
        self._depth = 0

    def read(self, end: str) -> None:
        """Read commands up to `end`, or to the end of the text."""
        self._depth += 1
        words: list[str] = []
        word: list[str] | None = None
        target = False

        def close() -> None:
            nonlocal word, target
            if word is not None and not target:
                words.append("".join(word))
            target = target and word is None
            word = None

        def flush() -> None:
            close()
            if words and len(self.found) < MOST:
                self.found.append(tuple(words))
            words.clear()

        text = self._text
        while self._at < len(text):
            c = text[self._at]
            if c == end:
                break
            if c in " \t\r":
                self._at += 1
                close()
            elif text.startswith("\\\n", self._at):
                self._at += 2
            elif c == "#" and word is None:
                self._at = (text.find("\n", self._at) + 1 or len(text) + 1) - 1
            elif redirect := self._redirect(word):
                word = None if redirect == "number" else word
                close()
                target = redirect != "here" and text[self._at - 1] != "("
                if redirect != "here" and not target:
                    self.read(")")
                    self._at += 1
            elif c in ";&|()\n":
                self._at += 1
                flush()
                if c == "\n":
                    self._documents()
            else:
                word = [] if word is None else word
                word.append(self._piece(c))
        flush()
        self._depth -= 1

    def _redirect(self, word: list[str] | None) -> str:
        """Pass a redirection; "number" when the word before it was the number of a stream."""
        if (here := HERE.match(self._text, self._at)) and not self._text.startswith("<<<", self._at):
            self._at = here.end()
            self._marks.append((here[3], not here[2]))
            return "here"
        found = REDIRECT.match(self._text, self._at)
        if not found:
            return ""
        self._at = found.end()
        if found[0] in "<>" and self._text.startswith("(", self._at):
            self._at += 1
        return "number" if word and "".join(word).isdigit() else "redirect"

    def _piece(self, c: str) -> str:
        """Pass the next piece of a word and return what it comes to."""
        text, at = self._text, self._at
        self._at += 1
        if c == "\\":
            self._at += 1
            following = text[at + 1 : at + 2]
            return following
        if c == "'":
            stop = text.find("'", at + 1)
            stop = len(text) if stop < 0 else stop
            self._at = stop + 1
            return text[at + 1 : stop]
        if c == '"':
            return self._quoted()
        if c == "`" or text.startswith("$(", at):
            return self._substituted(c, at)
        return c

    def _quoted(self) -> str:
        pieces: list[str] = []
        text = self._text
        while self._at < len(text) and (c := text[self._at]) != '"':
            at = self._at
            if c == "\\":
                pieces.append(text[at + 1 : at + 2])
                self._at += 2
            elif c == "`" or text.startswith("$(", at):
                self._at += 1
                pieces.append(self._substituted(c, at))
            else:
                self._at += 1
                pieces.append(c)
        self._at += 1
        return "".join(pieces)

    def _substituted(self, c: str, at: int) -> str:
        if c != "`":
            self._at += 1
        if self._depth < DEEPEST:
            self.read("`" if c == "`" else ")")
        self._at += 1
        return self._text[at : self._at]

    def _documents(self) -> None:
        """Pass the here documents that begin on this line; what a shell would substitute in them is found."""
        for mark, open_ in self._marks:
            stop = re.compile(rf"^\t*{re.escape(mark)}$", re.MULTILINE).search(self._text, self._at)
            body = self._text[self._at : stop.start() if stop else len(self._text)]
            self._at = min(len(self._text), stop.end() + 1) if stop else len(self._text)
            self.documents.append(body)
            if open_ and self._depth < DEEPEST and ("$(" in body or "`" in body):
                inner = _Reader(f'"{body.replace(chr(34), "")}"')
                inner._depth = self._depth
                inner.read("")
                self.found.extend(words for words in inner.found[:-1])
        self._marks.clear()


@lru_cache(maxsize=256)
def words_of(pattern: str) -> Words:
    """Return the words of a pattern, without quotes."""
    try:
        return tuple(shlex.split(pattern))
    except ValueError:
        return tuple(pattern.split())


def matches(pattern: str, words: Words) -> bool:
    """Return whether a pattern is a command's words from the first to the last.

    A word `*` stands for any number of words, none included, and `*` within a word for any characters. The program may
    be named by its path.
    """
    wanted = words_of(pattern)
    if not wanted or not words:
        return False
    return _fits(wanted, words) or _fits(wanted, (basename(words[0]), *words[1:]))


def _fits(wanted: Words, words: Words) -> bool:
    """Match with one look back for each `*`, so that no pattern takes long."""
    i = j = 0
    star, kept = -1, 0
    while j < len(words):
        if i < len(wanted) and wanted[i] == "*":
            star, kept, i = i, j, i + 1
        elif i < len(wanted) and like(wanted[i], words[j]):
            i, j = i + 1, j + 1
        elif star >= 0:
            kept += 1
            i, j = star + 1, kept
        else:
            return False
    return all(one == "*" for one in wanted[i:])


@lru_cache(maxsize=256)
def _shape(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in re.split(r"\*+", pattern)), re.DOTALL)


def like(pattern: str, text: str) -> bool:
    """Return whether a text has the shape of a pattern, in which `*` stands for any characters."""
    return pattern == text or ("*" in pattern and _shape(pattern).fullmatch(text) is not None)
