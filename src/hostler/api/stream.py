"""The conversation as all readers of one form are told it: what the log has, merged with the text being said.

Pure: it is fed what was read and gives what is to be sent. Everything is written once, whoever reads. A reader is no
more than a place: he who follows is handed what all are handed, he who joins late, comes back or fell behind gets what
is missing from his cursor on, and then follows.
"""

import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, cast

from hostler.api.cursors import Cursor
from hostler.api.forms import Data, Form, Told
from hostler.core import events as ev
from hostler.core.events import Recorded
from hostler.core.ports import OpenBlock
from hostler.projections.blocks import Frame, Framer

KEPT_BYTES = 4 << 20
"""About as much of the log's part is kept in memory for readers who come back; the rest is read again from the log."""
RUN = 256
"""Events in a row that a reader who follows may be late before what he missed is put together for him alone."""
BATCH = 64
"""Events that are handed to one reader at once."""
BROKEN = 64
"""Blocks that broke off whose end is remembered."""
FINISHED = 4096
"""Finished blocks that are known by name."""


class Entry:
    """One event for all readers; its bytes are made when the first one needs them."""

    __slots__ = ("_head", "_told", "_whole", "closes", "cursor", "identified", "number", "seq", "weight")

    def __init__(
        self, told: Told | None, cursor: Cursor, seq: int = 0, closes: Sequence[str] = (), *, identified: bool = True
    ) -> None:
        self._told = told
        self._whole = b""
        self._head = 0
        self.number = cursor.number
        self.seq = seq
        self.cursor = cursor
        self.closes = closes
        self.identified = identified
        self.weight = 0

    @property
    def whole(self) -> bytes:
        """Return the event as readers get it who follow."""
        if not self._whole:
            head = _id(self.cursor) if self.identified else b""
            self._whole, self._head = head + self._made(), len(head)
        return self._whole

    @property
    def data(self) -> bytes:
        """Return the event without its id."""
        return self.whole[self._head :]

    def at(self, cursor: Cursor) -> bytes:
        """Return the event for a reader who stands at `cursor` after it."""
        return _id(cursor) + self.data if self.identified else self.whole

    def _made(self) -> bytes:
        told, self._told = self._told, None
        assert told is not None, "an event is made once"
        return event(told.event, told.data() if callable(told.data) else told.data)


class _Again(Entry):
    """An event that was made already, for readers who stand elsewhere after it."""

    __slots__ = ("_entry",)

    def __init__(self, entry: Entry, cursor: Cursor) -> None:
        super().__init__(None, cursor)
        self._entry = entry

    def _made(self) -> bytes:
        return self._entry.data


@dataclass(slots=True)
class _Open:
    """An open block as all who follow have it."""

    block: OpenBlock
    offset: int


class Telling:
    """What was told of one conversation in one form, and its end that readers follow."""

    def __init__(self, execution: str, form: Form, keep: float = KEPT_BYTES) -> None:
        self._framer = Framer(execution)
        self._form = form
        self._keep = keep
        self._number = 0
        self._kept: list[Entry] = []
        self._weight = 0
        self._forgotten = (0, 0)
        self._run: list[Entry] = []
        self._dropped = 0
        self._open: dict[str, _Open] = {}
        self._pieces: dict[str, tuple[int, dict[int, Entry]]] = {}
        self._broken: dict[str, Entry] = {}
        self._finished: dict[str, None] = {}
        self._call = ""
        self._turn = _Turn()

    @property
    def seq(self) -> int:
        """Return the last event of the log that was read."""
        return self._framer.state.seq

    @property
    def phase(self) -> str:
        """Return the phase after it."""
        return self._framer.state.phase

    @property
    def turn(self) -> int:
        """Return where the turn begins that readers without a cursor are shown."""
        return self._turn.seq

    @property
    def idle(self) -> bool:
        """Return whether nothing more will be said until somebody sends something."""
        state = self._framer.state
        return state.phase == "STOPPED" or (state.phase == "WAITING_FOR_INPUT" and not state.queue)

    @property
    def end(self) -> int:
        """Return the place behind everything that was told to those who follow."""
        return self._dropped + len(self._run)

    @property
    def offsets(self) -> Mapping[str, int]:
        """Return how much of each open block those who follow have."""
        return {block: one.offset for block, one in self._open.items()}

    def grow(self, tail: Iterable[Recorded], at: datetime) -> None:
        """Read what the log has gained."""
        for recorded in tail:
            if recorded.seq > self.seq:
                self._feed(recorded, at)

    def behind(self, blocks: Iterable[OpenBlock]) -> bool:
        """Return whether the log must be read before these blocks are told: something in it came before them."""
        return any(
            (block.block not in self._open and block.block not in self._finished) or not self._due(block)
            for block in blocks
        )

    def say(self, blocks: Sequence[OpenBlock], at: datetime) -> None:
        """Tell the pieces of open blocks that were not told yet."""
        still = {block.block for block in blocks}
        for block in blocks:
            if block.block in self._finished or not self._due(block):
                continue
            if block.block not in self._open:
                self._break([one for one in self._open if one not in still], at)
                self._open[block.block] = _Open(replace(block, text="", sequence=0), 0)
            known = self._open[block.block]
            if len(block.text) <= known.offset:
                continue
            # What came together is told together, and counts as one; no number is less than one that was ever told,
            # for pieces were at least as many.
            number = known.block.sequence + 1 if known.offset else block.sequence
            block = replace(block, sequence=number)
            entry = self._piece(block, known.offset, at)
            known.block, known.offset = block, len(block.text)
            self._follow(_Again(entry, Cursor(self._number, self.offsets)))

    def follow(self, place: int) -> Sequence[Entry] | None:
        """Return what was told behind a place; None when it was too long ago."""
        return self._run[place - self._dropped :] if place >= self._dropped else None

    def after(self, number: int) -> Sequence[Entry] | None:
        """Return a batch of what the log has behind a number; None when that is not in memory any more."""
        if number < self._forgotten[0]:
            return None
        first = bisect_right(self._kept, number, key=lambda entry: entry.number)
        last = min(first + BATCH, len(self._kept))
        while last < len(self._kept) and self._kept[last].number == self._kept[last - 1].number:
            last += 1
        return self._kept[first:last]

    def beginning(self) -> tuple[int, Sequence[Entry]] | None:
        """Return the number before the current, or just ended, turn, and the inputs from before it that it took."""
        turn = self._turn.seq
        if min((turn, *self._turn.waiting)) <= self._forgotten[1]:
            return None
        first = bisect_left(self._kept, turn, key=lambda entry: entry.seq)
        number = self._kept[first - 1].number if first else self._forgotten[0]
        return number, [entry for entry in self._kept[:first] if entry.seq in self._turn.waiting]

    def rest(self, cursor: Cursor, at: datetime) -> tuple[Sequence[Entry], Cursor]:
        """Return what a reader who has everything of the log needs of the text being said, and where he is then."""
        offsets = dict(cursor.offsets)
        entries: list[Entry] = []
        for block in cursor.offsets:
            if block in self._broken:
                del offsets[block]
                entries.append(_Again(self._broken[block], Cursor(cursor.number, dict(offsets))))
            elif block in self._finished or (block not in self._open and self._given_up):
                del offsets[block]
        for block, one in self._open.items():
            begun = offsets.setdefault(block, 0)
            if begun < one.offset:
                offsets[block] = one.offset
                entry = self._piece(one.block, begun, at)
                entries.append(_Again(entry, Cursor(cursor.number, dict(offsets))))
        return entries, Cursor(cursor.number, offsets)

    @property
    def _given_up(self) -> bool:
        """Return whether a block that is not open now will not be any more."""
        state = self._framer.state
        return state.phase != "RUNNING" or (state.begun.agent.driver == "builtin" and bool(self._open))

    def _due(self, block: OpenBlock) -> bool:
        """Return whether the log, as read so far, has what comes before this block."""
        started = self._framer.state.started
        return block.call_id == self._call or (started is not None and started.agent.driver != "builtin")

    def _piece(self, block: OpenBlock, offset: int, at: datetime) -> Entry:
        """Return a piece of a block, written once for all who are at the same offset."""
        end, pieces = self._pieces.get(block.block, (0, {}))
        if end != len(block.text):
            end, pieces = self._pieces[block.block] = len(block.text), {}
        if offset not in pieces:
            pieces[offset] = Entry(self._form.text(block, offset, block.text[offset:], at), Cursor(self._number))
        return pieces[offset]

    def _feed(self, recorded: Recorded, at: datetime) -> None:
        frames = self._framer.feed(recorded)
        finishing = [frame.block for frame in frames if frame.block in self._open]
        if isinstance(recorded.event, ev.ModelReplied | ev.ModelCallFailed | ev.Stopped):
            self._break([block for block in self._open if block not in finishing], at)
        match recorded.event:
            case ev.ModelCallStarted(call_id):
                self._call = call_id
            case ev.ModelReplied() | ev.Stopped():
                self._call = ""
            case _:
                pass
        self._turn.note(recorded)
        self._finish(frame.block for frame in frames)
        tolds = self._form.event(recorded, frames)
        if self._form.by_event:
            self._tell_event(recorded, tolds, [frame.block for frame in frames])
        else:
            self._tell_frames(recorded, tolds, frames)
        self._forget()

    def _tell_frames(self, recorded: Recorded, tolds: Sequence[Told], frames: Sequence[Frame]) -> None:
        for told, frame in zip(tolds, frames, strict=True):
            self._number = frame.number
            self._open.pop(frame.block, None)
            entry = Entry(told, Cursor(self._number, self.offsets), recorded.seq, (frame.block,))
            entry.weight = weight(frame.body)
            self._append(entry)

    def _tell_event(self, recorded: Recorded, tolds: Sequence[Told], blocks: Sequence[str]) -> None:
        """Tell what one event comes to under one number, which only the last of it bears."""
        self._number = recorded.seq
        for block in blocks:
            self._open.pop(block, None)
        cursor = Cursor(self._number, self.offsets)
        for place, told in enumerate(tolds, start=1):
            last = place == len(tolds)
            entry = Entry(told, cursor, recorded.seq, blocks if last else (), identified=last)
            entry.weight = 2000 if callable(told.data) else weight(told.data)
            self._append(entry)

    def _break(self, blocks: Sequence[str], at: datetime) -> None:
        """End blocks that the log will never have, with what was shown of them."""
        for block in blocks:
            known = self._open.pop(block)
            self._finish((block,))
            shown = known.block
            if told := self._form.broken(block, shown.kind, shown.text, at) if shown.text else None:
                entry = Entry(told, Cursor(self._number, self.offsets))
                self._broken[block] = entry
                self._follow(entry)
        while len(self._broken) > BROKEN:
            del self._broken[next(iter(self._broken))]

    def _finish(self, blocks: Iterable[str]) -> None:
        """Remember blocks that nothing more is told of, though they may be shown as open for a moment yet."""
        for block in blocks:
            self._finished[block] = None
            self._pieces.pop(block, None)
        while len(self._finished) > FINISHED:
            del self._finished[next(iter(self._finished))]

    def _append(self, entry: Entry) -> None:
        self._kept.append(entry)
        self._weight += entry.weight
        self._follow(entry)

    def _follow(self, entry: Entry) -> None:
        self._run.append(entry)
        if len(self._run) >= 2 * RUN:
            del self._run[:RUN]
            self._dropped += RUN

    def _forget(self) -> None:
        """Let go of the oldest part of the log when much is kept; a number is forgotten whole."""
        if self._weight <= self._keep * 1.25:
            return
        gone = 0
        while self._weight > self._keep and gone < len(self._kept) - 1:
            self._weight -= self._kept[gone].weight
            gone += 1
        while gone < len(self._kept) and gone and self._kept[gone].number == self._kept[gone - 1].number:
            self._weight -= self._kept[gone].weight
            gone += 1
        if gone:
            self._forgotten = (self._kept[gone - 1].number, self._kept[gone - 1].seq)
            del self._kept[:gone]
            while self._run and self._run[0].number <= self._forgotten[0]:
                del self._run[0]
                self._dropped += 1


@dataclass(slots=True)
class _Turn:
    """Where the turn that is shown begins: at the seq of its event, with inputs that had been waiting."""

    seq: int = 1
    waiting: frozenset[int] = frozenset()
    _count: int = 0
    _queued: dict[str, int] = field(default_factory=dict[str, int])

    def note(self, recorded: Recorded) -> None:
        """Follow the log."""
        match recorded.event:
            case ev.TurnStarted():
                self._count += 1
                if self._count > 1:
                    self.seq, self.waiting = recorded.seq, frozenset(self._queued.values())
            case ev.InputQueued(input_id):
                self._queued[input_id] = recorded.seq
            case ev.InputTaken(input_ids):
                for input_id in input_ids:
                    self._queued.pop(input_id, None)
            case ev.InputDeleted(input_id) | ev.InputDropped(input_id):
                self._queued.pop(input_id, None)
            case _:
                pass


class Reader:
    """Where one reader stands; what he has not got is in the telling, so he holds nothing however slow he is."""

    def __init__(self, start: Cursor | None) -> None:
        self._begun = start is not None
        self.cursor = start or Cursor()
        self._first: Sequence[Entry] = ()
        self._place: int | None = None

    def take(self, telling: Telling, at: datetime) -> bytes | None:
        """Return what comes next, empty when there is nothing now; None when the telling has forgotten it."""
        if not self._begun and not self._begin(telling):
            return None
        if self._first:
            return self._before()
        if self._place is not None and (told := telling.follow(self._place)) is not None:
            self._place += len(told)
            if told:
                self.cursor = told[-1].cursor
            return told[0].whole if len(told) == 1 else b"".join([entry.whole for entry in told])
        return self._catch_up(telling, at)

    def owed(self, past: Telling) -> bytes:
        """Return what comes next of the log's part, from a telling that has forgotten nothing; empty when none is."""
        if not self._begun:
            self._begin(past)
        return self._before() if self._first else self._give(past.after(self.cursor.number) or ())

    def _before(self) -> bytes:
        """Return inputs from before the turn that is shown; they do not move the reader."""
        first, self._first, stands = self._first, (), self.cursor
        given = self._give(first)
        self.cursor = stands
        return given

    def _begin(self, telling: Telling) -> bool:
        if (beginning := telling.beginning()) is None:
            return False
        number, self._first = beginning
        self.cursor, self._begun = Cursor(number), True
        return True

    def _catch_up(self, telling: Telling, at: datetime) -> bytes | None:
        self._place = None
        missing = telling.after(self.cursor.number)
        if missing is None:
            return None
        if missing:
            return self._give(missing)
        entries, self.cursor = telling.rest(self.cursor, at)
        if self.cursor.offsets == telling.offsets:
            self._place = telling.end
        return b"".join([entry.whole for entry in entries])

    def _give(self, entries: Sequence[Entry]) -> bytes:
        given: list[bytes] = []
        for entry in entries:
            closed = entry.closes
            offsets = {block: offset for block, offset in self.cursor.offsets.items() if block not in closed}
            at = Cursor(entry.number, offsets)
            given.append(entry.at(at))
            if entry.identified:
                self.cursor = at
        return b"".join(given)


def _id(cursor: Cursor) -> bytes:
    return f"id: {cursor}\n".encode()


def event(kind: str, data: Data) -> bytes:
    """Return one server-sent event, without an id."""
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n".encode()


def weight(value: object) -> int:
    """Return about how many bytes a JSON value takes."""
    if isinstance(value, str):
        return 50 + len(value)
    if isinstance(value, Mapping):
        return sum(50 + weight(one) for one in cast("Mapping[str, Any]", value).values())
    if isinstance(value, list | tuple):
        return sum(weight(one) for one in cast("Sequence[Any]", value))
    return 10
