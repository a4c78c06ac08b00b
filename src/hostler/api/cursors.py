"""Where a reader of a conversation stands, as the ids of its events say it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from hostler.core.errors import InvalidArgument

ID = re.compile(r"(\d{1,15})((?::[0-9a-fA-F-]{36}:\d{1,15})*)")
MAX_ID = 4096


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last finished event that a reader has, and the open blocks with the characters he has of each."""

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
