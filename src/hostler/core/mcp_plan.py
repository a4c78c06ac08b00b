"""What the MCP servers of an execution change in the plan.

The engine starts them when it makes the first call of a turn, and says so in the log. From then on they are watched,
each change of the log's list beginning the next watch; and when the agent rests for a while, they are closed.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from hostler.core import events as ev
from hostler.core.events import Event
from hostler.core.mcp_events import USABLE
from hostler.core.state import OpenTool, State

LINGER = 60.0
"""Seconds that servers go on after a turn's end, for the next one to come."""
ADRIFT_TEXT = (
    "The outcome of this call is unknown: Hostler was restarted while it ran. It may have taken effect in part or in "
    "whole; look before you repeat it."
)


@dataclass(frozen=True, slots=True)
class WatchMcp:
    """Say what changes of the servers of a running turn, beyond what the log knows; ends in McpChanged."""

    turn: int
    sequence: int


@dataclass(frozen=True, slots=True)
class RestMcp:
    """Close the servers of an execution that rests, at `not_before`; ends in McpChanged."""

    turn: int
    sequence: int
    not_before: datetime | None


Effect = WatchMcp | RestMcp
"""What it may want."""


def wanted(state: State) -> frozenset[Effect]:
    """Return the effects that should be in flight because of this, in whatever phase."""
    part = state.mcp
    if not part.servers or state.begun.agent.driver != "builtin":
        return frozenset()
    usable = any(server.phase in USABLE for server in part.servers)
    match state.phase:
        case "RUNNING" if state.stop is None and state.environment.ready and not state.killing:
            return frozenset({WatchMcp(state.turn, part.sequence)})
        case "WAITING_FOR_INPUT" if usable and state.waiting_since is not None:
            due = state.waiting_since + timedelta(seconds=LINGER)
            return frozenset({RestMcp(state.turn, part.sequence, due)})
        case "STOPPED" if usable and not (state.killing or state.deleted):
            return frozenset({RestMcp(state.turn, part.sequence, None)})
        case _:
            return frozenset()


def adrift(tool: OpenTool, state: State) -> tuple[Event, ...]:
    """Return what becomes of a call that nobody hears any more; it is not made again."""
    return (ev.ToolFinished(tool.id, "unknown", ADRIFT_TEXT),) if tool.id in state.mcp.adrift else ()


def holds(state: State) -> bool:
    """Return whether a running turn is not at rest because of this."""
    return False
