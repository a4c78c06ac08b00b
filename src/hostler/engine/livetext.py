"""The text that is being said right now.

The log has a block when it is finished; until then it is here, in memory, and every piece was kept in a file before
anybody saw it. So whoever goes on after a crash knows what people were shown, and says in the log what became of it.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace

from hostler.core.conversation import Delta
from hostler.core.ports import OpenBlock
from hostler.core.redaction import RedactingStream, Redactor
from hostler.core.spoken import Spoken, SpokenText
from hostler.projections.blocks import block_id


@dataclass(slots=True)
class _Listeners:
    events: set[asyncio.Event] = field(default_factory=set[asyncio.Event])


@dataclass(slots=True)
class _Talk:
    """What is open in one execution; a block in `whole`, or all when `hushed`, is shown again when it is finished."""

    blocks: dict[str, OpenBlock] = field(default_factory=dict[str, OpenBlock])
    streams: dict[str, RedactingStream] = field(default_factory=dict[str, RedactingStream])
    whole: set[str] = field(default_factory=set[str])
    hushed: bool = False


class LiveText:
    """Open blocks by execution, and who listens to them."""

    def __init__(self, redactor: Redactor, spoken: SpokenText) -> None:
        self._redactor = redactor
        self._spoken = spoken
        self._talks: dict[str, _Talk] = {}
        self._listeners: dict[str, _Listeners] = {}

    def begin(self, execution: str, fence: int, call_id: str, attempt: str) -> "Saying":
        """Begin to say what one try of one model call says; earlier tries of the execution are no longer shown."""
        self._spoken.replace(execution, ())
        talk = self._talks[execution] = _Talk()
        return Saying(self, talk, (execution, fence, call_id, attempt))

    def piece(self, execution: str, piece: Spoken, begun: _Talk | None = None) -> None:
        """Show one more piece of a block, as far as it can be told that no secret is in it.

        What a try that was `begun` says when it is over already, since it is about to be cancelled, nobody is shown.
        """
        talk = self._talks.get(execution) if begun else self._talks.setdefault(execution, _Talk())
        if talk is None or talk is not (begun or talk):
            return
        if (stream := talk.streams.get(piece.block)) is None:
            stream = talk.streams[piece.block] = self._redactor.stream()
        said = stream.feed(piece.text)
        if not (said or stream.holding) or piece.block in talk.whole or talk.hushed:
            return
        if not self._spoken.add(execution, replace(piece, text=said, held=stream.holding)):
            talk.whole.add(piece.block)  # What could be lost is not shown.
            return
        if said:
            _grow(talk, piece, said)
            self._poke(execution)

    def hush(self, execution: str) -> None:
        """Show no more of what is open until it is finished: what was shown so far is on its way into the log."""
        if talk := self._talks.get(execution):
            talk.hushed = True

    def restore(self, execution: str, before: int | None = None) -> None:
        """Know again what people were shown by whoever was here before.

        `before` is the place in an agent's output from which it is read once more; what was said from there on is
        said again. A block of which something was held back there is shown when it is whole.
        """
        kept = self._spoken.read(execution)
        if before is not None and (left := [piece for piece in kept if piece.offset < before]) != kept:
            self._spoken.replace(execution, left)
            kept = left
        talk = self._talks[execution] = _Talk()
        for piece in kept:
            if piece.text:
                _grow(talk, piece, piece.text)
            (talk.whole.add if piece.held else talk.whole.discard)(piece.block)
        self._poke(execution)

    def close(self, execution: str, blocks: Sequence[str]) -> None:
        """Forget blocks: they are in the log now."""
        talk = self._talks.get(execution)
        if talk is None or not any(block in talk.blocks or block in talk.streams for block in blocks):
            return
        for block in blocks:
            talk.streams.pop(block, None)
            talk.whole.discard(block)
            talk.blocks.pop(block, None)
        kept = self._spoken.read(execution) if talk.blocks else ()
        self._spoken.replace(execution, [one for one in kept if one.block in talk.blocks])
        self._poke(execution)

    def rest(self, execution: str) -> None:
        """Forget what is open, for it is in the log now; more may be said soon."""
        self._spoken.replace(execution, ())
        if self._talks.pop(execution, None):
            self._poke(execution)

    def end(self, execution: str) -> None:
        """Forget what is open: it is in the log now, and nothing more will be said."""
        self._spoken.forget(execution)
        if self._talks.pop(execution, None):
            self._poke(execution)

    def leave(self, execution: str) -> None:
        """Let go of what is open where it stands: it will be restored, or said again."""
        self._spoken.release(execution)
        if self._talks.pop(execution, None):
            self._poke(execution)

    def open_blocks(self, execution: str) -> tuple[OpenBlock, ...]:
        """Return the open blocks in order."""
        talk = self._talks.get(execution)
        return tuple(talk.blocks.values()) if talk else ()

    async def pieces(self, execution: str) -> AsyncIterator[None]:
        """Yield whenever something was said; what comes together is one."""
        mine = asyncio.Event()
        listeners = self._listeners.setdefault(execution, _Listeners())
        listeners.events.add(mine)
        try:
            while True:
                await mine.wait()
                mine.clear()
                yield
        finally:
            listeners.events.discard(mine)
            if not listeners.events and self._listeners.get(execution) is listeners:
                del self._listeners[execution]

    def _poke(self, execution: str) -> None:
        if listeners := self._listeners.get(execution):
            for event in listeners.events:
                event.set()


def _grow(talk: _Talk, piece: Spoken, said: str) -> None:
    known = talk.blocks.get(piece.block)
    number, text = (known.sequence, known.text) if known else (0, "")
    grown = OpenBlock(piece.block, piece.call_id, piece.part, piece.kind, number + 1, text + said)
    talk.blocks[piece.block] = grown


class Saying:
    """One try of one model call while it streams."""

    def __init__(self, live: LiveText, talk: _Talk, name: tuple[str, int, str, str]) -> None:
        self._live = live
        self._talk = talk
        self._name = name
        self._blocks: dict[int, str] = {}

    def on_delta(self, delta: Delta) -> None:
        """Show one more piece."""
        if delta.kind != "tool" and delta.text:
            execution, _, call_id, _ = self._name
            piece = Spoken(self.block(delta.part), call_id, delta.part, delta.kind, delta.text)
            self._live.piece(execution, piece, self._talk)

    def block(self, part: int) -> str:
        """Return the id of the block of a part."""
        if part not in self._blocks:
            self._blocks[part] = block_id(*self._name, part)
        return self._blocks[part]
