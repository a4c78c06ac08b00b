"""What is wanted because an execution waits for something."""

from typing import Never

from hostler.core.state import State

Effect = Never
"""What it may want."""


def wanted(state: State) -> frozenset[Effect]:
    """Return the effects that should be in flight because of this, in whatever phase."""
    return frozenset()


def holds(state: State) -> bool:
    """Return whether a running turn is not at rest because of this."""
    return False
