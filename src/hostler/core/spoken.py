"""Text that people were shown while it was being said, kept until the log has it: the port and its promises."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Spoken:
    """A piece of text as people were shown it, of the block with these properties (see OpenBlock).

    `offset` is where in an agent's output it was read; `held` says that what follows it was held back at that moment.
    """

    block: str
    call_id: str
    part: int
    kind: Literal["text", "thinking"]
    text: str
    offset: int = 0
    held: bool = False


class SpokenText(Protocol):
    """What people were shown and the log does not have yet; it survives the process. Its methods do not wait."""

    def add(self, execution: str, piece: Spoken) -> bool:
        """Keep a piece before anybody sees it; False when it cannot be kept, and then nobody may see it."""
        ...

    def read(self, execution: str) -> Sequence[Spoken]:
        """Return the pieces that are kept, in order."""
        ...

    def replace(self, execution: str, pieces: Sequence[Spoken]) -> None:
        """Keep these pieces and no others, all or as before."""
        ...

    def release(self, execution: str) -> None:
        """Let go of what keeping takes; the pieces stay."""
        ...

    def forget(self, execution: str) -> None:
        """Keep nothing of an execution any more; repeating it is fine."""
        ...
