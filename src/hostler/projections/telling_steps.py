"""Telling what the agent itself does: text, thoughts, actions with their results, files, to-dos, outputs."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from hostler.core import agent_events as ae
from hostler.core import events as ev
from hostler.core.conversation import ModelPart, Text, Thinking
from hostler.core.memory_events import ShellFinished
from hostler.projections import items
from hostler.projections.actions import intent
from hostler.projections.changes import counts, of_details
from hostler.projections.checks import check_of, inner
from hostler.projections.items import Action, FileChanged, Todos
from hostler.projections.telling import Telling

StepEvent = (
    ev.ModelCallStarted
    | ae.AgentCallStarted
    | ev.ModelReplied
    | ev.ModelCallCut
    | ev.ModelCallFailed
    | ev.ToolStarted
    | ev.ToolFinished
    | ev.TodosSet
    | ev.OutputsSet
    | ev.NextStepsProposed
)
SILENT = frozenset({"todo", "ask", "next_steps", "add_agent_execution_result"})
"""Tools whose effect is an item of its own; their call is shown only when it fails."""
FINISHES = {
    "length": "The reply was cut at the model's longest output.",
    "refused": "The model refused to answer.",
}


class StepTeller:
    """Follows the actions that run and the to-do list of the turn."""

    def __init__(self, telling: Telling) -> None:
        self._telling = telling
        self._open: dict[str, Action] = {}
        self._todos = (0, "")
        self._results: tuple[int, str, Mapping[str, ev.OutputScalar]] = (-1, "", {})
        self._retry = ""
        self._failures = 0
        self._proposed: tuple[str, tuple[ev.NextStep, ...]] | None = None

    @property
    def running(self) -> tuple[Action, ...]:
        """Return the actions that have not ended."""
        return tuple(self._open.values())

    def end(self) -> None:
        """Tell what was proposed for the time after the turn, which is over."""
        self._retry = ""
        if self._proposed:
            name, steps = self._proposed
            told = tuple(items.Step(step.title, step.prompt) for step in steps)
            self._telling.put(items.NextSteps(name, self._telling.turn, self._telling.at, told))
            self._proposed = None

    def tell(self, event: StepEvent) -> None:
        """Tell of a step."""
        match event:
            case ev.ModelReplied():
                self._replied(event)
            case ev.ModelCallCut(_, said):
                for number, cut in enumerate(said):
                    self.say(cut.text, cut.block, number, thinking=cut.thinking, cut=True)
            case ev.ModelCallFailed(_, message, retry_at):
                self._failed(message, event, again=retry_at is not None)
            case ev.ToolStarted(call_id, name, arguments):
                self.start(call_id, name, arguments)
            case ev.ToolFinished():
                self._finished(event)
            case ev.TodosSet(todos):
                self._plan(todos)
            case ev.OutputsSet(values):
                self._outputs(values)
            case ev.NextStepsProposed(steps):
                self._proposed = (self._telling.name("next"), steps)
            case ev.ModelCallStarted() | ae.AgentCallStarted():
                pass

    def _replied(self, event: ev.ModelReplied) -> None:
        if self._retry:
            old = self._telling.items[self._retry]
            said = f"The model answered at attempt {self._failures + 1}."
            self._telling.put(replace(cast("items.Note", old), text=said, tone="", until=None))
            self._retry = ""
        for number, part in enumerate(event.parts):
            self._part(part, event.blocks[number] if number < len(event.blocks) else "", number)
        if said := FINISHES.get(event.finish):
            self._telling.note("model", said, "bad")

    def _part(self, part: ModelPart, block: str, number: int) -> None:
        if isinstance(part, Text | Thinking):
            self.say(part.text, block, number, thinking=isinstance(part, Thinking))

    def say(self, text: str, block: str, number: int = 0, *, thinking: bool = False, cut: bool = False) -> None:
        """Tell of a text or a thought; `block` is the id under which it streamed."""
        if not text.strip():
            return
        name = f"block-{block}" if block else self._telling.name("said", number)
        kind = items.Thought if thinking else items.Text
        self._telling.put(kind(name, self._telling.turn, self._telling.at, text, block, cut))

    def _failed(self, message: str, event: ev.ModelCallFailed, *, again: bool) -> None:
        telling = self._telling
        name = self._retry or telling.name("retry")
        self._failures = self._failures + 1 if self._retry else 1
        if again:
            said = f"The model could not be called; attempt {self._failures + 1} follows."
            telling.put(items.Note(name, telling.turn, telling.at, "retry", said, "ask", message, event.retry_at))
            self._retry = name
            return
        said, tone = "The model could not be called.", "bad"
        if event.overflow:
            said, tone = "The conversation was too long for the model.", "ask"
        telling.put(items.Note(name, telling.turn, telling.at, "model", said, tone, message))
        self._retry = ""

    def start(self, call: str, name: str, arguments: str) -> None:
        """Tell that an action begins."""
        telling, given = self._telling, _object(arguments)
        command = str(given.get("command", "")) if name == "bash" else ""
        checks = dict.fromkeys(check for simple in inner(command) if (check := check_of(simple))) if command else {}
        who = given.get("agent")
        agent = who if isinstance(who, str) else ""
        action = Action(
            telling.name("action"),
            telling.turn,
            telling.at,
            call,
            name,
            intent(name, arguments).removeprefix(f"{agent}: "),
            command,
            arguments,
            check=", ".join(checks),
            agent=agent,
        )
        if call in self._open:
            action = replace(action, id=self._open[call].id, at=self._open[call].at)
        self._open[call] = action
        if name not in SILENT:
            telling.put(action)

    def _finished(self, event: ev.ToolFinished) -> None:
        if event.call_id not in self._open:
            tool = next((one for one in self._telling.before.tools if one.id == event.call_id), None)
            self.start(event.call_id, tool.name if tool else "tool", tool.arguments if tool else "")
        details = event.details or {}
        if event.outcome == "ok" and "file" in details:
            action = self._open.pop(event.call_id)
            hunks = of_details(details)
            kind = "update" if details.get("old") else ("add" if details.get("created", True) else "write")
            if "created" not in details:
                kind = "update"
            changed = (str(details["file"]), kind, hunks, "")
            self.changed(action, (changed,))
            return
        self.finish(event, output_bytes=event.output_bytes, blob=event.output)

    def finish(
        self, event: ev.ToolFinished | ae.ActionFinished | ShellFinished, *, output_bytes: int = 0, blob: str = ""
    ) -> None:
        """Tell how an action ended."""
        action = self._open.pop(event.item if isinstance(event, ae.ActionFinished) else event.call_id, None)
        if action is None:
            return
        done = replace(
            action,
            state=event.outcome,
            ended_at=self._telling.at,
            exit_code=event.exit_code,
            output=event.text,
            output_bytes=output_bytes or len(event.text.encode()),
            blob=blob,
        )
        if action.tool not in SILENT or event.outcome != "ok":
            self._telling.put(done)

    def action(self, call: str) -> Action | None:
        """Return an action that runs."""
        return self._open.get(call)

    def forget(self, call: str) -> None:
        """Take an action as ended; what it did is told by other items."""
        self._open.pop(call, None)

    def changed(self, action: Action, changes: tuple[tuple[str, str, Any, str], ...]) -> None:
        """Tell what an action changed in files, as (path, kind, hunks, moved from): the first takes its place."""
        telling = self._telling
        for number, (path, kind, hunks, moved) in enumerate(changes):
            name = telling.name("file", number) if number else action.id
            added, removed = counts(hunks)
            telling.put(
                FileChanged(
                    name, action.turn, telling.at, action.call, path, cast("Any", kind), hunks, added, removed, moved
                )
            )

    def _outputs(self, values: Mapping[str, ev.OutputScalar]) -> None:
        """Tell the results that were set in this turn, in one note."""
        turn, name, known = self._results
        if turn != self._telling.turn:
            name, known = self._telling.name("outputs"), {}
        known = {**known, **values}
        self._results = (self._telling.turn, name, known)
        said = ", ".join(f"{key} = {value}" for key, value in known.items())
        self._telling.note("outputs", f"Result set: {said}", item=name)

    def _plan(self, todos: tuple[ev.Todo, ...]) -> None:
        telling = self._telling
        turn, name = self._todos
        if not name or turn != telling.turn:
            name = telling.name("todos")
            self._todos = (telling.turn, name)
        telling.put(Todos(name, telling.turn, telling.at, todos))


def _object(arguments: str) -> Mapping[str, Any]:
    try:
        found: Any = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}
