"""The MCP servers of an execution as its log knows them: a part of the state."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.core import agent_events as ae
from hostler.core import events as ev
from hostler.core import mcp_events as m
from hostler.core.changing import changed as replace
from hostler.core.events import Event, Recorded
from hostler.core.mcp_servers import is_mcp

if TYPE_CHECKING:
    from hostler.core.state import State

RESTED = "closed while the agent rests; it is started again with the next turn"


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
        case m.McpReported():
            servers = tuple(_reported(one, event) if one.id == event.id else one for one in part.servers)
            return replace(part, servers=servers)
        case ae.AgentEnded() | ev.Stopped() if state.begun.agent.driver != "builtin":
            return replace(part, servers=tuple(map(_ended, part.servers)))
        case _:
            return part


def _reported(server: m.McpStatus, event: m.McpReported) -> m.McpStatus:
    return replace(server, phase=event.phase, failure=event.failure)


def _ended(server: m.McpStatus) -> m.McpStatus:
    """Return a server whose agent has ended, and it with it."""
    return replace(server, phase="unavailable", warning=RESTED) if server.phase in m.USABLE else server


HEARD: tuple[type[Event], ...] = (m.McpChanged, m.McpReported, ev.TurnAdopted, ev.Stopped, ae.AgentEnded)
"""Kinds of events that change it."""
