"""Secrets never get in: known values and their common encodings are replaced before anything is stored or shown."""

import base64
import html
import json
import re
import urllib.parse
from collections.abc import Iterable, Mapping
from typing import Any

MASK = "[redacted]"
SHORTEST = 8
"""Values below this many characters are not taken for secrets: they would blot out ordinary words."""


class Redactor:
    """Replaces known secrets in whole texts, in JSON and, through `stream`, in texts that arrive in pieces."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._forms: tuple[str, ...] = ()
        self._beginnings: dict[str, tuple[str, ...]] = {}
        self.add(secrets)

    def add(self, secrets: Iterable[str]) -> None:
        """Know more secrets from now on."""
        forms = set(self._forms)
        for secret in secrets:
            if len(secret) >= SHORTEST:
                forms |= _encodings(secret)
        self._forms = tuple(sorted(forms, key=len, reverse=True))
        first = {form[0] for form in forms}
        self._beginnings = {letter: tuple(form for form in self._forms if form[0] == letter) for letter in first}

    def text(self, text: str) -> str:
        """Return the text with every known secret masked."""
        for form in self._forms:
            if form in text:
                text = text.replace(form, MASK)
        return text

    def json(self, value: Any) -> Any:
        """Return a JSON value with every string in it, keys included, masked."""
        if not self._forms:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(k)): self.json(v) for k, v in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        if isinstance(value, list | tuple):
            return [self.json(v) for v in value]  # pyright: ignore[reportUnknownVariableType]
        return value

    def data(self, data: bytes) -> bytes:
        """Return bytes with every known secret masked."""
        for form in self._forms:
            raw = form.encode()
            if raw in data:
                data = data.replace(raw, MASK.encode())
        return data

    def stream(self) -> "RedactingStream":
        """Return a masker for one text that arrives in pieces."""
        return RedactingStream(self)

    def safe_end(self, text: str) -> int:
        """Return how much of the beginning of a growing text can be masked for good.

        What follows could still be the beginning of a secret; a secret that is there already is never cut in two.
        """
        if not self._forms:
            return len(text)
        end = len(text)
        for start in range(max(0, len(text) - len(self._forms[0]) + 1), len(text)):
            if not (forms := self._beginnings.get(text[start])):
                continue
            tail = text[start:]
            if any(len(form) > len(tail) and form.startswith(tail) for form in forms):
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
