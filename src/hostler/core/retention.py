"""What goes after a while: kinds of things that were kept for long enough, looked at and swept one by one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Swept:
    """How much of a kind went, or would go; `bytes` is what is known of its size."""

    name: str
    number: int
    bytes: int = 0


class Broom(Protocol):
    """One kind of things. Whoever keeps things of his own gives the retention one of these."""

    @property
    def name(self) -> str:
        """Return what people call it."""
        ...

    async def look(self, now: datetime) -> Swept:
        """Return what would go now, and change nothing."""
        ...

    async def sweep(self, now: datetime) -> Swept:
        """Let it go, in small steps; repeating it is fine."""
        ...


class Tidying(Protocol):
    """Lets everything go that was kept for long enough."""

    async def run(self, *, dry: bool, actor: tuple[str, str, str] = ("", "system", "hostler")) -> Sequence[Swept]:
        """Sweep, or only look; `actor` is (id, kind, name) of whoever asked."""
        ...


class NoTidying:
    """A server that keeps everything."""

    async def run(self, *, dry: bool, actor: tuple[str, str, str] = ("", "system", "hostler")) -> Sequence[Swept]:
        """Let nothing go."""
        return ()
