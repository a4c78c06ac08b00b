"""The lease of a process: until when it may begin anything, on its machine's own clock that counts while it sleeps.

Others take a runner as away when its lease, as the database has it, and a margin on top are over. So what a process
begins while it holds its lease is begun before anybody else decides for it; a process that was paused for longer than
that begins nothing before it has renewed the lease and taken its executions anew.
"""

from collections.abc import Callable

MARGIN = 0.25
"""Part of a lease after whose end others take it as over: clocks differ, and so do moments of looking."""


class Lease:
    """Held from a renewal on, for as long as its seconds say, counted from when the renewal was *asked* for."""

    def __init__(self, clock: Callable[[], float], seconds: float) -> None:
        self._clock = clock
        self.seconds = seconds
        self._end = 0.0

    @property
    def held(self) -> bool:
        """Return whether anything may begin now."""
        return self._clock() < self._end

    @property
    def end(self) -> float:
        """Return when it ends: seconds on the machine's clock that goes on while the machine or the process sleeps."""
        return self._end

    def renewed(self, asked: float) -> None:
        """Note a renewal that was asked for at `asked` and has been answered."""
        self._end = max(self._end, asked + self.seconds)
