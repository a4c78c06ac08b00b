"""An execution and its sub-agents, and their logs in pieces: what documents about a conversation are made from.

A sub-agent is an execution whose annotation `hostler/parent` names this one. A short token is for one execution, so it
does not lead to the others.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from starlette.requests import Request

from hostler.api.call import Caller
from hostler.api.parts import ApiParts
from hostler.core.errors import InvalidArgument, PermissionDenied
from hostler.core.events import Recorded
from hostler.core.ports import ExecutionQuery, Row

PARENT = "hostler/parent"
"""The annotation of a sub-agent that names the execution it works for."""
PAGE = 400
"""Events that are read, and made something of, at a time."""
DEEPEST = 8
MOST = 1000
"""Members of a family that are shown."""
LIST = 100


@dataclass(frozen=True, slots=True)
class Member:
    """One execution of a family; the one that was asked for has depth 0 and no parent."""

    row: Row
    parent: str = ""
    depth: int = 0

    @property
    def name(self) -> str:
        """Return what people call it."""
        return str(self.row.view.get("metadata", {}).get("name", ""))


async def family(parts: ApiParts, execution: str, *, tree: bool) -> list[Member]:
    """Return an execution, and with `tree` its sub-agents behind it, each before its own; NotFound without it."""
    found = [Member((await parts.desk.seen(execution)).row)]
    if tree:
        await _gather(parts, found[0], found, {execution})
    return found


async def _gather(parts: ApiParts, member: Member, found: list[Member], known: set[str]) -> None:
    """Add those below a member, oldest first; nobody appears twice, whatever the annotations say."""
    if member.depth >= DEEPEST:
        return
    for row in reversed(await _children(parts, member.row.id)):
        if row.id in known or len(found) >= MOST:
            continue
        known.add(row.id)
        child = Member(row, member.row.id, member.depth + 1)
        found.append(child)
        await _gather(parts, child, found, known)


async def _children(parts: ApiParts, execution: str) -> list[Row]:
    rows: list[Row] = []
    query = ExecutionQuery(annotations={PARENT: execution})
    while page := await parts.executions.find(query, rows[-1].id if rows else "", LIST):
        rows += page
        if len(page) < LIST or len(rows) >= MOST:
            break
    return rows


async def log_of(parts: ApiParts, execution: str, upto: int = 0) -> AsyncGenerator[tuple[Recorded, ...]]:
    """Yield a log in pieces, to its end or to the event `upto`."""
    after = 0
    while page := await parts.executions.read(execution, after, PAGE):
        yield page if not upto else tuple(one for one in page if one.seq <= upto)
        after = page[-1].seq
        if len(page) < PAGE or (upto and after >= upto):
            return


def wants_tree(request: Request, caller: Caller) -> bool:
    """Return whether sub-agents are asked for; PermissionDenied where the credential is for one execution only."""
    asked = flag(request, "tree")
    if asked and caller.only:
        raise PermissionDenied("this credential is for one conversation; its sub-agents need an API token or a session")
    return asked


def flag(request: Request, name: str) -> bool:
    """Return a yes or no of the query; absent is no."""
    given = request.query_params.get(name, "").lower()
    if given not in ("", "0", "1", "false", "true"):
        raise InvalidArgument("1 or 0", field=name)
    return given in ("1", "true")


def choice(request: Request, name: str, choices: tuple[str, ...]) -> str:
    """Return one of several words of the query, the first when it is absent."""
    given = request.query_params.get(name, "") or choices[0]
    if given not in choices:
        raise InvalidArgument(f"known are {', '.join(choices)}", field=name)
    return given
