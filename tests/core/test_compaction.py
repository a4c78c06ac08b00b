"""Whatever was said, and wherever it is compacted or cleared: what the model is told next is a valid conversation."""

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from hostler.agents.builtin import shortening
from hostler.agents.builtin.compaction import compacted, length, question, room_of
from hostler.agents.builtin.context import Context
from hostler.core import events as ev
from hostler.core import memory_events as m
from hostler.core.conversation import Message, ModelMessage, Text, ToolCall, Usage, UserMessage
from hostler.core.events import Event, Recorded

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
PROBLEM = "the summarizer broke down"
TASK = "TASK-7: mend the table"


class Told:
    """A log that is written, and the context that follows it."""

    def __init__(self) -> None:
        self.seq = 0
        self.calls = 0
        self.inputs = 0
        self.context = Context()
        self.todos: tuple[ev.Todo, ...] = ()
        self.task = ""

    def add(self, event: Event) -> None:
        self.seq += 1
        self.context.feed(Recorded(self.seq, BEGAN + timedelta(seconds=self.seq), event))

    def say(self, text: str) -> None:
        self.inputs += 1
        input_id = f"i{self.inputs}"
        self.task = self.task or text
        self.add(ev.InputQueued(input_id, {"inputs": [{"text": {"content": text}}]}, "d"))
        self.add(ev.InputTaken((input_id,)))

    def step(self, text: str, results: Sequence[str]) -> None:
        if self.context.pending() is None:
            self.say("go on")
        self.calls += 1
        calls = tuple(ToolCall(f"p{self.calls}-{n}", "bash", '{"command": "x"}') for n in range(len(results)))
        said = (Text(text),) if text or not calls else ()
        self.add(ev.ModelReplied(f"c{self.calls}", (*said, *calls), Usage(1, 0, 0, 1)))
        for number, result in enumerate(results):
            self.add(ev.ToolFinished(f"c{self.calls}.{number}", "ok", result))

    def plan(self, titles: Sequence[str]) -> None:
        states = ("done", "in_progress", "pending")
        self.todos = tuple(ev.Todo(title, states[n % 3]) for n, title in enumerate(titles))
        self.add(ev.TodosSet(self.todos))

    def compact(self, window: int, summary: str, *, harder: bool) -> int:
        """Compact, and return how many characters there may be after it."""
        room = room_of(window, 0, int(harder))
        hold_question(question(self.context, window), window)
        event = m.ContextCompacted(
            "k", summary, room=room, truncated=not summary, problem="" if summary else PROBLEM, model="m"
        )
        before = self.context.messages()
        done = compacted(self.context, event, harder=harder, standing=0)
        assert self.context.messages() == before, "looking ahead changes nothing"
        self.add(done)
        assert done.tokens == length(self.context.messages()) // 3
        return int(room * 1.5) + 1500


def hold_question(asked: object, window: int) -> None:
    assert length(asked.messages) <= max(shortening.LEAST, window * 3 * 0.6) + 300  # type: ignore[attr-defined]


def hold(messages: Sequence[Message]) -> None:
    """Hold what every provider wants of a conversation."""
    if not messages:
        return
    assert isinstance(messages[0], UserMessage)
    assert isinstance(messages[-1], ModelMessage | UserMessage)
    for before, after in itertools.pairwise(messages):
        assert isinstance(before, UserMessage) != isinstance(after, UserMessage)
    for place, message in enumerate(messages):
        if isinstance(message, UserMessage):
            assert message.results or message.parts
            asked = [p.id for p in messages[place - 1].parts if isinstance(p, ToolCall)] if place else []
            assert [result.call_id for result in message.results] == asked
        elif place + 1 == len(messages):
            assert not any(isinstance(part, ToolCall) for part in message.parts)


texts = st.one_of(st.text("abc \n", max_size=60), st.integers(0, 30_000).map(lambda n: "word " * (n // 5)))
moves = st.one_of(
    st.tuples(st.just("say"), texts.map(lambda text: f"said: {text}")),
    st.tuples(st.just("step"), texts, st.lists(texts, max_size=4)),
    st.tuples(st.just("plan"), st.lists(st.text("todo ", min_size=1, max_size=400), max_size=30)),
    st.tuples(st.just("shell"), texts),
    st.tuples(st.just("compact"), st.integers(500, 60_000), texts, st.booleans()),
    st.tuples(st.just("clear")),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(moves, max_size=25))
def test_every_request_after_compactions_is_a_valid_conversation_of_a_bounded_size(story: list[tuple[object, ...]]):
    told = Told()
    told.say(TASK)
    for move in story:
        match move:
            case ("say", str(text)):
                told.say(text)
            case ("step", str(text), list(results)):
                told.step(text, results)
            case ("plan", list(titles)):
                told.plan(titles)
            case ("shell", str(text)):
                told.add(m.ShellFinished("sh", "ok", text))
            case ("compact", int(window), str(summary), bool(harder)):
                most = told.compact(window, summary.strip(), harder=harder)
                after = told.context.messages()
                assert length(after) <= most
                hold_what_is_kept(told, after)
            case _:
                told.add(m.ContextCleared("a person"))
                assert told.context.messages() == ()
                told.task = ""
        hold(told.context.messages())
        assert PROBLEM not in str(told.context.messages())


def hold_what_is_kept(told: Told, after: Sequence[Message]) -> None:
    """The beginning of the task and of every open to-do is there."""
    first = "\n".join(part.text for part in after[0].parts if isinstance(part, Text)) if after else ""
    if told.task:
        kept = "\n".join(part.text for message in after for part in message.parts if isinstance(part, Text))
        assert told.task[:20].strip() in kept
    for todo in told.todos:
        if todo.state != "done" and len(told.todos) <= 10:
            assert todo.title[:8].rstrip() in first


def test_a_summary_and_what_was_said_lately_are_kept_and_what_is_done_is_not():
    told = Told()
    told.say(TASK)
    told.plan(["first", "second", "third"])
    for number in range(30):
        told.step(f"step {number}", [f"output {number} " + "x" * 2000])
    told.say("mind the tabs")
    told.compact(20_000, "Decided: columns are aligned.", harder=False)
    messages = told.context.messages()
    text = str(messages)
    assert "Decided: columns are aligned." in text
    assert "mind the tabs" in text
    assert "output 29" in text
    assert "output 3 " not in text
    assert "second" in text
    assert "first" not in shortening.head(shortening.Kept((), told.todos, "", ""), 9000)
    assert any(isinstance(message, ModelMessage) for message in messages)


def test_a_failed_summary_keeps_the_one_before():
    told = Told()
    told.say(TASK)
    told.step("looked", ["y" * 9000])
    told.compact(4000, "The index is built twice.", harder=False)
    told.step("looked again", ["z" * 9000])
    told.compact(4000, "", harder=False)
    assert "The index is built twice." in str(told.context.messages())
    assert "looked again" in str(told.context.messages())
