"""What can happen to the MCP servers of an execution."""

from dataclasses import dataclass
from typing import ClassVar, Literal

McpPhase = Literal["initializing", "ready", "failed", "unavailable"]
USABLE: tuple[McpPhase, ...] = ("initializing", "ready")
"""Phases in which there may be a process or a connection."""


@dataclass(frozen=True, slots=True)
class McpStatus:
    """How one server stands."""

    id: str
    name: str
    phase: McpPhase
    failure: str = ""
    warning: str = ""
    tools: tuple[str, ...] = ()
    process: str = ""
    """The operation under which it runs inside, so that the next owner can end it; empty for one that is reached."""


@dataclass(frozen=True, slots=True)
class McpChanged:
    """The servers of the execution and how each stands, instead of the earlier list."""

    servers: tuple[McpStatus, ...]
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class McpReported:
    """What an agent in the environment says of one of its servers, which it starts itself."""

    id: str
    phase: McpPhase
    failure: str = ""
    VERSION: ClassVar[int] = 1


McpEvent = McpChanged | McpReported
