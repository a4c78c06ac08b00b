"""What conditions, required outputs and the judge change in the plan."""

from typing import Never

from hostler.core.events import Event
from hostler.core.state import State

Effect = Never
"""What it may want."""


def going_on(state: State) -> tuple[Event, ...]:
    """Return what makes a turn go on that has nothing left to do and is not done; () when it may end."""
    return ()


def wanted(state: State) -> frozenset[Effect]:
    """Return the effects that should be in flight because of this, in whatever phase."""
    return frozenset()


def holds(state: State) -> bool:
    """Return whether a running turn is not at rest because of this."""
    return False
