"""A conversation in less room: what a compacted context begins with, and the conversation as text for a summary.

Pure functions of what was said. Room is counted in characters; a part of it is kept for each kind of thing, so that
whatever is long, the task, the open to-dos and the summary are there.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from hostler.core.conversation import Image, Message, ModelMessage, Text, ToolCall, ToolResult, UserMessage, UserPart
from hostler.core.events import Todo

LEAST = 2000
"""Characters that a compacted context may have at least, however small the model's window is."""
INTRODUCTION = """\
[note from Hostler] The conversation before this point was shortened to make room. What follows is what is left of it; \
go on from there. Files and commands can be looked at again."""


@dataclass(frozen=True, slots=True)
class Said:
    """Something that the agent was told: where in the log, and the text."""

    seq: int
    text: str


@dataclass(frozen=True, slots=True)
class Kept:
    """What a compacted context is made of beside messages."""

    said: Sequence[Said]
    todos: Sequence[Todo]
    goal: str
    summary: str
    last: Sequence[Message] = ()
    """Messages that are told in words."""


def bounded(text: str, limit: int) -> str:
    """Return a text with at most about `limit` characters: its head and its tail."""
    if len(text) <= limit:
        return text
    half = max(0, limit // 2 - 20)
    return f"{text[:half]}\n… [{len(text) - 2 * half} characters left out] …\n{text[len(text) - half :]}"


def head(kept: Kept, room: int) -> str:
    """Return the text that a compacted context begins with."""
    task, *later = kept.said or [Said(0, "")]
    open_todos = [todo for todo in kept.todos if todo.state != "done"]
    sections = (
        ("The task", bounded(task.text, room // 4)),
        ("Said since then, oldest first", "\n\n".join(_newest([one.text for one in later], room // 5))),
        ("The goal", bounded(kept.goal, room // 20)),
        ("Open to-dos", "\n".join(_first([_todo(one) for one in open_todos], room // 8))),
        ("Summary of what was done and decided", bounded(kept.summary, room // 4)),
        ("The last steps", in_words(kept.last, room // 10, room // 40) if kept.last else ""),
    )
    told = [f"# {title}\n\n{text}" for title, text in sections if text.strip()]
    return "\n\n".join((INTRODUCTION, *told))


def _todo(todo: Todo) -> str:
    return f"- [{'in progress' if todo.state == 'in_progress' else ' '}] {todo.title}"


def _newest(texts: Sequence[str], room: int) -> list[str]:
    """Return the newest texts that fit, oldest first, each in at most a third of the room."""
    chosen: list[str] = []
    for text in reversed(texts):
        short = bounded(text, room // 3)
        room -= len(short) + 2
        if room < 0:
            return [f"[{len(texts) - len(chosen)} earlier message(s) left out]", *reversed(chosen)]
        chosen.append(short)
    return list(reversed(chosen))


def _first(lines: Sequence[str], room: int) -> list[str]:
    """Return the first lines that fit; each is shortened where all would not."""
    each = max(20, room // max(1, len(lines)) - 1)
    shown = [line if len(line) <= each else f"{line[: each - 1]}…" for line in lines]
    return shown if sum(map(len, lines)) + len(lines) > room else list(lines)


def shortened(message: Message, each: int) -> Message:
    """Return a message in which no text that was heard has more than about `each` characters."""
    if isinstance(message, ModelMessage):
        return message
    results = tuple(replace(result, text=bounded(result.text, each)) for result in message.results)
    return UserMessage(results, tuple(shorter(part, each) for part in message.parts))


def shorter(part: UserPart, each: int) -> UserPart:
    """Return a part with at most about `each` characters of text."""
    return replace(part, text=bounded(part.text, each)) if isinstance(part, Text) else part


def size(message: Message) -> int:
    """Return how many characters a message comes to, roughly; a picture counts as a page of text."""
    if isinstance(message, ModelMessage):
        own = sum(map(_part_size, message.parts))
        return max(own, len(str(message.native))) if message.native else own
    pictures = sum(isinstance(part, Image) for part in message.parts)
    heard = sum(len(part.text) for part in message.parts if isinstance(part, Text))
    return heard + 6400 * pictures + sum(len(result.text) for result in message.results)


def _part_size(part: object) -> int:
    return len(part.arguments) + len(part.name) if isinstance(part, ToolCall) else len(getattr(part, "text", ""))


def in_words(messages: Iterable[Message], room: int, each: int) -> str:
    """Return messages as text, each piece in at most `each` characters, the middle left out where all do not fit."""
    lines = [line for message in messages for line in _lines(message, each)]
    return bounded("\n".join(lines), room)


def _lines(message: Message, each: int) -> list[str]:
    if isinstance(message, UserMessage):
        results = [_result(result, each) for result in message.results]
        return [*results, *(_heard(part, each) for part in message.parts)]
    said = [f"[the agent said] {bounded(part.text, each)}" for part in message.parts if isinstance(part, Text)]
    calls = [part for part in message.parts if isinstance(part, ToolCall)]
    return [*said, *(f"[the agent called {call.name}] {bounded(call.arguments, each)}" for call in calls)]


def _result(result: ToolResult, each: int) -> str:
    how = "failed" if result.failed else "gave"
    return f"[{result.name} {how}] {bounded(result.text, each)}"


def _heard(part: Text | Image, each: int) -> str:
    return f"[the agent was told] {bounded(part.text, each)}" if isinstance(part, Text) else "[a picture]"
