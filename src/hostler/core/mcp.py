"""The MCP servers of an execution as its log knows them: a part of the state."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.core import events as ev
from hostler.core import mcp_events as m
from hostler.core.changing import changed as replace
from hostler.core.events import Event, Recorded
from hostler.core.mcp_servers import is_mcp

if TYPE_CHECKING:
    from hostler.core.state import State


@dataclass(frozen=True, slots=True)
class Mcp:
    """What is known; see the module."""

    servers: tuple[m.McpStatus, ...] = ()
    sequence: int = 0
    """How often the list changed."""
    adrift: tuple[str, ...] = ()
    """Calls that were under way when their owner died: nobody hears what they came to."""


def follow(part: Mcp, state: "State", recorded: Recorded) -> Mcp:
    """Return what is known after one more event; `state` is the rest of the state after it."""
    event = recorded.event
    match event:
        case m.McpChanged(servers):
            return replace(part, servers=servers, sequence=part.sequence + 1)
        case ev.TurnAdopted():
            return replace(part, adrift=tuple(tool.id for tool in state.tools if tool.started and is_mcp(tool.name)))
        case _:
            return part


HEARD: tuple[type[Event], ...] = (m.McpChanged, ev.TurnAdopted)
"""Kinds of events that change it."""
