"""What compaction, commands and shell inputs change in the plan."""

from typing import Never

from hostler.core.events import Event
from hostler.core.state import State

Effect = Never
"""What it may want."""


def before_call(state: State) -> tuple[Event, ...]:
    """Return what comes before the next model call, instead of it; () when nothing does."""
    return ()


def wanted(state: State) -> frozenset[Effect]:
    """Return the effects that should be in flight because of this, in whatever phase."""
    return frozenset()


def holds(state: State) -> bool:
    """Return whether a running turn is not at rest because of this."""
    return False
