"""How a secret is found and masked in what is stored: rows, JSON in rows, bytes, and streams too large for memory."""

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

from hostler.core.redaction import MASK, SHORTEST, Redactor
from hostler.store.columns import to_json

PART = 1 << 20


class Masking:
    """Masks some secrets, and counts where."""

    def __init__(self, secrets: Iterable[str]) -> None:
        given = [secret for secret in secrets if len(secret) >= SHORTEST]
        # Columns for searching hold texts with their case folded, and what they hold must go too.
        self._redactor = Redactor([form for secret in given for form in (secret, secret.casefold())])
        forms = sorted((form.encode() for form in self._redactor.forms), key=len, reverse=True)
        self._pattern = re.compile(b"|".join(map(re.escape, forms)))
        self._longest = len(forms[0])

    def text(self, text: str) -> str:
        """Return a column's text masked; one that is JSON stays JSON, with its strings masked one by one."""
        if text[:1] in ("{", "["):
            try:
                value = json.loads(text)
            except ValueError:
                return self._redactor.text(text)
            masked = self._redactor.json(value)
            return text if masked == value else to_json(masked)
        return self._redactor.text(text)

    def json(self, value: Any) -> Any:
        """Return a JSON value with every string in it masked."""
        return self._redactor.json(value)

    def data(self, data: bytes) -> bytes:
        """Return bytes masked."""
        return self._redactor.data(data)

    def in_data(self, data: bytes) -> int:
        """Return in how many places of some bytes a secret stands."""
        return len(self._pattern.findall(data))

    def in_stream(self, read: Callable[[int], bytes]) -> bool:
        """Return whether a secret stands in a stream of any length."""
        held = b""
        while piece := read(PART):
            held += piece
            if self._pattern.search(held):
                return True
            held = held[-self._longest :]
        return False


def places(before: str, after: str) -> int:
    """Return in how many places a text was masked."""
    return max(1, after.count(MASK) - before.count(MASK)) if before != after else 0
