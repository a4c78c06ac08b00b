"""Ids may be shortened to any prefix that only one of them has."""

import re
from collections.abc import Callable, Iterable, Sequence

from hostler.cli.client import AGENTS, ENVIRONMENTS, Client
from hostler.cli.problems import Problem, usage

WHOLE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PART = re.compile(r"[0-9a-f-]{1,36}")
SHORTEST = 8


def execution(client: Client, given: str) -> str:
    """Return the whole id of an execution."""
    return _resolve(given, "execution", lambda: _ids(client, AGENTS, "ListAgentExecutions", "agentExecutions"))


def environment(client: Client, given: str) -> str:
    """Return the whole id of an environment."""
    return _resolve(given, "environment", lambda: _ids(client, ENVIRONMENTS, "ListEnvironments", "environments"))


def one_of(given: str, kind: str, ids: Iterable[str]) -> str:
    """Return the id out of `ids` that is meant; raises Problem when none or several begin so."""
    return _resolve(given, kind, lambda: ids)


def shortened(ids: Sequence[str]) -> dict[str, str]:
    """Return for each id its shortest prefix, of at least eight characters, that none of the others has."""
    ordered = sorted(set(ids))
    short: dict[str, str] = {}
    for number, id_ in enumerate(ordered):
        neighbours = ordered[max(number - 1, 0) : number] + ordered[number + 1 : number + 2]
        shared = max((_common(id_, other) for other in neighbours), default=0)
        short[id_] = id_[: max(SHORTEST, shared + 1)].rstrip("-")
    return short


def _resolve(given: str, kind: str, candidates: Callable[[], Iterable[str]]) -> str:
    prefix = given.strip().lower()
    if WHOLE.fullmatch(prefix):
        return prefix
    if not _PART.fullmatch(prefix):
        raise usage(f"{given!r} is not an id, nor the beginning of one")
    found = [id_ for id_ in candidates() if id_.startswith(prefix)]
    if not found:
        raise Problem(f"there is no {kind} whose id begins with {prefix}", code="not_found")
    if len(found) > 1:
        raise usage(f"{prefix} is ambiguous: {', '.join(found[:5])}{' …' if len(found) > 5 else ''}")
    return found[0]


def _ids(client: Client, service: str, method: str, field: str) -> Iterable[str]:
    return (str(entry["id"]) for entry in client.pages(service, method, field))


def _common(one: str, other: str) -> int:
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
