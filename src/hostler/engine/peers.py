"""The other runners of the database: whether each lives, and where it is reached."""

from collections.abc import Sequence

from hostler.core.ambient import Ambient
from hostler.core.errors import Unavailable
from hostler.core.lease import MARGIN
from hostler.core.runners import RunnerRows, RunnerSeen


class Peers:
    """What is known of all runners; `look` reads it anew, everything else answers from the last look."""

    def __init__(self, me: str, rows: RunnerRows, ambient: Ambient, *, lease: float, alone: bool = False) -> None:
        self.alone = alone
        self._margin = lease * MARGIN
        self.me = me
        self._rows = rows
        self._ambient = ambient
        self._known: dict[str, RunnerSeen] = {}

    async def look(self) -> None:
        """Read the rows of all runners."""
        self._known = {one.id: one for one in await self._rows.find()}

    def all(self) -> Sequence[RunnerSeen]:
        """Return every runner, by id."""
        return tuple(self._known.values())

    def get(self, runner: str) -> RunnerSeen | None:
        """Return a runner; None for one that there is not."""
        return self._known.get(runner)

    def live(self, runner: str) -> bool:
        """Return whether a runner's process is to be taken as alive; this one is."""
        if runner == self.me:
            return True
        known = self._known.get(runner)
        return known is not None and known.live(self._ambient.now(), self._margin)

    async def lives(self, runner: str) -> bool:
        """Return the same from a fresh look, which is needed before anything is decided for a runner."""
        if runner != self.me:
            await self.look()
        return self.live(runner)

    def said(self, runner: str) -> str:
        """Return how people are told of a runner."""
        known = self._known.get(runner)
        return known.said if known else runner

    async def here_or_away(self, runner: str, what: str) -> None:
        """Raise Unavailable when another runner holds what only its holder can do something with."""
        if runner == self.me:
            return
        if await self.lives(runner):
            raise Unavailable(f"{what} is on runner {self.said(runner)}, which could not be reached from here")
        raise Unavailable(f"{what} is on runner {self.said(runner)}, which is away", retry_after=5.0)
