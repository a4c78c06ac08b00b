"""Secrets never get in: known values and their common encodings are replaced before anything is stored or shown."""

import base64
import json
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
        self.add(secrets)

    def add(self, secrets: Iterable[str]) -> None:
        """Know more secrets from now on."""
        forms = set(self._forms)
        for secret in secrets:
            if len(secret) >= SHORTEST:
                forms |= _encodings(secret)
        self._forms = tuple(sorted(forms, key=len, reverse=True))

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

    @property
    def longest(self) -> int:
        """Return the length of the longest form that is known."""
        return len(self._forms[0]) if self._forms else 0


class RedactingStream:
    """Masks a text piece by piece; it holds back the longest secret minus one character."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._held = ""

    def feed(self, piece: str) -> str:
        """Return what can be shown now."""
        text = self._redactor.text(self._held + piece)
        hold = self._overlap(text)
        self._held = text[len(text) - hold :] if hold else ""
        return text[: len(text) - hold]

    def flush(self) -> str:
        """Return what was held back, at the end of the text."""
        held, self._held = self._held, ""
        return self._redactor.text(held)

    def _overlap(self, text: str) -> int:
        """Return how many last characters could be the beginning of a secret."""
        longest = min(self._redactor.longest - 1, len(text))
        for size in range(longest, 0, -1):
            tail = text[len(text) - size :]
            if any(form.startswith(tail) for form in self._redactor._forms):  # pyright: ignore[reportPrivateUsage]
                return size
        return 0


def _encodings(secret: str) -> set[str]:
    """Return the forms in which a secret is met: as it is, in JSON, URL-quoted, hex, base64 at its three offsets."""
    raw = secret.encode()
    forms = {secret, json.dumps(secret)[1:-1], urllib.parse.quote(secret, safe=""), raw.hex()}
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + raw).decode()
        start, end = (0, 2, 3)[shift], len(coded) - (4 if (shift + len(raw)) % 3 else 0)
        core = coded[start:end] if shift else coded[:end]
        if len(core) >= SHORTEST:
            forms |= {core, core.replace("+", "-").replace("/", "_")}
    return forms
