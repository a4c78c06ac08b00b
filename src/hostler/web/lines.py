"""Executions as rows of a list: in what state since when, what each waits for, what it has used, who started it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from hostler.core.desk import Seen
from hostler.projections.glance import word
from hostler.projections.standing import repository
from hostler.web.words import amount, iso, many, plain

LONGEST = 240
"""Characters of a name or a remark; the page of the execution has the rest."""
PARENT = "hostler/parent"


@dataclass(frozen=True, slots=True)
class Names:
    """How people and things are called, by id; `me` is who looks."""

    people: Mapping[str, str]
    projects: Mapping[str, str]
    me: str

    def person(self, principal: str) -> str:
        """Return the name of a person or service account."""
        return "you" if principal == self.me else plain(self.people.get(principal, principal[:8]))


@dataclass(frozen=True, slots=True)
class Line:
    """One row."""

    id: str
    name: str
    tone: str
    state: str
    since: str
    """When it came into this state, as programs read it."""
    ago: str
    waits: str
    """What it waits for, what it does now, or what went wrong."""
    urgent: bool
    agent: str
    model: str
    place: str
    place_full: str
    tokens: str
    tokens_full: str
    by: str
    child: bool
    stoppable: bool
    backing: str = ""
    """Whether its "done" is backed, in words; empty where that is not known, or there is nothing to judge."""
    backing_tone: str = ""
    backing_why: str = ""


def line(seen: Seen, names: Names, now: datetime) -> Line:
    """Return the row of an execution."""
    row, view = seen.row, seen.row.view
    metadata, status, more = view.get("metadata", {}), view.get("status", {}), view.get("hostler", {})
    state, tone = word(
        row.phase,
        seen.liveness,
        asks=bool(more.get("openQuestions")),
        refused=bool(more.get("refusedHosts")),
        failed=bool(status.get("failureMessage")),
        limit=bool(more.get("limit")),
        waits=bool(more.get("waits")),
        credential=bool(more.get("needsCredential")),
    )
    since = _since(seen)
    place, full = where(view, names)
    kinds = ("inputTokensUsed", "cachedInputTokensUsed", "cachedCreationTokensUsed", "outputTokensUsed")
    fresh, cached, created, out = (int(status.get(kind, 0)) for kind in kinds)
    return Line(
        id=row.id,
        name=short(str(metadata.get("name", ""))) or f"Without a name ({row.id[:8]})",
        tone=tone,
        state=state,
        since=iso(since),
        ago=ago((now - since).total_seconds()),
        waits=short(_waits(seen)),
        urgent=tone in ("ask", "bad"),
        agent=plain(str(more.get("agent", ""))),
        model=plain(str(more.get("model", ""))),
        place=place,
        place_full=full,
        tokens=amount(fresh + cached + created + out),
        tokens_full=f"{fresh + created:,} input, {cached:,} from the cache, {out:,} output",
        by=names.person(str(metadata.get("creator", {}).get("id", ""))),
        child=bool(metadata.get("annotations", {}).get(PARENT)),
        stoppable=row.phase in ("PENDING", "RUNNING"),
    )


def _waits(seen: Seen) -> str:
    """Return what it waits for or does, or what went wrong."""
    status, more = seen.row.view.get("status", {}), seen.row.view.get("hostler", {})
    if (needs := more.get("needsCredential")) and seen.row.phase != "RUNNING":
        return f"a credential for {', '.join(str(one.get('host', '')) for one in needs)}"
    if seen.row.phase in ("PENDING", "RUNNING"):
        waiting = len(more.get("queue", ()))
        queue = [f"{many(waiting, 'message')} queued"] if waiting and seen.row.phase == "RUNNING" else []
        return ", ".join([*filter(None, [str(status.get("currentActivity", ""))]), *queue])
    if questions := more.get("openQuestions"):
        rest = f" (and {many(len(questions) - 1, 'more question', 'more questions')})" if len(questions) > 1 else ""
        return f"{_asked(questions[0])}{rest}"
    if failure := str(status.get("failureMessage", "")):
        return failure
    if hosts := more.get("refusedHosts"):
        return f"it may not reach {', '.join(map(str, hosts))}"
    if waits := more.get("waits"):
        return f"waits for {'; '.join(str(one.get('text', '')) for one in waits)}"
    steps: Sequence[Mapping[str, Any]] = more.get("nextSteps", ()) if seen.row.phase != "STOPPED" else ()
    proposed = "; ".join(str(step.get("title", "")) for step in steps)
    return f"proposes: {proposed}" if proposed else ""


def _asked(question: Any) -> str:
    return str(question.get("text", "")) if isinstance(question, Mapping) else "it asks something"  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]


def _since(seen: Seen) -> datetime:
    """Return when it came into its state, as exactly as the view tells."""
    row, view = seen.row, seen.row.view
    match row.phase:
        case "RUNNING":
            told = view.get("hostler", {}).get("turnSince")
        case "WAITING_FOR_INPUT":
            told = view.get("status", {}).get("waitingInfo", {}).get("waitingSince")
        case "PENDING":
            return row.created_at
        case _:
            told = None
    return datetime.fromisoformat(told) if told else row.updated_at


def where(view: Mapping[str, Any], names: Names) -> tuple[str, str]:
    """Return the project or the repository, short and in full."""
    project = str(view.get("spec", {}).get("codeContext", {}).get("projectId", ""))
    if project:
        return plain(names.projects.get(project, project[:8])), f"project {project}"
    address = plain(repository(view))
    return shortened(address), address


def shortened(address: str) -> str:
    """Return the part of a repository's address by which people know it."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return short(address)
    path = parts.path.strip("/").removesuffix(".git")
    return short("/".join(path.split("/")[-2:]) if path else address)


def ago(seconds: float) -> str:
    """Return how long ago something was, coarsely; the pages' module counts on in the same words."""
    if seconds < 5:
        return "now"
    for limit, size, unit in ((60, 1, "s"), (3600, 60, "min"), (48 * 3600, 3600, "h")):
        if seconds < limit:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds // 86400)} days"


def short(text: str) -> str:
    """Return text cut to what a row has room for."""
    text = " ".join(plain(text).split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
