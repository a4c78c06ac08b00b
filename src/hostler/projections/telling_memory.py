"""Telling what became of the context, and of what people type for Hostler itself."""

import json

from hostler.core import memory_events as m
from hostler.projections.items import Commands, Text
from hostler.projections.memory_blocks import compaction
from hostler.projections.telling import Telling
from hostler.projections.telling_steps import StepTeller


class MemoryTeller:
    """A compaction is one note, which changes when it is done; a command that a person typed is an action."""

    def __init__(self, telling: Telling, steps: StepTeller) -> None:
        self._telling = telling
        self._steps = steps

    def tell(self, event: m.MemoryEvent) -> None:
        """Tell of an event."""
        telling = self._telling
        match event:
            case m.CompactionStarted(id_):
                telling.note("compacted", "The conversation is being shortened.", item=f"compaction-{id_}")
            case m.ContextCompacted(id_, problem=problem):
                tone = "ask" if event.truncated else ""
                telling.note("compacted", compaction(event), tone, problem, item=f"compaction-{id_}")
            case m.ContextCleared():
                telling.note("cleared", "The context was cleared: the model remembers nothing of what was said before.")
            case m.CommandsAnnounced(commands):
                listed = tuple((one.name, one.description) for one in commands)
                telling.put(Commands(telling.name("commands"), telling.turn, telling.at, listed))
            case m.Answered(_, text):
                telling.put(Text(telling.name("answer"), telling.turn, telling.at, text, ""))
            case m.ShellStarted(call_id):
                self._start(call_id)
            case m.ShellFinished():
                self._finish(event)

    def _start(self, call_id: str) -> None:
        typed = next((one.command for one in self._telling.before.memory.shells if one.call_id == call_id), "")
        self._steps.start(call_id, "bash", json.dumps({"command": typed}))

    def _finish(self, event: m.ShellFinished) -> None:
        if self._steps.action(event.call_id) is None:
            self._start(event.call_id)
        self._steps.finish(event, output_bytes=event.output_bytes, blob=event.output)
