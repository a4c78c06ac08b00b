"""Which tool calls may start, and which wait for a person's word."""

from typing import Never

from hostler.core.events import Event
from hostler.core.state import OpenTool, State

Effect = Never
"""What it may want."""


def gate(tool: OpenTool, state: State) -> tuple[Event, ...] | None:
    """Return what happens instead of starting a call (() = it waits); None when it may start."""
    return None


def awaits(tool: OpenTool, state: State) -> bool:
    """Return whether a call waits for a person's word."""
    return False


def wanted(state: State) -> frozenset[Effect]:
    """Return the effects that should be in flight because of this, in whatever phase."""
    return frozenset()


def holds(state: State) -> bool:
    """Return whether a running turn is not at rest because of this."""
    return False
