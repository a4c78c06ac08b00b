"""What an agent that lives in the environment did, as bodies of response blocks."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from unidiff.errors import UnidiffParseError
from unidiff.patch import PatchSet

from hostler.core import agent_events as ae
from hostler.core.agents import FileChange, Question
from hostler.core.events import Event
from hostler.core.external import External
from hostler.projections.actions import intent

Body = tuple[str, Mapping[str, Any]]
"""A name that is unique within the event, and the block without its id and time."""
RESULT_SHOWN = 4000
"""Characters of a result that its block shows; the log has all that was kept of it."""
LINES = {" ": "TYPE_UNCHANGED", "-": "TYPE_REMOVED", "+": "TYPE_ADDED"}
MOST_CHOICES = 6
OPEN_CHOICES: tuple[Mapping[str, Any], ...] = (
    {"label": "Decide yourself", "text": "Decide yourself.", "description": "The agent does what it thinks best."},
    {"label": "Skip this", "text": "Skip this; go on without it.", "description": "It is left open."},
)
"""What a question in the open has on offer for clients that must have choices; any words answer it as well."""


def agent_bodies(event: Event, before: External) -> Iterable[Body]:
    """Yield the blocks of an event of such an agent; most kinds have none."""
    match event:
        case ae.InputSeen(input_id) if any(given.id == input_id for given in before.given):
            yield f"seen/{input_id}", done(userInputSeen={"id": input_id})
        case ae.AgentSaid(_, text, True, "") if text:
            yield "said", done(thought={"content": text})
        case ae.AgentSaid(_, text, thinking, block) if text:
            kind = "TYPE_THOUGHTS" if thinking else "TYPE_USER_FACING_OUTPUT"
            yield "said", {**({"id": block} if block else {}), **done(text={"type": kind, "content": text})}
        case ae.ActionStarted(item, name, arguments):
            yield "started", done(actionStarted={"actionId": item, "intentDescription": intent(name, arguments)})
        case ae.ActionFinished():
            yield from _finished(event, before)
        case ae.FilesChanged(item, changes):
            for number, change in enumerate(changes):
                yield f"file/{number}", done(fileModification=file_modification(item, change))
        case ae.QuestionsAsked(_, questions):
            yield "questions", done(clarifyingQuestions={"questions": [_question(one) for one in questions]})
        case ae.QuestionsClosed(ask):
            for answer in {one.answer for one in before.asks if one.ask == ask and one.answer}:
                yield f"seen/{answer}", done(userInputSeen={"id": answer})
        case _:
            pass


def done(**output: Any) -> Mapping[str, Any]:
    """Return a body that will not change any more."""
    return {"phase": "PHASE_COMPLETED", **output}


def shown(text: str) -> str:
    """Return as much of a result as its block shows."""
    return text if len(text) <= RESULT_SHOWN else f"{text[:RESULT_SHOWN]}\n…"


def _finished(event: ae.ActionFinished, before: External) -> Iterator[Body]:
    if all(action.item != event.item for action in before.actions):
        yield "started", done(actionStarted={"actionId": event.item, "intentDescription": "action"})
    failed = {"failed": True} if event.outcome != "ok" else {}
    result = {"actionId": event.item, "resultDescription": shown(event.text), **failed}
    yield "completed", done(actionCompleted=result)


def _question(question: Question) -> Mapping[str, Any]:
    """Return a question; the contract knows two to six choices, so a question in the open gets two, the rest words."""
    choices = [
        {"label": choice.label, "text": choice.text or choice.label, "description": choice.description}
        for choice in question.choices
    ]
    said: dict[str, Any] = {"questionId": question.id, "question": question.text, "allowOther": question.other}
    if 2 <= len(choices) <= MOST_CHOICES:
        return {**said, "choices": choices}
    more = "".join(f"\n- {choice.label}" for choice in question.choices[MOST_CHOICES:])
    filled = choices[:MOST_CHOICES] or [dict(choice) for choice in OPEN_CHOICES]
    filled = filled if len(filled) > 1 else [*filled, dict(OPEN_CHOICES[0])]
    return {**said, "question": question.text + more, "choices": filled, "allowOther": True}


def file_modification(action: str, change: FileChange) -> Mapping[str, Any]:
    """Return what an agent changed in one file, as a grouped diff."""
    groups: list[dict[str, Any]] = []
    start = 1
    for number, (kind, line, at) in enumerate(_lines(change)):
        start = at if number == 0 else start
        if not groups or groups[-1]["type"] != kind:
            groups.append({"type": kind, "lines": []})
        groups[-1]["lines"].append(line)
    stats = {
        "additions": sum(len(group["lines"]) for group in groups if group["type"] == "TYPE_ADDED"),
        "deletions": sum(len(group["lines"]) for group in groups if group["type"] == "TYPE_REMOVED"),
    }
    path = change.moved_to or change.path
    return {"actionId": action, "filePath": path, "startLine": start, "diff": {"diffGroups": groups, "stats": stats}}


def _lines(change: FileChange) -> Iterator[tuple[str, str, int]]:
    """Yield (type, line, its number in the file) for what a change shows."""
    if change.kind in ("add", "delete") and not change.diff.startswith(("@@", "--- ")):
        kind = "TYPE_ADDED" if change.kind == "add" else "TYPE_REMOVED"
        for number, line in enumerate(change.diff.splitlines(), 1):
            yield kind, line, number
        return
    head = "" if change.diff.startswith("--- ") else f"--- a/{change.path}\n+++ b/{change.path}\n"
    try:
        patch = PatchSet(head + change.diff)
    except UnidiffParseError:
        for number, line in enumerate(change.diff.splitlines(), 1):
            yield LINES.get(line[:1], "TYPE_UNCHANGED"), line[1:], number
        return
    for file in patch:
        for hunk in file:
            for line in hunk:
                if line.line_type in LINES:
                    yield LINES[line.line_type], line.value.rstrip("\n"), line.target_line_no or hunk.target_start
