"""What a mode changes in the plan: what a run that goes on by itself does when it has nothing left to do."""

from typing import Never

from hostler.core.events import Event
from hostler.core.state import State

Effect = Never
"""What it may want."""


def going_on(state: State) -> tuple[Event, ...]:
    """Return what begins another round of a running turn that has nothing left to do; () when it may end."""
    return ()


def wanted(state: State) -> frozenset[Effect]:
    """Return the effects that should be in flight because of this, in whatever phase."""
    return frozenset()


def holds(state: State) -> bool:
    """Return whether a running turn is not at rest because of this."""
    return False
