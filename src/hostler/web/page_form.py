"""A conversation as the page's stream: items put by id, text appended to open blocks, and news of the rest."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from hostler.api.forms import Told
from hostler.core.events import Recorded
from hostler.core.ports import OpenBlock
from hostler.projections.blocks import Frame
from hostler.web.readings import Reading
from hostler.web.rendering import Ways, render


class PageForm:
    """The form of one channel; it is shared by all who look, so it knows nobody."""

    by_event: ClassVar[bool] = True

    def __init__(self, execution: str, reading: Reading) -> None:
        self._reading = reading
        self._ways = Ways(f"/executions/{execution}", inspect=False)

    def event(self, recorded: Recorded, frames: Sequence[Frame]) -> Sequence[Told]:
        """Return the items that an event made or changed, each as it is when it is read, and that there is news."""
        told = [self._put(item) for item in self._reading.feed(recorded)]
        return [*told, Told("panel", {"seq": recorded.seq})]

    def _put(self, item_id: str) -> Told:
        return Told("put", lambda: self._item(item_id))

    def _item(self, item_id: str) -> Mapping[str, Any]:
        item = self._reading.line.item(item_id)
        html = render([item], self._ways) if item else ""
        return {"id": item_id, "after": self._reading.line.previous(item_id), "html": str(html).strip()}

    def text(self, block: OpenBlock, offset: int, piece: str, at: datetime) -> Told:
        """Return a piece of text that is being said."""
        return Told("text", {"id": f"block-{block.block}", "kind": block.kind, "offset": offset, "text": piece})

    def broken(self, block: str, kind: str, text: str, at: datetime) -> Told | None:
        """Return that a block was shown which the log will never have: the page takes it away."""
        return Told("drop", {"id": f"block-{block}"})
