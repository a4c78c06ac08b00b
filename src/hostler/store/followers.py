"""Who remembers what follows from rows: told of every commit of this process, before it and after it."""

from hostler.core.changes import Follower


class Followers:
    """Everybody who remembers something."""

    def __init__(self) -> None:
        self._all: list[Follower] = []

    def follow(self, follower: Follower) -> None:
        """Tell a follower of every commit from now on."""
        self._all.append(follower)

    def begin(self, changing: frozenset[str]) -> None:
        """Tell what the commit that comes next changes; called in the writer's thread."""
        for follower in self._all:
            follower.changing(changing)

    def end(self, changing: frozenset[str]) -> None:
        """Tell that it is over; called in the event loop."""
        for follower in self._all:
            follower.changed(changing)
