"""The conversation as one reader sees it: finished blocks from the log, merged with the text that is being said.

Pure: it is fed what was read and gives what is to be sent. A reader who joins late gets the open block's text so far
as one DELTA, one who comes back with his last id gets only the rest.
"""

import base64
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hostler.core import events as ev
from hostler.core.errors import InvalidArgument
from hostler.core.events import Recorded
from hostler.core.ports import OpenBlock
from hostler.projections.blocks import Frame, Framer
from hostler.projections.status import stamp

KINDS = {"text": "TYPE_USER_FACING_OUTPUT", "thinking": "TYPE_THOUGHTS"}
ID = re.compile(r"(\d{1,15})((?::[0-9a-fA-F-]{36}:\d{1,15})*)")
MAX_ID = 4096


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a reader stands: the last finished frame he has, and the open blocks with the characters he has of each."""

    number: int = 0
    offsets: Mapping[str, int] = field(default_factory=dict[str, int])

    def __str__(self) -> str:
        return ":".join([str(self.number), *(f"{block}:{offset}" for block, offset in self.offsets.items())])


def cursor_of(text: str, field_name: str = "Last-Event-ID") -> Cursor:
    """Return the cursor that an event id is; InvalidArgument when it is none."""
    match = ID.fullmatch(text) if len(text) <= MAX_ID else None
    if match is None:
        raise InvalidArgument("this is no id of this stream", field=field_name)
    rest = match[2].split(":")[1:]
    return Cursor(int(match[1]), {block: int(offset) for block, offset in zip(rest[::2], rest[1::2], strict=True)})


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to send: its tag and JSON, and the cursor that the reader has after it."""

    tag: int
    body: Mapping[str, Any]
    cursor: Cursor


@dataclass(slots=True)
class _Told:
    """What a reader has of an open block; `text` is not known when he brought only its length."""

    kind: str
    offset: int
    sequence: int = 0
    text: str | None = None


class Conversation:
    """One reader's view of one execution's conversation."""

    def __init__(self, execution: str, start: Cursor | None) -> None:
        self._framer = Framer(execution)
        self._start = start
        self._number = start.number if start else 0
        self._told: dict[str, _Told] = {}
        self._brought = dict(start.offsets) if start else {}
        self._finished: set[str] = set()
        self._call = ""

    @property
    def seq(self) -> int:
        """Return the last event that was read."""
        return self._framer.state.seq

    @property
    def call(self) -> str:
        """Return the model call that is open in the log; empty when none is."""
        return self._call

    @property
    def idle(self) -> bool:
        """Return whether nothing more will be said until somebody sends something."""
        state = self._framer.state
        return state.phase == "STOPPED" or (state.phase == "WAITING_FOR_INPUT" and not state.queue)

    @property
    def phase(self) -> str:
        """Return the phase after the last event that was read."""
        return self._framer.state.phase

    def open(self, log: Sequence[Recorded], at: datetime) -> list[Item]:
        """Read the log from its beginning; without a cursor the current or just ended turn is shown."""
        if self._start is not None:
            items = [item for recorded in log for item in self._feed(recorded, at)]
            self._bring()
            return items
        shown = _shown(log)
        items: list[Item] = []
        for recorded in log:
            fed = self._feed(recorded, at)
            if recorded.seq in shown:
                items += fed
        return items

    def grow(self, tail: Iterable[Recorded], at: datetime) -> list[Item]:
        """Read what the log has gained."""
        return [item for recorded in tail if recorded.seq > self.seq for item in self._feed(recorded, at)]

    def say(self, blocks: Sequence[OpenBlock], at: datetime) -> list[Item]:
        """Return the pieces of open blocks that the reader has not got.

        Only of the call that is open in the log as read so far: what was said before it must have been sent first.
        """
        items: list[Item] = []
        still = {block.block for block in blocks}
        for block in blocks:
            if block.call_id != self._call or block.block in self._finished:
                continue
            told = self._told.get(block.block)
            if told is None:
                items += self._close([one for one in self._told if one not in still], at)
                told = self._told[block.block] = _Told(block.kind, 0)
            told.kind, piece = block.kind, block.text[told.offset :]
            told.text, told.offset = block.text, max(told.offset, len(block.text))
            if piece:
                told.sequence = block.sequence
                items.append(self._delta(block, piece, at))
        return items

    def _feed(self, recorded: Recorded, at: datetime) -> list[Item]:
        frames = self._framer.feed(recorded)
        if self._start and frames and frames[-1].number > self._start.number:
            self._bring()
        ends = isinstance(recorded.event, ev.ModelReplied | ev.ModelCallFailed | ev.TurnAdopted | ev.Stopped)
        finishing = {frame.block for frame in frames}
        items = self._close([block for block in self._told if block not in finishing], at) if ends else []
        match recorded.event:
            case ev.ModelCallStarted(call_id):
                self._call = call_id
            case ev.ModelReplied() | ev.Stopped():
                self._call = ""
            case _:
                pass
        for frame in frames:
            if self._start is None or frame.number > self._start.number:
                items.append(self._frame(frame))
        return items

    def _bring(self) -> None:
        """Take over what the reader has of open blocks, once the log is where he left it."""
        self._told |= {block: _Told("", offset) for block, offset in self._brought.items()}
        self._brought = {}

    def _frame(self, frame: Frame) -> Item:
        self._number = frame.number
        self._told.pop(frame.block, None)
        self._finished.add(frame.block)
        return Item(frame.tag, frame.body, self._cursor())

    def _close(self, blocks: Sequence[str], at: datetime) -> list[Item]:
        """Complete blocks that will never be finished under their id, with what the reader was told of them."""
        items: list[Item] = []
        for block in blocks:
            told = self._told.pop(block)
            self._finished.add(block)
            if told.text:
                text = {"type": KINDS[told.kind], "content": told.text}
                body = {"id": block, "phase": "PHASE_COMPLETED", "createdAt": stamp(at), "text": text}
                items.append(Item(1, body, self._cursor()))
        return items

    def _delta(self, block: OpenBlock, piece: str, at: datetime) -> Item:
        text = {"type": KINDS[block.kind], "content": piece, "sequenceId": str(block.sequence)}
        body = {"id": block.block, "phase": "PHASE_DELTA", "createdAt": stamp(at), "text": text}
        return Item(1, body, self._cursor())

    def _cursor(self) -> Cursor:
        return Cursor(self._number, {block: told.offset for block, told in self._told.items()})


def _shown(log: Sequence[Recorded]) -> range | frozenset[int]:
    """Return the seqs of the last turn, and of the inputs that were waiting when it began."""
    turns = [recorded for recorded in log if isinstance(recorded.event, ev.TurnStarted)]
    if len(turns) < 2:
        return range(1, len(log) + 1)
    first = turns[-1].seq
    waiting: dict[str, int] = {}
    for recorded in log[: first - 1]:
        match recorded.event:
            case ev.InputQueued(input_id):
                waiting[input_id] = recorded.seq
            case ev.InputTaken(input_ids):
                for input_id in input_ids:
                    waiting.pop(input_id, None)
            case ev.InputDeleted(input_id) | ev.InputDropped(input_id):
                waiting.pop(input_id, None)
            case _:
                pass
    return frozenset(waiting.values()) | frozenset(recorded.seq for recorded in log[first - 1 :])


def event(kind: str, data: Mapping[str, Any], cursor: Cursor | None = None) -> bytes:
    """Return one server-sent event."""
    head = f"id: {cursor}\n" if cursor is not None else ""
    return f"{head}event: {kind}\ndata: {json.dumps(data)}\n\n".encode()


def frame_bytes(tag: int, message: bytes) -> str:
    """Return a frame as the wire has it: the tag and the message, in base64."""
    return base64.b64encode(bytes([tag]) + message).decode()
