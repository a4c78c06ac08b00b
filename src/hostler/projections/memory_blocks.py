"""A context that is compacted or cleared, announced commands, and what people type for Hostler, as response blocks."""

import json
from collections.abc import Iterable
from typing import Any

from hostler.core import events as ev
from hostler.core import memory_events as m
from hostler.core.memory import Memory
from hostler.projections.actions import intent
from hostler.projections.agent_blocks import Body, done, shown


def memory_bodies(event: ev.Event, before: Memory) -> Iterable[Body]:
    """Yield the blocks of an event."""
    match event:
        case m.CompactionStarted(id_):
            yield "started", done(actionStarted={"actionId": id_, "intentDescription": "shorten the conversation"})
        case m.ContextCompacted(id_):
            yield "completed", done(actionCompleted={"actionId": id_, "resultDescription": compaction(event)})
        case m.ContextCleared():
            yield "cleared", _said("The context was cleared: the model remembers nothing of what was said before.")
        case m.CommandsAnnounced(commands):
            listed = [{"name": one.name, "description": one.description} for one in commands]
            yield "commands", done(availableCommands={"commands": listed})
        case m.Answered(_, text):
            yield "answered", _said(text)
        case m.ShellStarted(call_id):
            yield "started", _started(call_id, before)
        case m.ShellFinished(call_id, outcome, text):
            if all(one.incarnation == "" for one in before.shells if one.call_id == call_id):
                yield "started", _started(call_id, before)
            failed = {"failed": True} if outcome != "ok" else {}
            result = {"actionId": call_id, "resultDescription": shown(text), **failed}
            yield "completed", done(actionCompleted=result)
        case _:
            pass


def compaction(event: m.ContextCompacted) -> str:
    """Return in a sentence what a compaction came to."""
    how = "without a summary" if event.truncated else "to a summary and the last steps"
    return f"The conversation was shortened {how}: some {event.before:,} tokens became {event.tokens:,}."


def _said(text: str) -> Any:
    return done(text={"type": "TYPE_USER_FACING_OUTPUT", "content": text})


def _started(call_id: str, before: Memory) -> Any:
    command = next((one.command for one in before.shells if one.call_id == call_id), "")
    said = intent("bash", json.dumps({"command": command}))
    return done(actionStarted={"actionId": call_id, "intentDescription": said})
