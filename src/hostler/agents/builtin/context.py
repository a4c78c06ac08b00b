"""The model's context, made anew from the log before every call: each tool call has exactly one result in it."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from hostler.agents.builtin import shortening
from hostler.agents.builtin.prompts import system
from hostler.agents.builtin.shortening import Kept
from hostler.core import agent_events as ae
from hostler.core import events as ev
from hostler.core import forge
from hostler.core import memory_events as m
from hostler.core.agents import Question
from hostler.core.approvals_events import ApprovalGiven
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
from hostler.core.forge_events import PullRequestGiven
from hostler.core.memory import command_in, shell_id
from hostler.core.plan import UNKNOWN_TEXT
from hostler.core.state import State


class Context:
    """Follows a log and knows at every point of it what the model is told next."""

    def __init__(self) -> None:
        self.instructions = ""
        """The repository's AGENTS.md."""
        self.skills: tuple[m.Skill, ...] = ()
        self.pull = ""
        """What is told of the pull request that it was started with."""
        self.closed: list[Message] = []
        """Messages that every later call begins with; it only grows until it begins anew."""
        self.renewed = 0
        """How often the context began anew."""
        self.summary = ""
        """What the last compaction left."""
        self.said: list[shortening.Said] = []
        """All that the agent was told since the context was empty."""
        self.todos: tuple[ev.Todo, ...] = ()
        self.goal = ""
        self._seqs: list[int] = []
        self._inputs: dict[str, ev.InputQueued] = {}
        self._shells: dict[str, str] = {}
        self._asked: dict[str, ToolCall] = {}
        self._results: dict[str, ToolResult] = {}
        self._heard: list[UserPart] = []
        self._questions: list[Question] = []
        self._words: set[str] = set()
        """Inputs that were a person's word on a call; the model reads the call's result."""
        self._seq = 0

    def feed(self, recorded: Recorded) -> None:
        """Take one more event."""
        self._seq = recorded.seq
        match recorded.event:
            case ev.EnvironmentReady(instructions=text, skills=skills):
                self.instructions, self.skills = text or self.instructions, skills
            case ev.InputQueued(input_id, block, local="shell"):
                self._shells[shell_id(input_id)] = command_in(block)
            case ev.InputQueued(input_id):
                self._inputs[input_id] = recorded.event
            case ae.QuestionsAsked(_, questions):
                self._questions.extend(questions)
            case ev.Stopped() | ae.QuestionsClosed():
                self._questions.clear()
            case ApprovalGiven(answer=answer) if answer:
                self._words.add(answer)
            case ev.InputTaken(input_ids):
                self._take([one for one in input_ids if one not in self._words])
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
            case event:
                self._remember(event)

    def _remember(self, event: ev.Event) -> None:
        """Take an event that changes what is remembered."""
        match event:
            case m.ContextCompacted():
                self.compact(event)
            case m.ContextCleared():
                self._questions.clear()
                self._begin_anew()
                self.said.clear()
                self.summary = ""
            case m.ShellFinished(call_id, outcome, text):
                self._hear([Said(typed(self._shells.get(call_id, ""), outcome, text))])
            case PullRequestGiven():
                self.pull = forge.told(event)
            case ev.TodosSet(todos):
                self.todos = todos
            case ae.GoalChanged(goal):
                self.goal = goal.objective if goal and goal.status != "completed" else ""
            case _:
                pass

    def pending(self) -> UserMessage | None:
        """Return what the model hears next: results in the order of the calls, then what people said."""
        if not self._asked and not self._heard:
            return None
        ordered = tuple(self._results.get(i) or _unanswered(call) for i, call in self._asked.items())
        return UserMessage(ordered, tuple(self._heard))

    def messages(self) -> tuple[Message, ...]:
        """Return the messages of the next call."""
        heard = self.pending()
        return (*self.closed, *((heard,) if heard else ()))

    def replies(self) -> list[tuple[int, Sequence[Message]]]:
        """Return, last first, where each reply stands in the log, and all messages of the next call from it on."""
        messages, places = self.messages(), list(enumerate(self._seqs))
        return [(seq, messages[n:]) for n, seq in reversed(places) if isinstance(messages[n], ModelMessage)]

    def _take(self, input_ids: Sequence[str]) -> None:
        """Hear inputs; a person's answers the questions that are open."""
        inputs = [self._inputs[input_id] for input_id in input_ids]
        for queued in inputs:
            self._hear(parts(queued, self._questions))
        if any(queued.origin == "user" for queued in inputs):
            self._questions.clear()

    def _hear(self, said: Sequence[UserPart]) -> None:
        self._heard.extend(said)
        text = "\n".join(part.text if isinstance(part, Said) else "[a picture]" for part in said)
        self.said.append(shortening.Said(self._seq, text))

    def _answer(self, message: ModelMessage) -> None:
        if heard := self.pending():
            self._close(heard)
        self._close(message)
        self._asked.clear()
        self._results.clear()
        self._heard.clear()

    def _close(self, message: Message) -> None:
        self.closed.append(message)
        self._seqs.append(self._seq)

    def _begin_anew(self) -> None:
        self.closed, self._seqs = [], []
        self.renewed += 1
        self._asked.clear()
        self._results.clear()
        self._heard.clear()

    def compact(self, event: m.ContextCompacted) -> None:
        """Begin anew with what the event leaves; a call whose reply is not kept takes its result along."""
        self.summary = event.summary
        tail = [one for seq, messages in self.replies() if seq == event.kept for one in messages]
        if not tail:
            last = next((messages for _, messages in self.replies()), ())
            words = shortening.head(self._kept(self.said, last), event.room)
            self._begin_anew()
            self._heard.append(Said(words))
            return
        each, seqs = piece(event.room), self._seqs[len(self._seqs) - (len(tail) - bool(self.pending())) :]
        earlier = [one for one in self.said if one.seq < event.kept]
        first = UserMessage((), (Said(shortening.head(self._kept(earlier, ()), event.room)),))
        if self.pending():
            tail.pop()
            self._results = {i: _short(result, each) for i, result in self._results.items()}
            self._heard = [shortening.shorter(part, each) for part in self._heard]
        self.closed = [first, *(shortening.shortened(message, each) for message in tail)]
        self._seqs = [0, *seqs]
        self.renewed += 1

    def _kept(self, said: Sequence[shortening.Said], last: Sequence[Message]) -> Kept:
        return Kept(said or self.said[:1], self.todos, self.goal, self.summary, last)


def piece(room: int) -> int:
    """Return how many characters one result may have in a compacted context."""
    return max(400, room // 10)


class Log(list[Recorded]):
    """An execution's log as it grows, with what was made of it so far: a call does not begin at its beginning."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[object, object] = {}
        """See ModelRequest."""
        self._context = Context()
        self._followed = 0

    def context(self) -> Context:
        """Return the context after the log; it goes on with it, so it is only to be read."""
        for recorded in self[self._followed :]:
            self._context.feed(recorded)
        self._followed = len(self)
        return self._context


def request(state: State, log: Iterable[Recorded], tools: Sequence[ToolSpec]) -> ModelRequest:
    """Return the next call: everything the model has said and heard so far."""
    context, kept = (log.context(), log.kept) if isinstance(log, Log) else (followed(log), {})
    effort: Any = state.begun.agent.effort
    told = system(state.begun.agent, context.instructions, context.skills, context.pull)
    return ModelRequest(told, context.messages(), tuple(tools), effort, kept)


def followed(log: Iterable[Recorded]) -> Context:
    """Return the context after a log."""
    context = Context()
    for recorded in log:
        context.feed(recorded)
    return context


def _unanswered(call: ToolCall) -> ToolResult:
    return ToolResult(call.id, call.name, UNKNOWN_TEXT, failed=True)


def _short(result: ToolResult, each: int) -> ToolResult:
    return ToolResult(result.call_id, result.name, shortening.bounded(result.text, each), failed=result.failed)


def typed(command: str, outcome: str, text: str) -> str:
    """Return what the model hears of a command that a person typed."""
    how = "" if outcome in ("ok", "failed") else f" ({outcome})"
    return f"[a person ran a command in the environment{how}]\n$ {command}\n{text}"


def parts(queued: ev.InputQueued, questions: Sequence[Question] = ()) -> list[UserPart]:
    """Return an input's content as the model hears it; the three forms of the contract come to the same.

    What answers `questions` by their ids is put into words, and the first text gives way to its expansion.
    """
    block = queued.block
    match queued.origin:
        case "agent":
            return [Said(queued.expansion or f"[message from another agent]\n{block.get('payload', '')}")]
        case "wake":
            return [Said(f"[woken: {queued.expansion or woken(block)}]")]
        case origin:
            expansion = queued.expansion
            said: list[UserPart] = []
            prefix = "[note from Hostler]\n" if origin == "harness" else ""
    for one in (*block.get("inputs", ()), block):
        if "text" in one:
            said.append(Said(prefix + (expansion or in_words(questions, str(one["text"]["content"])))))
            expansion = prefix = ""
        elif "image" in one:
            said.append(Image(str(one["image"]["data"]), str(one["image"].get("mimeType", "image/png"))))
    return said


def woken(block: ev.Json) -> str:
    """Return what a wake says, in one line."""
    return json.dumps(block, ensure_ascii=False, sort_keys=True)
