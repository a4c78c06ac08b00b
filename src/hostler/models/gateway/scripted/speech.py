"""How a scripted reply is put into a protocol: texts stream while the script speaks, tool calls come at the end."""

import json
from collections.abc import Iterator
from typing import Any, Protocol

from hostler.core.conversation import Delta, ModelReply

Body = dict[str, Any]


class Speech(Protocol):
    """One answer in one protocol."""

    def begin(self) -> Iterator[bytes]:
        """Yield what comes first."""
        ...

    def delta(self, delta: Delta) -> Iterator[bytes]:
        """Yield a piece of a text."""
        ...

    def end(self, reply: ModelReply) -> Iterator[bytes]:
        """Yield the rest: the calls, the usage, the end."""
        ...

    def whole(self, reply: ModelReply) -> Body:
        """Return the answer in one piece."""
        ...


def event(body: Body, name: str = "") -> bytes:
    """Return one event."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(body, ensure_ascii=False)}\n\n".encode()
