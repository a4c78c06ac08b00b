"""All executions at a glance, as `ps` and `top` show them: whose turn it is, what they wait for, what they used."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from hostler.cli.client import Client
from hostler.cli.extras import PREFIX
from hostler.cli.openness import Question, Step, asked_of
from hostler.cli.screen import line

PAGE = 100
"""Executions that are done and shown."""
MOST = 500
"""Executions that are asked for at once."""
STANDINGS = {"needs": ("needs input", "yellow"), "working": ("working", "cyan"), "done": ("done", "dim")}
"""What the groups are called, in the order in which they are shown."""
TOKENS = ("inputTokensUsed", "cachedInputTokensUsed", "cachedCreationTokensUsed")
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """One execution; `since` is when its state began, in seconds of the epoch."""

    id: str
    name: str
    standing: str
    phase: str
    doing: str
    agent: str
    model: str
    since: float
    tokens: int
    share: float | None = None
    """How much is used of the limit that is nearest to its end."""
    failed: bool = False
    questions: tuple[Question, ...] = ()
    steps: tuple[Step, ...] = ()
    parent: str = ""
    """Whose sub-agent it is."""
    depth: int = 0
    """How far below others it stands in the list."""

    @property
    def mark(self) -> tuple[str, str]:
        """Return the sign of its state, and its style."""
        match self.standing:
            case "needs":
                return ("✗", "red") if self.failed and not self.questions else ("?", "yellow")
            case "working":
                return "▸", "cyan"
            case _:
                return ("■", "dim") if self.phase == "PHASE_STOPPED" else ("✓", "green")

    def has(self, words: str) -> bool:
        """Say whether every word is somewhere in what is shown of it."""
        shown = " ".join((self.id, self.name, self.doing, self.agent, self.model, STANDINGS[self.standing][0]))
        return all(word in shown.casefold() for word in words.casefold().split())


@dataclass(frozen=True, slots=True)
class Glance:
    """What one look at the server gave; `ahead` is how far its clock is ahead of ours, in seconds."""

    entries: tuple[Entry, ...] = ()
    more: bool = False
    ahead: float = 0.0
    counts: Mapping[str, int] = field(default_factory=dict[str, int])


def glance(client: Client, now: float, done: int = PAGE) -> Glance:
    """Ask the server for all executions that need somebody or work, and the newest of those that are done."""
    found, theirs = list[Json](), ""
    for page in _pages(client, "needs,working", MOST):
        found += page.get("executions", [])
    last: Json = {}
    for last in _pages(client, "done", min(done, MOST) if done else MOST):
        found += last.get("executions", [])
        theirs = str(last.get("now", ""))
        if done:
            break
    entries = nested(sorted(map(entry, found), key=_place))
    counts = {name: sum(one.standing == name for one in entries) for name in STANDINGS}
    server = seconds(theirs)
    return Glance(tuple(entries), bool(last.get("more")), server - now if server else 0.0, counts)


def _pages(client: Client, standing: str, limit: int) -> Iterator[Json]:
    """Yield the server's answers, page after page."""
    before = ""
    while True:
        page = client.json("GET", f"{PREFIX}/executions?standing={standing}&limit={limit}{before}")
        yield page
        if not page.get("more"):
            return
        before = f"&before={page['executions'][-1]['id']}"


def nested(entries: Sequence[Entry]) -> list[Entry]:
    """Return entries with each sub-agent below its parent, where both are of one standing; else where it stood."""
    there = {(one.standing, one.id) for one in entries}
    below: dict[tuple[str, str], list[Entry]] = {}
    for one in entries:
        place = (one.standing, one.parent)
        below.setdefault(place if place in there else (one.standing, ""), []).append(one)

    def under(standing: str, id_: str, depth: int) -> Iterator[Entry]:
        for one in below.get((standing, id_), ()):
            own = depth if one.parent and id_ else int(bool(one.parent))
            yield replace(one, depth=own)
            yield from under(standing, one.id, own + 1)

    return [one for standing in STANDINGS for one in under(standing, "", 0)]


def _place(one: Entry) -> int:
    return list(STANDINGS).index(one.standing)


def entry(found: Json) -> Entry:
    """Return an execution as the overview tells it."""
    metadata, status, extra = (found.get(part, {}) for part in ("metadata", "status", "hostler"))
    standing = str(found.get("standing", "done"))
    questions, steps = asked_of(extra)
    begun = (extra.get("turnSince") if standing == "working" else "") or found.get("waitingSince")
    input_ = sum(int(status.get(name, 0)) for name in TOKENS)
    output = int(status.get("outputTokensUsed", 0))
    used = {"maxIterations": int(status.get("iterations", 0)), "maxInputTokens": input_, "maxOutputTokens": output}
    return Entry(
        id=str(found.get("id", "")),
        name=line(str(metadata.get("name", ""))) or "(no name)",
        standing=standing if standing in STANDINGS else "done",
        phase=str(status.get("phase", "")),
        doing=line(questions[0].text) if questions else _doing(found, steps),
        agent=line(str(extra.get("agent", ""))),
        model=line(str(extra.get("model", ""))),
        since=seconds(str(begun or metadata.get("updatedAt", ""))),
        tokens=input_ + output,
        share=_share(found.get("limits", {}), used),
        failed=bool(status.get("failureMessage")),
        questions=questions,
        steps=steps,
        parent=str(found.get("parent", "")),
    )


def _doing(found: Json, steps: Sequence[Step]) -> str:
    """Return what it waits for, does, or proposes."""
    status: Json = found.get("status", {})
    said = line(str(found.get("waitingFor", ""))) or line(str(status.get("currentActivity", "")))
    waits = [line(str(one.get("text", ""))) for one in found.get("hostler", {}).get("waits", [])]
    if not said and waits:
        return f"waits for {', '.join(waits)}"
    if said or not steps:
        return said
    return f"proposes: {', '.join(step.title for step in steps)}"


def _share(limits: Json, used: Mapping[str, int]) -> float | None:
    shares = [count / int(limits[name]) for name, count in used.items() if int(limits.get(name, 0))]
    return max(shares, default=None)


def seconds(stamp: str) -> float:
    """Return an RFC 3339 time in seconds of the epoch; 0 when it is none."""
    try:
        return datetime.fromisoformat(stamp).timestamp()
    except ValueError:
        return 0.0


def short_number(count: int) -> str:
    """Return a count in four characters or so: 950, 12.3k, 4.1M."""
    if count < 1000:
        return str(count)
    size, unit = (count / 1e3, "k") if count < 999_500 else (count / 1e6, "M")
    return f"{size:.1f}{unit}" if size < 99.95 else f"{size:.0f}{unit}"


def lasted(seconds_: float) -> str:
    """Return a length of time in one unit, the first minute in seconds."""
    whole = max(int(seconds_), 0)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if whole >= size:
            return f"{whole // size} {unit}"
    return f"{whole} s"
