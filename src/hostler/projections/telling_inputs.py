"""Telling what people and other executions said, and what became of it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from hostler.core import agent_events as ae
from hostler.core import events as ev
from hostler.core.asking import in_words
from hostler.core.external import OpenAsk
from hostler.projections.items import AgentMessage, InputState, NextSteps, Picture, UserInput
from hostler.projections.telling import Telling

InputEvent = ev.InputQueued | ev.InputTaken | ev.InputDeleted | ev.InputDropped | ae.InputSeen


class InputTeller:
    """Inputs wait outside the conversation, in the queue, and come into it when the agent takes them."""

    def __init__(self, telling: Telling, *, pictures: bool) -> None:
        self._pictures = pictures
        self._telling = telling
        self._waiting: dict[str, UserInput | AgentMessage] = {}
        self._items: dict[str, str] = {}
        self._said: dict[str, str] = {}
        self.answered: dict[str, str] = {}
        """The input that answered questions, by their ask."""

    @property
    def waiting(self) -> Mapping[str, UserInput | AgentMessage]:
        """Return what was queued and not taken, by its input's id."""
        return self._waiting

    def said(self, input_id: str) -> str:
        """Return the text of an input that was taken, as it was sent; empty when there is none."""
        return self._said.get(input_id, "")

    def tell(self, event: InputEvent) -> None:
        """Tell of an input."""
        match event:
            case ev.InputQueued(input_id) if event.local:
                self._items[input_id] = self._telling.name("input")
                self._telling.put(replace(self._read(event), state="seen"))
            case ev.InputQueued(_, block, _, "harness"):
                text = parts_of(block)[0].strip()
                first = text.partition("\n")[0]
                self._telling.note("harness", f"Hostler to the agent: {first}", "", text if text != first else "")
            case ev.InputQueued(input_id, _, _, origin) if origin != "wake":
                self._waiting[input_id] = self._read(event)
            case ev.InputTaken(input_ids):
                steered = {queued.id for queued in self._telling.before.queue if queued.steer}
                for input_id in input_ids:
                    self._take(input_id, steered=input_id in steered)
            case ev.InputDeleted(input_id):
                self._unread(input_id, "deleted")
            case ev.InputDropped(input_id):
                self._unread(input_id, "dropped")
            case ae.InputSeen(input_id):
                self.seen(input_id)
            case _:
                pass

    def seen(self, input_id: str) -> None:
        """Tell that the agent has read an input."""
        if input_id in self._items:
            self._telling.change(self._items[input_id], state="seen")

    def _read(self, event: ev.InputQueued) -> UserInput | AgentMessage:
        telling, block = self._telling, event.block
        name = telling.name("input")
        if event.origin == "agent":
            return message_of(name, telling.turn, telling.at, event.input_id, block)
        said = input_of(name, telling.turn, telling.at, event.input_id, block)
        return said if self._pictures else replace(said, pictures=tuple(Picture(p.mime_type) for p in said.pictures))

    def _take(self, input_id: str, *, steered: bool) -> None:
        waiting = self._waiting.pop(input_id, None)
        if waiting is None:
            return
        telling = self._telling
        state: InputState = "seen" if telling.state.begun.agent.driver == "builtin" else "sent"
        taken = replace(waiting, turn=telling.turn, at=telling.at, state=state)
        if isinstance(taken, UserInput):
            asked = self._asked(input_id)
            self._choose(taken.text)
            text = in_words(asked.questions, taken.text) if asked else taken.text
            taken = replace(taken, steered=steered, answers=asked is not None, text=text)
            self._said[input_id] = waiting.text
        self._items[input_id] = taken.id
        telling.put(taken)

    def _asked(self, input_id: str) -> OpenAsk | None:
        """Return the questions that an input answers, if any; the next input answers the next ones."""
        open_ = (ask for ask in self._telling.before.external.asks if not ask.answer and ask.ask not in self.answered)
        asked = next(open_, None)
        if asked:
            self.answered[asked.ask] = input_id
        return asked

    def _choose(self, text: str) -> None:
        """Close proposals of next steps: one was chosen, or something else was said."""
        for item in tuple(self._telling.items.values()):
            if isinstance(item, NextSteps) and item.state == "open":
                chosen = next((n for n, step in enumerate(item.steps) if step.prompt.strip() == text.strip()), -1)
                self._telling.change(item.id, state="chosen" if chosen >= 0 else "past", chosen=chosen)

    def _unread(self, input_id: str, state: InputState) -> None:
        waiting = self._waiting.pop(input_id, None)
        if waiting is not None:
            self._items[input_id] = waiting.id
            self._telling.put(replace(waiting, turn=self._telling.turn, at=self._telling.at, state=state))


def input_of(name: str, turn: int, at: datetime, input_id: str, block: Mapping[str, Any]) -> UserInput:
    """Return a UserInputBlock as an item that waits."""
    text, pictures = parts_of(block)
    metadata: Mapping[str, Any] = block.get("metadata") or {}
    source = str(metadata.get("source", ""))
    return UserInput(name, turn, at, input_id, text, pictures, "queued", source=source, through=through(source))


def through(source: str) -> str:
    """Return who sent an input through a share, as its source (`share:ID NAME`) tells; empty for everybody else."""
    if not source.startswith("share:"):
        return ""
    return f"visitor {source.partition(' ')[2]}".strip()


def message_of(name: str, turn: int, at: datetime, input_id: str, block: Mapping[str, Any]) -> AgentMessage:
    """Return an AgentMessage as an item that waits."""
    role = "parent" if block.get("role") == "ROLE_PARENT" else ("child" if block.get("role") == "ROLE_CHILD" else "")
    sender, last = str(block.get("senderExecutionId", "")), block.get("type") == "TYPE_COMPLETE"
    return AgentMessage(name, turn, at, input_id, str(block.get("payload", "")), role, sender, last, "queued")


def parts_of(block: Mapping[str, Any]) -> tuple[str, tuple[Picture, ...]]:
    """Return the text and the images of a UserInputBlock, whichever of its forms it has."""
    parts: Sequence[Mapping[str, Any]] = block.get("inputs") or [block]
    texts = [str(part["text"].get("content", "")) for part in parts if "text" in part]
    images = [part["image"] for part in parts if "image" in part]
    pictures = (
        Picture(str(one.get("mimeType", "")), str(one.get("data", "")), str(one.get("dataRef", ""))) for one in images
    )
    return "\n\n".join(texts), tuple(pictures)
