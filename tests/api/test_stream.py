"""Whatever the pieces, and wherever a reader loses his line, he ends with the whole text, each piece once."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.api.stream import Conversation, Cursor, cursor_of
from hostler.core import events as ev
from hostler.core.conversation import Text, Usage
from hostler.core.errors import InvalidArgument
from hostler.core.events import Agent, Event, Recorded
from hostler.core.ports import OpenBlock

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BLOCK = "0190aaaa-0000-7000-8000-000000000001"
BEGINNING: tuple[Event, ...] = (
    ev.Started({}, Agent("a", "a", "builtin", "m"), "e", True, "c", "s"),
    ev.EnvironmentReady("e", "i"),
    ev.InputQueued("one", {"inputs": [{"text": {"content": "hello"}}]}, "d"),
    ev.TurnStarted(1, "session"),
    ev.InputTaken(("one",)),
    ev.ModelCallStarted("c1", "m"),
)


def log(*events: Event) -> tuple[Recorded, ...]:
    return tuple(Recorded(number, NOW, event) for number, event in enumerate((*BEGINNING, *events), start=1))


class Reader:
    """Appends deltas as the official client does, and loses his line when told to."""

    def __init__(self) -> None:
        self.text = ""
        self.sequence = 0
        self.whole = ""
        self.cursor: Cursor | None = None
        self.frames: list[str] = []
        self.conversation = Conversation("x", None)

    def take(self, items: list[object]) -> None:
        for item in items:
            body = item.body  # type: ignore[attr-defined]
            self.cursor = item.cursor  # type: ignore[attr-defined]
            if "text" not in body:
                self.frames.append(body["id"])
            elif body["phase"] == "PHASE_DELTA":
                sequence = int(body["text"]["sequenceId"])
                assert sequence > self.sequence
                self.sequence, self.text = sequence, self.text + body["text"]["content"]
            else:
                self.whole = body["text"]["content"]

    def reconnect(self, so_far: tuple[Recorded, ...]) -> None:
        start = cursor_of(str(self.cursor)) if self.cursor else None
        self.conversation = Conversation("x", start)
        self.take(self.conversation.open(so_far, NOW))  # type: ignore[arg-type]


@given(pieces=st.lists(st.text(min_size=1, max_size=5), max_size=12), lost=st.sets(st.integers(0, 12)))
def test_a_reader_has_every_piece_once_however_often_he_comes_back(pieces: list[str], lost: set[int]) -> None:
    reader = Reader()
    reader.reconnect(log())
    said = ""
    for number, piece in enumerate(pieces, start=1):
        said += piece
        if number in lost:
            reader.reconnect(log())
        block = OpenBlock(BLOCK, "c1", 0, "text", number, said)
        reader.take(reader.conversation.say([block], NOW))  # type: ignore[arg-type]
        assert reader.text == said
    whole = said or "x"
    done = log(ev.ModelReplied("c1", (Text(whole),), Usage(), blocks=(BLOCK,)), ev.TurnEnded(1))
    if len(pieces) + 1 in lost or 0 in lost:
        reader.reconnect(done)
    else:
        reader.take(reader.conversation.grow(done, NOW))  # type: ignore[arg-type]
    assert reader.whole == whole
    assert reader.conversation.idle
    assert len(reader.frames) == len(set(reader.frames))


def test_steps_that_are_known_are_not_told_again() -> None:
    conversation = Conversation("x", None)
    first = conversation.open(log(), NOW)
    assert conversation.grow(log(), NOW) == []
    again = Conversation("x", first[-1].cursor)
    assert again.open(log(), NOW) == []


@pytest.mark.parametrize(
    "text", ["", "x", "1:", "1:block:2", f"1:{BLOCK}", f"1:{BLOCK}:x", "-1", "1" * 20, "1:" * 4000]
)
def test_an_id_of_another_stream_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        cursor_of(text)
