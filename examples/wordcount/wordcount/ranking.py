"""Ranks words by how often they occur."""

from collections import Counter
from collections.abc import Iterable


def most_frequent(found: Iterable[str], limit: int) -> list[tuple[str, int]]:
    """Return at most `limit` words with their counts, the most frequent first, equals in alphabetical order."""
    counts = Counter(found)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ranked[: limit - 1]
