"""Secrets never get in: known values and their common encodings are replaced before anything is stored or shown."""

import base64
import html
import json
import re
import urllib.parse
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

MASK = "[redacted]"
SHORTEST = 8
"""Values below this many characters are not taken for secrets: they would blot out ordinary words."""
CUT = re.compile(
    r"\A…|…\Z|\n?(?:… )?\[(?:\.\.\. )?[\d,]+ \w+ (?:are )?left out(?: \.\.\.)?\](?: …)?\n?|\n?…[\d,]+ \w+ truncated…\n?"
)
"""Where something was cut out of a text before it came here: what stands beside it may be a part of a secret."""
SIGNS = ("left out", "truncated", "…")
"""One of these is in every text that was cut."""
MOST_CUTS = 1000
"""Cuts in one text that are looked at; nobody who is honest cuts more often."""


class Redactor:
    """Replaces known secrets in whole texts, in JSON and, through `stream`, in texts that arrive in pieces."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._forms: tuple[str, ...] = ()
        self._beginnings: dict[str, tuple[str, ...]] = {}
        self._letters: re.Pattern[str] | None = None
        """What a secret may begin with."""
        self._endings: dict[str, tuple[str, ...]] = {}
        self.add(secrets)

    def add(self, secrets: Iterable[str]) -> None:
        """Know more secrets from now on."""
        forms = set(self._forms)
        for secret in secrets:
            if len(secret) >= SHORTEST:
                forms |= _encodings(secret)
        self._forms = tuple(sorted(forms, key=len, reverse=True))
        first, last = {form[0] for form in forms}, {form[-1] for form in forms}
        self._beginnings = {letter: tuple(form for form in self._forms if form[0] == letter) for letter in first}
        self._letters = re.compile(f"[{re.escape(''.join(sorted(first)))}]") if first else None
        self._endings = {letter: tuple(form for form in self._forms if form[-1] == letter) for letter in last}

    @property
    def forms(self) -> tuple[str, ...]:
        """Return every form of every secret, the longest first."""
        return self._forms

    def text(self, text: str) -> str:
        """Return the text with every known secret masked."""
        for form in self._forms:
            if form in text:
                text = text.replace(form, MASK)
        return self._at_cuts(text) if self._forms and any(sign in text for sign in SIGNS) else text

    def _at_cuts(self, text: str) -> str:
        """Return a text with parts of secrets masked beside where it was cut."""
        pieces: list[str] = []
        last = 0
        for cut in islice(CUT.finditer(text), MOST_CUTS):
            pieces += [text[last : cut.start()], cut[0]]
            last = cut.end()
        pieces.append(text[last:])
        for before in range(0, len(pieces) - 1, 2):
            pieces[before] = self._without_beginning(pieces[before])
            pieces[before + 2] = self._without_rest(pieces[before + 2])
        return "".join(pieces)

    def _without_beginning(self, head: str) -> str:
        """Return a text whose end is not the beginning of a secret."""
        window = head[-len(self._forms[0]) :]
        part = len(window) - self.safe_end(window)
        return head[:-part] + MASK if part >= SHORTEST else head

    def _without_rest(self, tail: str) -> str:
        """Return a text whose beginning is not the rest of a secret."""
        for end in range(min(len(tail), len(self._forms[0]) - 1), SHORTEST - 1, -1):
            forms = self._endings.get(tail[end - 1], ())
            if any(len(form) > end and form.endswith(tail[:end]) for form in forms):
                return MASK + tail[end:]
        return tail

    def json(self, value: Any) -> Any:
        """Return a JSON value with every string in it, keys included, masked; one without a secret as it is."""
        if not self._forms:
            return value
        strings: list[str] = []
        _gather(value, strings)
        whole = "\0".join(strings)
        if not any(form in whole for form in self._forms) and not any(sign in whole for sign in SIGNS):
            return value
        return self._masked(value)

    def _masked(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(k)): self._masked(v) for k, v in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        if isinstance(value, list | tuple):
            return [self._masked(v) for v in value]  # pyright: ignore[reportUnknownVariableType]
        return value

    def data(self, data: bytes) -> bytes:
        """Return bytes with every known secret masked."""
        for form in self._forms:
            raw = form.encode()
            if raw in data:
                data = data.replace(raw, MASK.encode())
        return self._at_cuts(data.decode("latin-1")).encode("latin-1") if self._forms and b"left out" in data else data

    def stream(self) -> "RedactingStream":
        """Return a masker for one text that arrives in pieces."""
        return RedactingStream(self)

    def safe_end(self, text: str) -> int:
        """Return how much of the beginning of a growing text can be masked for good.

        What follows could still be the beginning of a secret; a secret that is there already is never cut in two.
        """
        if self._letters is None:
            return len(text)
        end = len(text)
        for found in self._letters.finditer(text, max(0, len(text) - len(self._forms[0]) + 1)):
            start = found.start()
            tail = text[start:]
            if any(len(form) > len(tail) and form.startswith(tail) for form in self._beginnings[found[0]]):
                end = start
                break
        while (earlier := self._cut_match(text, end)) < end:
            end = earlier
        return end

    def _cut_match(self, text: str, end: int) -> int:
        """Return where the first known secret begins that reaches over `end`, or `end`."""
        first = end
        for form in self._forms:
            at = text.find(form, max(0, end - len(form) + 1))
            if 0 <= at < first and at + len(form) > end:
                first = at
        return first


class RedactingStream:
    """Masks a text piece by piece; it holds back what could still become a secret, less than the longest one."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._held = ""

    def feed(self, piece: str) -> str:
        """Return what can be shown now."""
        raw = self._held + piece
        end = self._redactor.safe_end(raw)
        self._held = raw[end:]
        return self._redactor.text(raw[:end])

    @property
    def holding(self) -> bool:
        """Return whether something is held back."""
        return bool(self._held)

    def flush(self) -> str:
        """Return what was held back, at the end of the text."""
        held, self._held = self._held, ""
        return self._redactor.text(held)


def _gather(value: Any, strings: list[str]) -> None:
    """Add every string in a JSON value, keys included."""
    if isinstance(value, str):
        strings.append(value)
    elif isinstance(value, Mapping):
        for key, each in value.items():  # pyright: ignore[reportUnknownVariableType]
            strings.append(str(key))  # pyright: ignore[reportUnknownArgumentType]
            _gather(each, strings)
    elif isinstance(value, list | tuple):
        for each in value:  # pyright: ignore[reportUnknownVariableType]
            _gather(each, strings)


def _encodings(secret: str) -> set[str]:
    """Return the forms in which a secret is met: as it is and as programs write it, in base64 at its three offsets."""
    raw = secret.encode()
    forms = {secret, raw.hex(), raw.hex().upper(), *_escaped(secret)}
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + raw).decode()
        start, end = (0, 2, 3)[shift], len(coded) - (4 if (shift + len(raw)) % 3 else 0)
        core = coded[start:end] if shift else coded[:end]
        if len(core) >= SHORTEST:
            forms |= {core, core.replace("+", "-").replace("/", "_")}
    if not secret.isascii():
        forms |= {form.encode().decode("latin-1") for form in forms}  # bytes in pieces are looked at in this form
    return forms


def _escaped(secret: str) -> set[str]:
    """Return a secret as JSON (also within JSON), Python, HTML and URLs write it; a plain one stays what it is."""
    once = {json.dumps(secret, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}
    twice = {json.dumps(form, ensure_ascii=False)[1:-1] for form in once}
    quoted = {urllib.parse.quote(secret, safe=""), urllib.parse.quote(secret), urllib.parse.quote_plus(secret)}
    quoted |= {re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), form) for form in quoted}
    markup = {html.escape(secret), html.escape(secret, quote=False), html.escape(secret).replace("&quot;", "&#34;")}
    return once | twice | quoted | markup | {repr(secret)[1:-1]}
