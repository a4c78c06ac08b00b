"""How a context is compacted: what the model is asked for a summary, and what is kept when it gives none."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace

from hostler.agents.builtin import shortening
from hostler.agents.builtin.context import Context, piece
from hostler.core.conversation import Message, ModelMessage, ModelRequest, Text, UserMessage
from hostler.core.memory_events import ContextCompacted

CHARACTERS_A_TOKEN = 3
"""Fewer than there are on average, so that what is counted in characters fits the window."""
ROOM = (0.4, 0.2, 0.1)
"""Parts of the window that a compacted context may fill: at first, and when that was still too long."""
ASKED = 0.6
"""The part of the window that the question for a summary may fill."""
TAIL = 0.4
"""The part of the room that the last messages may fill as they were."""
SUMMARIZER = """\
You shorten the conversation between a person and a software engineering agent, so that the agent can go on with what \
you write instead of the conversation. Write plain, dense prose and lists; no greeting, no comment on your task. Say:
- what was decided, by whom and why, and what was ruled out;
- what was done: files and functions changed, commands run, and what came out of them;
- what is known of the code that the next steps need: names, paths, signatures, error messages, word for word;
- what is not done yet, what failed, and what the next step is.
The task itself and the to-do list are kept beside your text; do not repeat them."""
QUESTION = "Summarize this conversation.\n\n<conversation>\n{}\n</conversation>"
LAST_TEXTS = 5


def room_of(window: int, standing: int, in_a_row: int) -> int:
    """Return how many characters a compacted context may have; `standing` are those of system prompt and tools."""
    share = ROOM[min(in_a_row, len(ROOM) - 1)]
    return max(shortening.LEAST, int(window * CHARACTERS_A_TOKEN * share) - standing)


def question(context: Context, window: int) -> ModelRequest:
    """Return the call that asks for a summary: the conversation as text, so that no tool call is without its result."""
    room = max(shortening.LEAST, int(window * CHARACTERS_A_TOKEN * ASKED) - len(SUMMARIZER))
    told = shortening.in_words(context.messages(), room, max(400, room // 40))
    return ModelRequest(SUMMARIZER, (UserMessage((), (Text(QUESTION.format(told)),)),))


def compacted(context: Context, event: ContextCompacted, *, harder: bool, standing: int) -> ContextCompacted:
    """Return an event with what is kept as it was, and how long the context is after it."""
    kept = 0 if harder else _kept(context, event.room)
    fuller = replace(event, kept=kept, summary=event.summary or without_model(context))
    after = deepcopy(context)
    after.compact(fuller)
    return replace(fuller, tokens=(standing + length(after.messages())) // CHARACTERS_A_TOKEN)


def length(messages: Sequence[Message]) -> int:
    """Return how many characters messages come to."""
    return sum(map(shortening.size, messages))


def without_model(context: Context) -> str:
    """Return what can be said without a summary: the one before, and what the agent said last."""
    said = [
        part.text
        for message in context.closed
        if isinstance(message, ModelMessage)
        for part in message.parts
        if isinstance(part, Text) and part.text.strip()
    ]
    last = [f"- {shortening.bounded(text, 1000)}" for text in said[-LAST_TEXTS:]]
    told = ["No summary could be made. What the agent said last:", *last] if last else []
    return "\n".join([*([context.summary] if context.summary else []), *told])


def _kept(context: Context, room: int) -> int:
    """Return the earliest reply from which on all fits; 0 when not even the last one does."""
    kept = 0
    for seq, messages in context.replies():
        if length([shortening.shortened(message, piece(room)) for message in messages]) > TAIL * room:
            break
        kept = seq
    return kept
