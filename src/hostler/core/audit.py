"""Who did what: one entry for each change that somebody asked for, whether it was done or refused.

An entry says who, what, to what and how it ended, never what was in the request.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

Outcome = Literal["asked", "done", "refused", "failed"]
"""`asked` is an administrative change whose end nobody saw: the server died in between."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry; `action` is the method or route, the subject what it was about, if that is known."""

    id: str
    at: datetime
    actor_id: str
    actor_kind: str
    actor_name: str
    action: str
    outcome: Outcome
    subject_kind: str = ""
    subject_id: str = ""
    details: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Which entries are wanted; empty fields match everything. `since` is included, `until` is not."""

    actors: Sequence[str] = ()
    actor_kinds: Sequence[str] = ()
    subjects: Sequence[str] = ()
    subject_kinds: Sequence[str] = ()
    since: datetime | None = None
    until: datetime | None = None


class Audit(Protocol):
    """The entries, of all processes."""

    async def write(self, entry: Entry) -> None:
        """Keep an entry; one that is there already, by its id, gets its end."""
        ...

    async def find(
        self, query: AuditQuery, *, beyond: str = "", limit: int = 100, oldest_first: bool = False
    ) -> tuple[Entry, ...]:
        """Return entries, newest first unless told otherwise, behind the one with the id `beyond`."""
        ...

    async def expire(self, before: datetime) -> int:
        """Remove what is older; return how many went."""
        ...


class NoAudit:
    """Keeps nothing; for those who test the border without it. Implements `Audit`."""

    async def write(self, entry: Entry) -> None:
        """Keep nothing."""

    async def find(
        self, query: AuditQuery, *, beyond: str = "", limit: int = 100, oldest_first: bool = False
    ) -> tuple[Entry, ...]:
        """Return nothing."""
        return ()

    async def expire(self, before: datetime) -> int:
        """Remove nothing."""
        return 0
