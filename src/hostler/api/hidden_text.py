"""Characters that make a text read differently from what it is: bidirectional controls and invisible ones."""

import unicodedata
from dataclasses import dataclass

ORDINARY = frozenset("\t\n\r")
JOINERS = frozenset("\u200c\u200d")
"""They are part of emoji and of many scripts; between two Latin letters or alone they only hide."""
BLANKS = frozenset("\u115f\u1160\u3164\uffa0\u2800\u034f\u17b4\u17b5\u180b\u180c\u180d\u180f")
"""Letters and marks that show nothing."""


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A text without its hidden characters, and how many there were."""

    text: str
    removed: int


def clean(text: str) -> Cleaned:
    """Return the text without what cannot be seen."""
    kept = [c for place, c in enumerate(text) if not _hides(text, place)]
    return Cleaned("".join(kept), len(text) - len(kept))


def _hides(text: str, place: int) -> bool:
    c = text[place]
    if c in ORDINARY:
        return False
    if c in JOINERS:
        return not (_joins(text[place - 1 : place]) and _joins(text[place + 1 : place + 2]))
    if "\ufe00" <= c <= "\ufe0f":  # a variation selector: only after what it varies
        before = text[place - 1 : place]
        return not before or before.isspace() or "\ufe00" <= before <= "\ufe0f"
    if "\U000e0100" <= c <= "\U000e01ef":
        return True
    return unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") or c in BLANKS


def _joins(c: str) -> bool:
    """Return whether a joiner beside this character changes how it looks."""
    if not c:
        return False
    if "\ufe00" <= c <= "\ufe0f" or unicodedata.category(c) in ("So", "Sk", "Mn", "Mc"):
        return True
    return unicodedata.category(c) in ("Lo", "Lm")
