"""Where kept work lies so that another machine can make its workspace again: one file for each execution."""

from pathlib import Path
from typing import Protocol


class KeptBundles(Protocol):
    """One bundle for each execution; it goes with the execution."""

    async def save(self, execution: str, file: Path) -> None:
        """Keep a file's bytes instead of what was kept before; NotFound when the execution is gone.

        Whoever loads meanwhile gets the one or the other, whole. The same bytes again cost next to nothing.
        """
        ...

    async def load(self, execution: str, file: Path) -> bool:
        """Write what is kept to a file; return whether there is anything, and leave no file if not."""
        ...

    async def remove(self, execution: str) -> None:
        """Keep nothing of an execution any more; repeating it is fine."""
        ...
