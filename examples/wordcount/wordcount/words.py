"""Splits a text into words."""

import re
from collections.abc import Iterator

WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


def words(text: str) -> Iterator[str]:
    """Yield the words of `text` in order, case folded; an apostrophe inside a word belongs to it."""
    for match in WORD.finditer(text):
        yield match.group().casefold()
