"""Work that is kept outside its environment: the events that tell of it, and the values that are asked and answered."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class WorkKept:
    """The workspace as it was at a turn's end is kept outside as a commit; no commit: nothing differs from the base."""

    turn: int
    commit: str
    files: int = 0
    """Files that differ from the base."""
    bytes: int = 0
    """What had to be sent for it, packed."""
    base: str = ""
    """The commit that the change is measured from; empty: everything is the change."""
    head: str = ""
    """The workspace's own head, parent of the commit."""
    branch: str = ""
    repository: bool = True
    """The workspace had a repository."""
    pushed: bool = False
    """All of it was in a branch of a remote too, as far as the inside said."""
    left_out: tuple[str, ...] = ()
    """What was not kept, in words."""
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class WorkNotKept:
    """The work of a turn could not be kept; what was kept before it still is."""

    turn: int
    reason: str
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class WorkApplied:
    """Somebody brought a kept commit into a repository of theirs."""

    commit: str
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class WorkRestored:
    """The execution goes on in a new environment, made from what was kept of a turn."""

    environment_id: str
    turn: int
    commit: str
    VERSION: ClassVar[int] = 1


KeptEvent = WorkKept | WorkNotKept | WorkApplied | WorkRestored


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of an execution's work as its log knows it: the last that was, and whether it was applied."""

    work: WorkKept
    at: datetime
    applied: bool = False

    @property
    def loose(self) -> bool:
        """Return whether it is neither pushed nor applied: gone for good when it is removed here."""
        return bool(self.work.commit) and not (self.work.pushed or self.applied)


@dataclass(frozen=True, slots=True)
class KeepRequest:
    """What is to be kept of a workspace: under which name (EXECUTION/TURN), and what is known outside already."""

    name: str
    base: str = ""
    """The commit that the change is measured from; empty: everything is the change."""
    anchor: str = ""
    """The commit that can be had elsewhere; what it holds is not sent."""
    known: str = ""
    """What was kept last."""
    limit: int = 256 << 20
    """Bytes of the pack."""
    file_limit: int = 64 << 20
    """Bytes of a file; larger ones are left out, and named."""
    without: tuple[str, ...] = ()
    """Files, by their paths in the workspace, whose changes are left out: secrets that were put there."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The workspace as a commit; the pack that came with it holds what was not known outside."""

    commit: str
    """Empty: nothing differs from the base."""
    base: str
    """As asked; empty when the workspace does not know that commit any more."""
    head: str
    branch: str
    repository: bool
    files: int
    pushed: bool
    left_out: tuple[str, ...]
    size: int
    """Bytes of the pack; 0: there was nothing to send."""


OnPart = Callable[[bytes], Awaitable[None]]
