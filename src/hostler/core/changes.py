"""Who is told of changes so early that he may show what he remembers of a row."""

from typing import Protocol

ANYTHING = "*"
"""Stands among the ids of a change that does not say what it changes: a role, a policy, whatever it may be."""


class Follower(Protocol):
    """Keeps something that follows from rows."""

    def changing(self, ids: frozenset[str]) -> None:
        """Forget what follows from these rows and keep nothing of them: their change is about to be committed.

        Called outside the event loop, before anybody can read the change.
        """
        ...

    def changed(self, ids: frozenset[str]) -> None:
        """Know that a change is over, committed or not; called in the event loop once for each `changing`."""
        ...


class Changes(Protocol):
    """Every change of a row there is: nobody else writes to this database."""

    def follow(self, follower: Follower) -> None:
        """Tell a follower of every change from now on."""
        ...
