"""What can be said of a shell command by its text alone: the commands it is made of, and whose exit code is its own.

This is no shell. Where the text is too clever to be sure (loops, functions, a group beside `||` or a pipe), it says so,
and nobody is believed for its sake.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""
    (?P<skip>[ \t\r]+|\\\n|(?<![^\s;&|()])\#[^\n]*)
    |(?P<here><<-?[ \t]*(?P<quote>['"]?)(?P<mark>\w+)(?P=quote))
    |(?P<redirect>&>>?|[0-9]*(?:<<<|>>|>&|<&|<>|>\||>|<))
    |(?P<op>&&|\|\||\|&|;;|[;|&\n()])
    |(?P<word>(?:\\.|'[^']*'|"(?:\\.|[^"\\])*"|\$\((?:[^()]|\([^()]*\))*\)|`[^`]*`|[^\s;&|()<>'"\\`])+)
    """,
    re.VERBOSE | re.DOTALL,
)
_QUOTED = re.compile(r"""'([^']*)'|"((?:\\.|[^"\\])*)"|\\(.)""", re.DOTALL)
_COMPOUND = frozenset(
    {"if", "then", "else", "elif", "fi", "for", "while", "until", "do", "done", "case", "esac", "function", "select"}
)
_OPTIONS = re.compile(r"-\w*e\w*")
LONGEST = 20_000
"""Characters of a text that are read; the exit code of a longer one is not believed."""


@dataclass(frozen=True, slots=True)
class Simple:
    """One simple command: its words without quotes, the files it writes to, and whether its failure shows.

    `tells` says that the whole command cannot end with 0 unless this one ran and ended with 0.
    """

    words: tuple[str, ...]
    writes: tuple[str, ...] = ()
    tells: bool = False


@dataclass(slots=True)
class _Part:
    words: list[str] = field(default_factory=list[str])
    writes: list[str] = field(default_factory=list[str])
    before: str = ""
    after: str = ""
    negated: bool = False


def commands(text: str) -> tuple[Simple, ...]:
    """Return the simple commands of a text, in order."""
    tokens = list(_tokens(text[:LONGEST]))
    sure = len(text) <= LONGEST and not _too_clever(tokens)
    parts = _parts(tokens)
    stops = _stops_at_errors(parts)
    piped = any("pipefail" in part.words for part in parts if part.words[0] == "set")
    return tuple(
        Simple(tuple(part.words), tuple(part.writes), sure and _tells(parts, number, stops=stops, piped=piped))
        for number, part in enumerate(parts)
    )


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    """Yield (kind, text) of each token; here documents are left out, what cannot be read is an operator `?`."""
    at, marks = 0, list[str]()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            yield "op", "?"
            at += 1
            continue
        at = found.end()
        if found["here"]:
            marks.append(found["mark"])
        elif found["op"] == "\n" and marks:
            at = _after_documents(text, at, marks)
            marks.clear()
            yield "op", "\n"
        elif not found["skip"]:
            kind = str(found.lastgroup)
            yield kind, found[0]


def _after_documents(text: str, at: int, marks: Sequence[str]) -> int:
    for mark in marks:
        end = re.compile(rf"^\t*{re.escape(mark)}$", re.MULTILINE).search(text, at)
        at = min(len(text), end.end() + 1) if end else len(text)
    return at


def _too_clever(tokens: Sequence[tuple[str, str]]) -> bool:
    """Return whether the text has what only a shell can judge."""
    texts = ["\n", *(text if kind != "word" else "word" for kind, text in tokens), "\n"]
    heads = [text for (kind, text), before in zip(tokens, texts, strict=False) if kind == "word" and before != "word"]
    if "?" in texts or ";;" in texts or any(head in _COMPOUND for head in heads):
        return True
    grouped = [text if text not in ("{", "}") else {"{": "(", "}": ")"}[text] for _, text in tokens]
    around = list(zip(["\n", *grouped], grouped, [*grouped[1:], "\n"], strict=False))
    fine = {"&&", ";", "\n", "(", ")"}
    return any((t == "(" and before not in fine) or (t == ")" and after not in fine) for before, t, after in around)


def _parts(tokens: Sequence[tuple[str, str]]) -> list[_Part]:
    """Return the simple commands with the operators around them; brackets are left out."""
    parts, part, target = list[_Part](), _Part(), ""
    for kind, text in tokens:
        if kind == "redirect":
            target = text
        elif kind == "word" and target:
            if ">" in target and not target.endswith("&"):
                part.writes.append(plain(text))
            target = ""
        elif kind == "word" and text in ("{", "}", "!") and not part.words:
            part.negated = part.negated or text == "!"
        elif kind == "word":
            part.words.append(plain(text))
        elif text not in ("(", ")"):
            if part.words or part.writes:
                part.words = part.words or [":"]
                parts.append(part)
                part = _Part(before=text)
                parts[-1].after = text
            elif parts and text == "&":
                parts[-1].after = "&"
    if part.words or part.writes:
        part.words = part.words or [":"]
        parts.append(part)
    return parts


def _stops_at_errors(parts: Sequence[_Part]) -> bool:
    first = parts[0].words if parts else []
    return first[:1] == ["set"] and any(_OPTIONS.fullmatch(word) for word in first[1:])


def _tells(parts: Sequence[_Part], number: int, *, stops: bool, piped: bool) -> bool:
    """Return whether the whole can only end with 0 when this part did."""
    part = parts[number]
    if part.negated or part.before == "||":
        return False
    at = number
    while piped and parts[at].after in ("|", "|&") and at + 1 < len(parts):
        at += 1
    alone = parts[at].after in ("", ";", "\n")
    if stops and alone:
        return True
    while at + 1 < len(parts) and parts[at].after == "&&":
        at += 1
        while parts[at].after in ("|", "|&") and at + 1 < len(parts):
            at += 1
    return at == len(parts) - 1 and parts[at].after in ("", ";", "\n")


def plain(word: str) -> str:
    """Return a word without its quotes."""
    return _QUOTED.sub(lambda found: next((part for part in found.groups() if part is not None), ""), word)
