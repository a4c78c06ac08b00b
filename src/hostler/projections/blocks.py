"""The conversation as frames: what the live stream, and later the history and the page, are made of.

A frame is one message of the contract as JSON with its tag: 1 AgentResponseBlock, 2 UserInputBlock, 3 AgentMessage.
Block ids are uuids derived from the log, so that every reader, and every process, gives the same block the same id.
"""

import difflib
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hostler.core import events as ev
from hostler.core.conversation import Text, Thinking
from hostler.core.events import Recorded
from hostler.core.forge_events import CodeAnnotated, EnvironmentCreated, HostAuthenticationRequired
from hostler.core.judging_events import Judged
from hostler.core.memory_events import MemoryEvent
from hostler.core.modes_events import ModesEvent
from hostler.core.state import State, evolve
from hostler.projections.actions import intent
from hostler.projections.agent_blocks import agent_bodies
from hostler.projections.forge_blocks import forge_bodies
from hostler.projections.memory_blocks import memory_bodies
from hostler.projections.modes_blocks import mode_bodies
from hostler.projections.status import stamp

SPACE = uuid.UUID("6b1e2f0e-3f0b-5f57-9c1e-7c8f6a1d2b40")
HARNESS = "hostler"
"""The source of what Hostler itself says to an agent."""
RESULT_SHOWN = 4000
"""Characters of a result that its block shows; the log has what the model read, the blob has everything."""
COMPARED = 20_000
"""Pairs of lines of a change that are compared to show it line by line."""
TODO_PHASES = {"pending": "PHASE_PENDING", "in_progress": "PHASE_IN_PROGRESS", "done": "PHASE_DONE"}


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: its number in the execution (from 1), the seq of its event, its tag, its block's id, its JSON."""

    number: int
    seq: int
    tag: Literal[1, 2, 3]
    block: str
    body: Mapping[str, Any]


def block_id(*parts: object) -> str:
    """Return the uuid of a block named by `parts`, the execution's id first."""
    return str(uuid.uuid5(SPACE, "/".join(map(str, parts))))


class Framer:
    """Turns a log into frames, event by event, from its beginning."""

    def __init__(self, execution: str) -> None:
        self._execution = execution
        self._state = State()
        self._number = 0
        self._announced: set[str] = set()

    @property
    def state(self) -> State:
        """Return the state after the events fed so far."""
        return self._state

    def feed(self, recorded: Recorded) -> tuple[Frame, ...]:
        """Return the frames of one event."""
        before, self._state = self._state, evolve(self._state, recorded)
        frames: list[Frame] = []
        for tag, name, body in self._bodies(recorded, before):
            self._number += 1
            block = str(body.get("id") or block_id(self._execution, recorded.seq, name))
            whole = body if tag != 1 else {"id": block, "createdAt": stamp(recorded.at), **body}
            frames.append(Frame(self._number, recorded.seq, tag, block, whole))
        return tuple(frames)

    def _bodies(self, recorded: Recorded, before: State) -> Iterable[tuple[Literal[1, 2, 3], str, Mapping[str, Any]]]:
        match recorded.event:
            case ev.InputQueued(input_id, block, _, origin):
                if origin == "user":
                    yield 2, "input", {"createdAt": stamp(recorded.at), **block, "id": input_id}
                elif origin == "agent":
                    yield 3, "message", block
                elif origin == "harness":
                    given = {"createdAt": stamp(recorded.at), **block, "id": input_id, "metadata": {"source": HARNESS}}
                    yield 1, "harness", _done(userInput=given)
                if recorded.event.local:
                    yield 1, f"seen/{input_id}", _done(userInputSeen={"id": input_id})
            case ev.InputTaken(input_ids) if self._state.begun.agent.driver == "builtin":
                for input_id in input_ids:
                    yield 1, f"seen/{input_id}", _done(userInputSeen={"id": input_id})
            case ev.InputDeleted(input_id) | ev.InputDropped(input_id):
                yield 1, "deleted", _done(userInputDeleted={"id": input_id})
            case ev.ModelReplied():
                yield from self._said(recorded.event)
            case ev.ModelCallCut(_, said):
                for number, cut in enumerate(said):
                    yield 1, f"cut/{number}", {"id": cut.block, **_text(cut.text, thinking=cut.thinking)}
            case ev.ToolStarted(call_id, name, arguments):
                self._announced.add(call_id)
                yield (
                    1,
                    "started",
                    _done(actionStarted={"actionId": call_id, "intentDescription": intent(name, arguments)}),
                )
            case ev.ToolFinished():
                yield from self._finished(recorded.event, before)
            case ev.TodosSet(todos):
                for number, todo in _moved_on(before.todos, todos):
                    group = block_id(self._execution, "todos")
                    yield 1, f"todo/{number}", {"todoGroupId": group, **_done(todoItem=_todo(group, number, todo))}
                yield 1, "todos", self._todos(todos, recorded)
            case ev.NextStepsProposed(steps):
                actions = [{"title": step.title, "prompt": step.prompt} for step in steps]
                yield 1, "next", _done(nextStepsProposal={"actions": actions})
            case Judged(_, text):
                yield 1, "verdict", _done(thought={"content": f"The judge: {text}"})
            case event if isinstance(event, ModesEvent):
                for name, body in mode_bodies(event):
                    yield 1, name, body
            case event if isinstance(event, MemoryEvent):
                for name, body in memory_bodies(event, before.memory):
                    yield 1, name, body
            case CodeAnnotated() | EnvironmentCreated() | HostAuthenticationRequired():
                for name, body in forge_bodies(recorded.event, before.forge):
                    yield 1, name, body
            case event:
                for name, body in agent_bodies(event, before.external):
                    yield 1, name, body
        if [q.id for q in before.queue] != (queue := [q.id for q in self._state.queue]):
            yield 1, "queue", _done(userInputQueueUpdated={"queuedUserInputIds": queue})

    def _said(self, event: ev.ModelReplied) -> Iterable[tuple[Literal[1], str, Mapping[str, Any]]]:
        for number, part in enumerate(event.parts):
            if not isinstance(part, Text | Thinking) or not part.text:
                continue
            known = event.blocks[number] if number < len(event.blocks) else ""
            block = known or block_id(self._execution, event.call_id, number)
            if isinstance(part, Thinking) and not known:
                yield 1, f"part/{number}", {"id": block, **_done(thought={"content": part.text})}
                continue
            yield 1, f"part/{number}", {"id": block, **_text(part.text, thinking=isinstance(part, Thinking))}

    def _finished(self, event: ev.ToolFinished, before: State) -> Iterable[tuple[Literal[1], str, Mapping[str, Any]]]:
        tool = next((t for t in before.tools if t.id == event.call_id), None)
        if event.call_id not in self._announced:
            said = intent(tool.name, tool.arguments) if tool else "tool"
            yield 1, "started", _done(actionStarted={"actionId": event.call_id, "intentDescription": said})
        failed = event.outcome != "ok"
        text = event.text if len(event.text) <= RESULT_SHOWN else f"{event.text[:RESULT_SHOWN]}\n…"
        done = {"actionId": event.call_id, "resultDescription": text, **({"failed": True} if failed else {})}
        yield 1, "completed", _done(actionCompleted=done)
        if event.details and "file" in event.details and not failed:
            yield 1, "file", _done(fileModification=modification(event.call_id, event.details))

    def _todos(self, todos: Sequence[ev.Todo], recorded: Recorded) -> Mapping[str, Any]:
        group = block_id(self._execution, "todos")
        items = [_todo(group, number, todo) for number, todo in enumerate(todos)]
        return {
            "id": group,
            "phase": "PHASE_UPDATE",
            "todoGroup": {"groupId": group, "updatedAt": stamp(recorded.at), "todos": items},
        }


def _todo(group: str, number: int, todo: ev.Todo) -> Mapping[str, Any]:
    return {"id": block_id(group, number), "title": todo.title, "phase": TODO_PHASES[todo.state]}


def _moved_on(before: Sequence[ev.Todo], now: Sequence[ev.Todo]) -> Iterable[tuple[int, ev.Todo]]:
    """Yield what is in another state, where the list is otherwise the same."""
    if [todo.title for todo in before] == [todo.title for todo in now]:
        yield from ((number, todo) for number, todo in enumerate(now) if todo.state != before[number].state)


def frames(execution: str, log: Iterable[Recorded]) -> tuple[Frame, ...]:
    """Return all frames of a log that begins at seq 1."""
    framer = Framer(execution)
    return tuple(frame for recorded in log for frame in framer.feed(recorded))


def modification(action: str, details: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a write or an edit changed in one file, as a grouped diff."""
    old, new = str(details["old"]).splitlines(), str(details["new"]).splitlines()
    groups: list[dict[str, Any]] = []
    additions = deletions = 0
    for tag, i1, i2, j1, j2 in _opcodes(old, new):
        if tag == "equal":
            groups.append({"type": "TYPE_UNCHANGED", "lines": old[i1:i2]})
            continue
        if i2 > i1:
            groups.append({"type": "TYPE_REMOVED", "lines": old[i1:i2]})
            deletions += i2 - i1
        if j2 > j1:
            groups.append({"type": "TYPE_ADDED", "lines": new[j1:j2]})
            additions += j2 - j1
    return {
        "actionId": action,
        "filePath": details["file"],
        "startLine": details.get("line", 1),
        "diff": {"diffGroups": groups, "stats": {"additions": additions, "deletions": deletions}},
    }


def _opcodes(old: Sequence[str], new: Sequence[str]) -> Sequence[tuple[str, int, int, int, int]]:
    """Return what changed between two lists of lines; where comparing would take long, the middle changed whole."""
    head = 0
    while head < min(len(old), len(new)) and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    end_old, end_new = len(old) - tail, len(new) - tail
    middle = [("replace", 0, end_old - head, 0, end_new - head)]
    if (end_old - head) * (end_new - head) <= COMPARED:
        middle = difflib.SequenceMatcher(None, old[head:end_old], new[head:end_new], autojunk=False).get_opcodes()
    moved = [(tag, a + head, b + head, c + head, d + head) for tag, a, b, c, d in middle]
    around = (("equal", 0, head, 0, head), ("equal", end_old, len(old), end_new, len(new)))
    return [op for op in (around[0], *moved, around[1]) if op[2] > op[1] or op[4] > op[3]]


def _text(text: str, *, thinking: bool) -> Mapping[str, Any]:
    return _done(text={"type": "TYPE_THOUGHTS" if thinking else "TYPE_USER_FACING_OUTPUT", "content": text})


def _done(**output: Any) -> Mapping[str, Any]:
    return {"phase": "PHASE_COMPLETED", **output}
