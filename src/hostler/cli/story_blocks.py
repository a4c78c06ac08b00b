"""How the kinds of blocks look: rows with their style, and nothing that remembers, but the to-do list."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from hostler.cli.openness import Openness
from hostler.cli.paper import fitting
from hostler.cli.screen import clean, line

SHOWN = 6
"""Lines of a result, or of a diff, that are shown; `full` shows them all."""
FAILED_SHOWN = 12
"""Lines of what failed, or was written by a person."""
MARKS = {
    "PHASE_DONE": ("✓", "green"),
    "PHASE_IN_PROGRESS": ("▸", "cyan"),
    "PHASE_CLEARED": ("-", "dim"),
    "PHASE_PENDING": ("·", "dim"),
}
DIFF = {"TYPE_ADDED": ("+", "green"), "TYPE_REMOVED": ("-", "red"), "TYPE_UNCHANGED": (" ", "dim")}
MODES = {
    "STATE_SPEC_COMPLETE": "the specification is complete",
    "STATE_ONA_SPEC_COMPLETE": "the specification is complete",
    "STATE_ITERATION_COMPLETE": "an iteration is complete",
    "STATE_COMPLETE": "everything is complete",
}
ROLES = {"ROLE_PARENT": "the parent", "ROLE_CHILD": "sub-agent"}
Json = Mapping[str, Any]
Row = tuple[str, str]
"""A style ('' for none) and a text."""


class Plan:
    """The to-do list as it was shown last: whole at first, then what changed of it."""

    def __init__(self) -> None:
        self._known: dict[str, Row] = {}

    def whole(self, group: Json) -> list[Row]:
        """Return the rows of a list that differ from what was shown."""
        now = {str(todo.get("id", number)): _todo(todo) for number, todo in enumerate(_list(group, "todos"))}
        before, self._known = self._known, now
        changed = [row for id_, row in now.items() if before.get(id_) != row]
        gone = [("dim", row.replace(row.strip()[0], "-", 1)) for id_, (_, row) in before.items() if id_ not in now]
        return self._counted([*changed, *gone])

    def one(self, todo: Json) -> list[Row]:
        """Return the row of one entry, when it differs from what was shown."""
        id_, row = str(todo.get("id", "")), _todo(todo)
        if self._known.get(id_) == row:
            return []
        self._known[id_] = row
        return self._counted([row])

    def _counted(self, changed: list[Row]) -> list[Row]:
        done = sum(row.startswith("  ✓") for _, row in self._known.values())
        return [("", f"☰ to do: {done} of {len(self._known)} done"), *changed] if changed else []


def _todo(todo: Json) -> Row:
    mark, style = MARKS.get(str(todo.get("phase", "")), MARKS["PHASE_PENDING"])
    return style, f"  {mark} {line(str(todo.get('title', '')))}"


def change_rows(change: Json, most: int | None, width: int) -> list[Row]:
    """Return a change of a file: its name and place, and the lines that came and went."""
    diff: Json = change.get("diff", {})
    stats: Json = diff.get("stats", {})
    counts = f"+{stats.get('additions', 0)} -{stats.get('deletions', 0)}"
    at = int(change.get("startLine", 0))
    where = f":{at}" if at > 1 else ""
    rows = short_diff(_list(diff, "diffGroups"))
    shown = rows if most is None else rows[:most]
    more = [("dim", f"    … {len(rows) - len(shown)} more lines")] if len(rows) > len(shown) else []
    cut = [(style, f"    {row if most is None else fitting(row, width - 4)}") for style, row in shown]
    return [("yellow", f"± {line(str(change.get('filePath', '')))}{where} {counts}"), *cut, *more]


def short_diff(groups: Sequence[Json]) -> list[Row]:
    """Return (style, row) of the changed lines, each run with one unchanged line around it."""
    rows: list[Row] = []
    for number, group in enumerate(groups):
        kind, lines = group.get("type", ""), list(group.get("lines", []))
        if kind == "TYPE_UNCHANGED" and len(lines) > 2:
            before = lines[:1] if number else []
            after = lines[-1:] if number + 1 < len(groups) else []
            lines = [*before, *(["…"] if before and after else []), *after]
        mark, style = DIFF.get(kind, (" ", "dim"))
        rows += [(style, f"{mark} {clean(text).expandtabs(4)}".rstrip()) for text in map(str, lines)]
    return rows


def folded(rows: Sequence[str], most: int | None, width: int) -> list[str]:
    """Return rows with the middle folded and long ones cut; all as they are without `most`, uncut without `width`."""
    if most is None:
        return list(rows)
    if len(rows) > most + 1:
        head = most // 3
        rows = [*rows[:head], f"… {len(rows) - most} more lines", *rows[head - most :]]
    return [fitting(row, width) for row in rows] if width > 0 else list(rows)


def message(body: Json) -> str:
    """Return a message between executions in one row: who says it, and what."""
    who = ROLES.get(str(body.get("role", "")), "")
    sender = line(str(body.get("senderExecutionId", "")))[:13]
    end = " has ended" if body.get("type") == "TYPE_COMPLETE" else ""
    name = f"{who} {sender}".strip()
    said = "\n  ".join(folded(clean(str(body.get("payload", ""))).strip().split("\n"), FAILED_SHOWN, 0))
    return f"⇄ {name}{end}: {said}" if name or end else f"⇄ {said}"


def asked_rows(open_: Openness, body: Json, execution: str) -> list[Row]:
    """Return what a block asks of a person, with the command that answers it."""
    id_ = execution or "ID"
    if "hostAuthenticationRequired" in body:
        return [
            ("yellow", f"? the agent needs a credential for {open_.host}"),
            _how("give one with", f"hostler secret set {open_.host}"),
        ]
    rows: list[Row] = []
    if "clarifyingQuestions" in body:
        for question in open_.questions:
            rows.append(("yellow", f"? {question.text}"))
            rows += [_choice(number, one.label, one.text) for number, one in enumerate(question.choices, 1)]
            if question.other and question.choices:
                rows.append(("dim", "    or words of your own"))
        answers = " ".join("ANSWER" for _ in open_.questions)
        return [*rows, _how("answer with", f"hostler answer {id_} {answers}")]
    rows = [("cyan", "→ next steps"), *(_choice(n, one.title, one.prompt) for n, one in enumerate(open_.steps, 1))]
    return [*rows, _how("choose with", f"hostler answer {id_} NUMBER")]


def plain_row(body: Json) -> list[Row]:
    """Return a block that is told in a row or two; nothing for a kind that is not known."""
    match body:
        case {"environmentCreation": made}:
            return [("", f"▣ environment {line(str(made.get('environmentId', '')))} made")]
        case {"codeAnnotation": note}:
            first, last = int(note.get("startLine", 0)), int(note.get("endLine", 0))
            lines = f":{first}" + (f"-{last}" if last > first else "") if first else ""
            title = line(str(note.get("title", "")))
            said = [("", f"  {row}") for row in clean(str(note.get("description", ""))).strip().split("\n") if row]
            return [("yellow", f"✎ {line(str(note.get('filePath', '')))}{lines} {title}".rstrip()), *said]
        case {"agentModeChange": change}:
            said = line(str(change.get("message", "")))
            word = MODES.get(str(change.get("state", "")), "the mode changed")
            return [("cyan", f"◆ {word}{': ' + said if said else ''}")]
        case {"availableCommands": given}:
            names = ", ".join(f"/{line(str(one.get('name', ''))).lstrip('/')}" for one in _list(given, "commands"))
            return [("dim", f"  commands: {names}")] if names else []
        case _:
            return []


def _choice(number: int, label: str, text: str) -> Row:
    more = f" — {line(text)}" if text and line(text) != label else ""
    return "", f"    {number} {label}{more}"


def _how(what: str, command: str) -> Row:
    return "dim", f"    {what}: {command}"


def _list(body: Json, name: str) -> Sequence[Json]:
    found: Any = body.get(name)
    return cast("Sequence[Json]", found) if isinstance(found, list) else ()
