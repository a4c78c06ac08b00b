"""Who may change anything here: the registered executions, the highest fence of each, the ids that may not start."""

from __future__ import annotations

import time
from typing import Any


class Refused(Exception):
    """A request that is answered with an error; `kind` is one of fenced, lost, bad, file."""

    def __init__(self, kind: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.kind = kind
        self.more = more


class Fences:
    """The registry; it lives as long as the supervisor, whose incarnation every change must name."""

    def __init__(self, incarnation: str) -> None:
        self.incarnation = incarnation
        self._highest: dict[str, int] = {}
        self._dead: set[tuple[str, str]] = set()

    def register(self, execution: str, fence: int) -> None:
        """Admit the execution from `fence` on; raises Refused when a higher one was seen."""
        if fence < self._highest.get(execution, fence):
            raise Refused("fenced", f"a newer owner has been here with fence {self._highest[execution]}")
        self._highest[execution] = fence

    def check(self, execution: str, fence: int, incarnation: str | None) -> None:
        """Raise Refused unless this supervisor is meant, knows the execution and has seen no higher fence."""
        if incarnation is not None and incarnation != self.incarnation:
            raise Refused("lost", "the environment was restarted since", incarnation=self.incarnation)
        if execution not in self._highest:
            raise Refused("fenced", "this execution is not registered here")
        self.register(execution, fence)

    def in_time(self, until: float) -> None:
        """Raise Refused when the asker's lease is over: he may have been asleep, and somebody else decided since."""
        if time.clock_gettime(time.CLOCK_BOOTTIME) >= until:
            raise Refused("fenced", "the owner's lease had run out before this arrived")

    def bury(self, execution: str, operation: str) -> None:
        """Leave a tombstone: the operation can never start."""
        self._dead.add((execution, operation))

    def buried(self, execution: str, operation: str) -> bool:
        """Say whether the operation has a tombstone."""
        return (execution, operation) in self._dead
