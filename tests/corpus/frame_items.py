"""Items made of frames: every kind of block that the contract has, also those that no event of the log makes yet."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

from hostler.core.agents import Choice, Question
from hostler.core.events import Todo
from hostler.projections import items
from hostler.projections.changes import counts, of_frame
from hostler.projections.items import AnyItem
from hostler.projections.telling_inputs import input_of, message_of

Body = Mapping[str, Any]
TODOS: Mapping[str, Literal["pending", "in_progress", "done"]] = {
    "PHASE_DONE": "done",
    "PHASE_IN_PROGRESS": "in_progress",
}


def items_of(tag: int, body: Body, at: datetime, turn: int = 0) -> tuple[AnyItem, ...]:
    """Return what one frame shows: the block is the contract's JSON. Most show one item; the queue's news show none."""
    name = f"frame-{body.get('id', 'without-id')}"
    if tag == 2:
        return (_input(name, body, at, turn),)
    if tag == 3:
        return (_message(name, body, at, turn),)
    known = next((kind for kind in _WAYS if kind in body), "")
    found = _WAYS[known](name, body[known], at, turn) if known else None
    return (found,) if found else ()


def _input(name: str, body: Body, at: datetime, turn: int) -> AnyItem:
    return replace(input_of(name, turn, at, str(body.get("id", "")), body), state="seen")


def _message(name: str, body: Body, at: datetime, turn: int) -> AnyItem:
    return replace(message_of(name, turn, at, "", body), state="seen")


def _text(name: str, one: Body, at: datetime, turn: int) -> AnyItem:
    kind = items.Thought if one.get("type") == "TYPE_THOUGHTS" else items.Text
    return kind(name, turn, at, str(one.get("content", "")))


def _started(name: str, one: Body, at: datetime, turn: int) -> AnyItem:
    return items.Action(name, turn, at, str(one.get("actionId", "")), "", str(one.get("intentDescription", "")))


def _completed(name: str, one: Body, at: datetime, turn: int) -> AnyItem:
    output = str(one.get("resultDescription", ""))
    return items.Action(
        name,
        turn,
        at,
        str(one.get("actionId", "")),
        "",
        "Action",
        state="failed" if one.get("failed") else "ok",
        ended_at=at,
        output=output,
        output_bytes=len(output.encode()),
    )


def _file(name: str, one: Body, at: datetime, turn: int) -> AnyItem:
    hunks = of_frame(one)
    call, path = str(one.get("actionId", "")), str(one.get("filePath", ""))
    return items.FileChanged(name, turn, at, call, path, "update", hunks, *counts(hunks))


def _todo_group(name: str, one: Body, at: datetime, turn: int) -> AnyItem:
    return items.Todos(name, turn, at, tuple(_todo(todo) for todo in one.get("todos", ())))


def _todo_item(name: str, one: Body, at: datetime, turn: int) -> AnyItem:
    return items.Todos(name, turn, at, (_todo(one),))


def _todo(one: Body) -> Todo:
    return Todo(str(one.get("title", "")), TODOS.get(str(one.get("phase", "")), "pending"))


def _questions(name: str, one: Body, at: datetime, turn: int) -> AnyItem:
    asked: Sequence[Body] = one.get("questions", ())
    return items.Questions(name, turn, at, name, tuple(_question(question) for question in asked))


def _question(one: Body) -> Question:
    choices = tuple(
        Choice(str(each.get("label", "")), str(each.get("text", "")), str(each.get("description", "")))
        for each in one.get("choices", ())
    )
    other = bool(one.get("allowOther")) or not choices
    return Question(str(one.get("questionId", "")), str(one.get("question", "")), choices, other)


def _next_steps(name: str, one: Body, at: datetime, turn: int) -> AnyItem:
    steps = (items.Step(str(each.get("title", "")), str(each.get("prompt", ""))) for each in one.get("actions", ()))
    return items.NextSteps(name, turn, at, tuple(steps))


def _annotation(name: str, one: Body, at: datetime, turn: int) -> AnyItem:
    start = int(one.get("startLine", 0))
    end, path = int(one.get("endLine", 0)) or start, str(one.get("filePath", ""))
    return items.CodeAnnotation(
        name, turn, at, path, start, end, str(one.get("title", "")), str(one.get("description", ""))
    )


def _mode(name: str, one: Body, at: datetime, turn: int) -> AnyItem:
    milestone = str(one.get("state", "")).removeprefix("STATE_").lower()
    return items.ModeChange(name, turn, at, milestone, str(one.get("message", "")))


def _commands(name: str, one: Body, at: datetime, turn: int) -> AnyItem:
    told = tuple((str(each.get("name", "")), str(each.get("description", ""))) for each in one.get("commands", ()))
    return items.Commands(name, turn, at, told)


def _deleted(name: str, one: Body, at: datetime, turn: int) -> AnyItem:
    return items.Note(name, turn, at, "unread", "A queued message was taken away unread.")


def _nothing(name: str, one: Body, at: datetime, turn: int) -> None:
    return None


_WAYS: Mapping[str, Callable[[str, Body, datetime, int], AnyItem | None]] = {
    "userInputSeen": _nothing,
    "userInputQueueUpdated": _nothing,
    "userInput": _input,
    "text": _text,
    "userInputDeleted": _deleted,
    "actionStarted": _started,
    "actionCompleted": _completed,
    "fileModification": _file,
    "environmentCreation": lambda name, one, at, turn: items.EnvironmentMade(
        name, turn, at, str(one.get("environmentId", ""))
    ),
    "codeAnnotation": _annotation,
    "hostAuthenticationRequired": lambda name, one, at, turn: items.HostAuthentication(
        name, turn, at, str(one.get("host", ""))
    ),
    "todoGroup": _todo_group,
    "todoItem": _todo_item,
    "thought": lambda name, one, at, turn: items.Thought(name, turn, at, str(one.get("content", ""))),
    "agentModeChange": _mode,
    "clarifyingQuestions": _questions,
    "nextStepsProposal": _next_steps,
    "availableCommands": _commands,
}
