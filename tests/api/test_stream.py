"""Whatever the pieces, and wherever a reader loses his line, he ends with the whole text, each piece once."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.api.cursors import Cursor, cursor_of
from hostler.api.forms import JsonForm, Told
from hostler.api.stream import Reader, Telling
from hostler.core import events as ev
from hostler.core.conversation import Text, Usage
from hostler.core.errors import InvalidArgument
from hostler.core.events import Agent, Event, Recorded
from hostler.core.ports import OpenBlock
from hostler.projections.blocks import Frame

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


class Client:
    """Appends deltas as the official client does, and loses his line when told to."""

    def __init__(self, telling: Telling) -> None:
        self.telling = telling
        self.reader = Reader(None)
        self.deltas: dict[str, str] = {}
        self.sequences: dict[str, int] = {}
        self.completed: dict[str, str] = {}
        self.cursor: Cursor | None = None
        self.frames: list[str] = []

    def take(self) -> bool:
        """Take everything that there is; return whether it is still known."""
        while data := self.reader.take(self.telling, NOW):
            self.read(data)
        return data is not None

    def catch_up(self, whole: tuple[Recorded, ...]) -> None:
        """Take everything, what was forgotten from the log."""
        while not self.take():
            past = Telling("x", JsonForm("x"), keep=float("inf"))
            past.grow(whole, NOW)
            while data := self.reader.owed(past):
                self.read(data)

    def read(self, data: bytes) -> None:
        for event in data.decode().strip().split("\n\n"):
            lines = dict(line.split(": ", 1) for line in event.splitlines())
            self.cursor = cursor_of(lines["id"])
            body = json.loads(lines["data"])["body"]
            block = body["id"]
            if "text" not in body:
                self.frames.append(lines["id"].partition(":")[0])
            elif body["phase"] == "PHASE_DELTA":
                assert block not in self.completed
                sequence = int(body["text"]["sequenceId"])
                assert sequence > self.sequences.get(block, 0)
                self.sequences[block] = sequence
                self.deltas[block] = self.deltas.get(block, "") + body["text"]["content"]
            else:
                assert block not in self.completed
                self.completed[block] = body["text"]["content"]
                assert self.completed[block].startswith(self.deltas.get(block, ""))

    def reconnect(self) -> None:
        self.reader = Reader(self.cursor)
        self.take()


def told(*recorded: Recorded) -> Telling:
    telling = Telling("x", JsonForm("x"))
    telling.grow(recorded, NOW)
    return telling


@given(pieces=st.lists(st.text(min_size=1, max_size=5), max_size=12), lost=st.sets(st.integers(0, 12)))
def test_a_reader_has_every_piece_once_however_often_he_comes_back(pieces: list[str], lost: set[int]) -> None:
    telling = told(*log())
    client = Client(telling)
    client.take()
    said = ""
    for number, piece in enumerate(pieces, start=1):
        said += piece
        if number in lost:
            client.reconnect()
        telling.say([OpenBlock(BLOCK, "c1", 0, "text", number, said)], NOW)
        client.take()
        assert client.deltas[BLOCK] == said
    whole = said or "x"
    done = log(ev.ModelReplied("c1", (Text(whole),), Usage(), blocks=(BLOCK,)), ev.TurnEnded(1))
    telling.grow(done, NOW)
    if len(pieces) + 1 in lost or 0 in lost:
        client.reconnect()
    client.take()
    assert client.completed[BLOCK] == whole
    assert telling.idle
    assert len(client.frames) == len(set(client.frames))


def test_pieces_that_come_together_are_told_as_one_and_leave_no_gap():
    telling = told(*log())
    client = Client(telling)
    numbers: list[int] = []
    for sequence, said in ((1, "a"), (4, "abcd"), (5, "abcde")):
        telling.say([OpenBlock(BLOCK, "c1", 0, "text", sequence, said)], NOW)
        client.take()
        numbers.append(client.sequences[BLOCK])
    assert (numbers, client.deltas[BLOCK]) == ([1, 2, 3], "abcde")


@given(st.data())
def test_readers_who_come_go_and_fall_behind_all_end_with_the_same(data: st.DataObject) -> None:
    """Several readers of one telling, each taking when he likes, beside a server that forgets and one that restarts."""
    telling = Telling("x", JsonForm("x"), keep=data.draw(st.sampled_from((0.0, 1500.0, 1e9))))
    story: list[Event] = []
    clients = [Client(telling) for _ in range(3)]
    for turn in range(1, data.draw(st.integers(1, 4)) + 1):
        block, call = f"0190aaaa-0000-7000-8000-{turn:012x}", f"c{turn}"
        story += [ev.ModelCallStarted(call, "m")] if turn > 1 else []
        telling.grow(log(*story), NOW)
        said = ""
        for number in range(1, data.draw(st.integers(0, 4)) + 1):
            said += data.draw(st.text(min_size=1, max_size=3))
            telling.say([OpenBlock(block, call, 0, "text", number, said)], NOW)
            for client in clients:
                match data.draw(st.sampled_from(("sleep", "take", "reconnect"))):
                    case "take":
                        client.catch_up(log(*story))
                    case "reconnect":
                        client.reader = Reader(client.cursor)
                    case _:
                        pass
        story.append(ev.ModelReplied(call, (Text(said or "x"),), Usage(), blocks=(block,)))
        story.append(ev.InputQueued(f"more-{turn}", {}, "d"))
        telling.grow(log(*story), NOW)
    for client in clients:
        client.catch_up(log(*story))
    everything = Client(told(*log(*story)))
    everything.catch_up(log(*story))
    for client in clients:
        assert client.completed == everything.completed
        assert client.frames == everything.frames
        for block, text in client.deltas.items():
            assert everything.completed[block].startswith(text)


class ByEvent:
    """A form of pages: nothing for most events, several Tolds for others, made only when they are needed."""

    by_event: ClassVar[bool] = True

    def __init__(self) -> None:
        self.made: list[int] = []

    def event(self, recorded: Recorded, frames: Sequence[Frame]) -> Sequence[Told]:
        if not isinstance(recorded.event, ev.ModelReplied | ev.TurnEnded):
            return ()
        return [Told("put", lambda: self.put(recorded.seq)), Told("panel", {"seq": recorded.seq})]

    def put(self, seq: int) -> dict[str, int]:
        self.made.append(seq)
        return {"seq": seq}

    def text(self, block: OpenBlock, offset: int, piece: str, at: datetime) -> Told:
        return Told("text", {"id": block.block, "offset": offset, "text": piece})

    def broken(self, block: str, kind: str, text: str, at: datetime) -> Told | None:
        return None


def test_a_form_that_counts_events_gives_one_id_to_all_that_an_event_comes_to() -> None:
    form = ByEvent()
    telling = Telling("x", form)
    telling.grow(log(), NOW)
    telling.say([OpenBlock(BLOCK, "c1", 0, "text", 1, "Hello")], NOW)
    follower = Reader(Cursor(6, {BLOCK: 2}))
    first = follower.take(telling, NOW)
    assert first == f'id: 6:{BLOCK}:5\nevent: text\ndata: {{"id": "{BLOCK}", "offset": 2, "text": "llo"}}\n\n'.encode()
    telling.grow(log(ev.ModelReplied("c1", (Text("Hello"),), Usage(), blocks=(BLOCK,)), ev.TurnEnded(1)), NOW)
    assert form.made == []
    both = follower.take(telling, NOW)
    assert both is not None
    assert [line for line in both.decode().splitlines() if line] == [
        *("event: put", 'data: {"seq": 7}', "id: 7", "event: panel", 'data: {"seq": 7}'),
        *("event: put", 'data: {"seq": 8}', "id: 8", "event: panel", 'data: {"seq": 8}'),
    ]
    again = Reader(Cursor(7))
    assert again.take(telling, NOW) == both[both.rindex(b"event: put") :]
    assert form.made == [7, 8]


def test_steps_that_are_known_are_not_told_again() -> None:
    telling = told(*log())
    client = Client(telling)
    client.take()
    known = list(client.frames)
    telling.grow(log(), NOW)
    client.take()
    client.reconnect()
    assert client.frames == known


@pytest.mark.parametrize(
    "text", ["", "x", "1:", "1:block:2", f"1:{BLOCK}", f"1:{BLOCK}:x", "-1", "1" * 20, "1:" * 4000]
)
def test_an_id_of_another_stream_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        cursor_of(text)
