"""Taking a snapshot of a workspace: the request to its supervisor, and the pack that comes back in parts."""

import re
from dataclasses import asdict
from typing import Any, cast

from hostler.core.errors import MachineLost
from hostler.core.kept import KeepRequest, OnPart, Snapshot
from hostler.environments.channel import Connect, Exchange, need
from hostler.environments.supervisor.frames import Header

SECONDS = 300.0
COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
LEFT_OUT = 8
"""Kinds of things that are not kept, each in a line of words."""


async def take(connect: Connect, request: KeepRequest, on_part: OnPart) -> Snapshot:
    """Commit what is in the workspace and receive the pack, never more of it than was asked for."""
    header = {"call": "git_keep", **asdict(request)}
    async with Exchange(connect, header, seconds=SECONDS) as exchange:
        snapshot = _snapshot((await exchange.answer())[0])
        left = snapshot.size
        if left > request.limit:
            raise MachineLost("The environment's supervisor sends more than it may.")
        while left > 0:
            _, body = await exchange.answer()
            left -= len(body)
            if left < 0 or not body:
                raise MachineLost("The environment's supervisor sends another size than it said.")
            await on_part(body)
    return snapshot


def _snapshot(header: Header) -> Snapshot:
    """Read what was kept; everything is checked, for hostile code may have written it."""
    said = cast("list[Any]", need(header, "left_out", list))
    return Snapshot(
        commit=_commit(header, "commit"),
        base=_commit(header, "base"),
        head=_commit(header, "head"),
        branch=need(header, "branch", str)[:500],
        repository=need(header, "repository", bool),
        files=max(0, need(header, "files", int)),
        pushed=need(header, "pushed", bool),
        left_out=tuple(str(one)[:2000] for one in said[:LEFT_OUT]),
        size=max(0, need(header, "size", int)),
    )


def _commit(header: Header, name: str) -> str:
    value = need(header, name, str)
    if value and not COMMIT.fullmatch(value):
        raise MachineLost(f"The environment's supervisor speaks no sense: {name}.")
    return value
