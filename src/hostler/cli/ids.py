"""Ids may be shortened to any prefix that only one of them has."""

import re
from collections.abc import Sequence

from hostler.cli.client import Client
from hostler.cli.extras import resolve
from hostler.cli.problems import usage

WHOLE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PART = re.compile(r"[0-9a-f-]{1,36}")
SHORTEST = 8


def execution(client: Client, given: str) -> str:
    """Return the whole id of an execution."""
    return whole(client, "execution", given)


def whole(client: Client, kind: str, given: str) -> str:
    """Return the whole id of an execution, environment, prompt or token; raises Problem when it is not clear which."""
    prefix = given.strip().lower()
    if WHOLE.fullmatch(prefix):
        return prefix
    if not _PART.fullmatch(prefix):
        raise usage(f"{given!r} is not an id, nor the beginning of one")
    return resolve(client, kind, prefix)


def shortened(ids: Sequence[str]) -> dict[str, str]:
    """Return for each id its shortest prefix, of at least eight characters, that none of the others has."""
    ordered = sorted(set(ids))
    short: dict[str, str] = {}
    for number, id_ in enumerate(ordered):
        neighbours = ordered[max(number - 1, 0) : number] + ordered[number + 1 : number + 2]
        shared = max((_common(id_, other) for other in neighbours), default=0)
        short[id_] = id_[: max(SHORTEST, shared + 1)].rstrip("-")
    return short


def _common(one: str, other: str) -> int:
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
