"""The text that is being said right now: hints in memory, lost with the process, while the log has the record."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Literal

from hostler.core.conversation import Delta
from hostler.core.ports import OpenBlock
from hostler.core.redaction import RedactingStream, Redactor
from hostler.projections.blocks import block_id


@dataclass(slots=True)
class _Listeners:
    events: set[asyncio.Event] = field(default_factory=set[asyncio.Event])


class LiveText:
    """Open blocks by execution, and who listens to them."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._open: dict[str, dict[str, OpenBlock]] = {}
        self._items: dict[str, dict[str, RedactingStream]] = {}
        self._listeners: dict[str, _Listeners] = {}

    def begin(self, execution: str, fence: int, call_id: str, attempt: int) -> "Saying":
        """Begin to say what one try of one model call says; earlier tries of the execution are no longer shown."""
        self._open.pop(execution, None)
        return Saying(self, self._redactor, execution, (execution, fence, call_id, attempt), call_id)

    def piece(self, execution: str, block: str, item: str, text: str, *, thinking: bool) -> None:
        """Show one more piece of an item that an external agent says under a block id."""
        stream = self._items.setdefault(execution, {}).setdefault(block, self._redactor.stream())
        if not (said := stream.feed(text)):
            return
        kind: Literal["text", "thinking"] = "thinking" if thinking else "text"
        known = self._open.get(execution, {}).get(block) or OpenBlock(block, item, 0, kind, 0, "")
        self.say(execution, replace(known, sequence=known.sequence + 1, text=known.text + said))

    def close(self, execution: str, block: str) -> None:
        """Forget one block: it is in the log now."""
        self._items.get(execution, {}).pop(block, None)
        if self._open.get(execution, {}).pop(block, None):
            self._poke(execution)

    def end(self, execution: str) -> None:
        """Forget what is open: it is in the log now, or it will be said again."""
        self._open.pop(execution, None)
        self._items.pop(execution, None)
        self._poke(execution)

    def open_blocks(self, execution: str) -> tuple[OpenBlock, ...]:
        """Return the open blocks in order."""
        return tuple(self._open.get(execution, {}).values())

    def say(self, execution: str, block: OpenBlock) -> None:
        """Show a block as it is now."""
        self._open.setdefault(execution, {})[block.block] = block
        self._poke(execution)

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


class Saying:
    """One try of one model call while it streams."""

    def __init__(
        self, live: LiveText, redactor: Redactor, execution: str, name: tuple[str, int, str, int], call_id: str
    ) -> None:
        self._live = live
        self._redactor = redactor
        self._execution = execution
        self._name = name
        self._call_id = call_id
        self._blocks: dict[int, OpenBlock] = {}
        self._streams: dict[int, RedactingStream] = {}

    def on_delta(self, delta: Delta) -> None:
        """Show one more piece."""
        if delta.kind == "tool" or not delta.text:
            return
        stream = self._streams.setdefault(delta.part, self._redactor.stream())
        if not (text := stream.feed(delta.text)):
            return
        kind: Literal["text", "thinking"] = delta.kind
        block = self._blocks.get(delta.part) or OpenBlock(
            self.block(delta.part), self._call_id, delta.part, kind, 0, ""
        )
        block = replace(block, sequence=block.sequence + 1, text=block.text + text)
        self._blocks[delta.part] = block
        self._live.say(self._execution, block)

    def block(self, part: int) -> str:
        """Return the id of the block of a part."""
        return block_id(*self._name, part)
