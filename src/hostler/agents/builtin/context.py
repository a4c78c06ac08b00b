"""The model's context, made anew from the log before every call: each tool call has exactly one result in it."""

from collections.abc import Iterable, Sequence
from typing import Any

from hostler.agents.builtin.prompts import system
from hostler.core import agent_events as ae
from hostler.core import events as ev
from hostler.core.agents import Question
from hostler.core.asking import in_words
from hostler.core.conversation import (
    Image,
    Message,
    ModelMessage,
    ModelRequest,
    ToolCall,
    ToolResult,
    ToolSpec,
    UserMessage,
    UserPart,
)
from hostler.core.conversation import Text as Said
from hostler.core.events import Recorded
from hostler.core.plan import UNKNOWN_TEXT
from hostler.core.state import State


class Context:
    """Follows a log and knows at every point of it what the model is told next."""

    def __init__(self) -> None:
        self.instructions = ""
        """The repository's AGENTS.md."""
        self.closed: list[Message] = []
        """Messages that every later call begins with; it only grows."""
        self._inputs: dict[str, ev.InputQueued] = {}
        self._asked: dict[str, ToolCall] = {}
        self._results: dict[str, ToolResult] = {}
        self._heard: list[UserPart] = []
        self._questions: list[Question] = []

    def feed(self, recorded: Recorded) -> None:
        """Take one more event."""
        match recorded.event:
            case ev.EnvironmentReady(instructions=text):
                self.instructions = text or self.instructions
            case ev.InputQueued(input_id):
                self._inputs[input_id] = recorded.event
            case ae.QuestionsAsked(_, questions):
                self._questions.extend(questions)
            case ev.Stopped():
                self._questions.clear()
            case ev.InputTaken(input_ids):
                self._take(input_ids)
            case ev.ModelReplied(call_id, said, _, _, native):
                self._answer(ModelMessage(said, native))
                calls = [part for part in said if isinstance(part, ToolCall)]
                self._asked.update({f"{call_id}.{number}": call for number, call in enumerate(calls)})
            case ev.ModelCallCut(_, said, again) if not again:
                if text := "\n".join(cut.text for cut in said if not cut.thinking):
                    self._answer(ModelMessage((Said(f"{text}\n[stopped here]"),)))
            case ev.ToolFinished(call_id, outcome, text):
                if call := self._asked.get(call_id):
                    self._results[call_id] = ToolResult(call.id, call.name, text, failed=outcome != "ok")
            case _:
                pass

    def pending(self) -> UserMessage | None:
        """Return what the model hears next: results in the order of the calls, then what people said."""
        if not self._asked and not self._heard:
            return None
        ordered = tuple(self._results.get(i) or _unanswered(call) for i, call in self._asked.items())
        return UserMessage(ordered, tuple(self._heard))

    def _take(self, input_ids: Sequence[str]) -> None:
        """Hear inputs; a person's answers the questions that are open."""
        inputs = [self._inputs[input_id] for input_id in input_ids]
        for queued in inputs:
            self._heard.extend(parts(queued, self._questions))
        if any(queued.origin == "user" for queued in inputs):
            self._questions.clear()

    def _answer(self, message: ModelMessage) -> None:
        if heard := self.pending():
            self.closed.append(heard)
        self.closed.append(message)
        self._asked.clear()
        self._results.clear()
        self._heard.clear()


def request(state: State, log: Iterable[Recorded], tools: Sequence[ToolSpec]) -> ModelRequest:
    """Return the next call: everything the model has said and heard so far."""
    context = Context()
    for recorded in log:
        context.feed(recorded)
    heard = context.pending()
    messages = (*context.closed, *((heard,) if heard else ()))
    effort: Any = state.begun.agent.effort
    return ModelRequest(system(state.begun.agent, context.instructions), messages, tuple(tools), effort)


def _unanswered(call: ToolCall) -> ToolResult:
    return ToolResult(call.id, call.name, UNKNOWN_TEXT, failed=True)


def parts(queued: ev.InputQueued, questions: Sequence[Question] = ()) -> list[UserPart]:
    """Return an input's content as the model hears it; the three forms of the contract come to the same.

    What answers `questions` by their ids is put into words.
    """
    block = queued.block
    if queued.origin == "agent":
        return [Said(f"[message from another agent]\n{block.get('payload', '')}")]
    said: list[UserPart] = []
    for one in (*block.get("inputs", ()), block):
        if "text" in one:
            said.append(Said(in_words(questions, str(one["text"]["content"]))))
        elif "image" in one:
            said.append(Image(str(one["image"]["data"]), str(one["image"].get("mimeType", "image/png"))))
    return said
