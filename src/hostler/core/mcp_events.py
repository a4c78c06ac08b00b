"""What can happen to the MCP servers of an execution."""

from dataclasses import dataclass
from typing import ClassVar, Literal

McpPhase = Literal["initializing", "ready", "failed", "unavailable"]


@dataclass(frozen=True, slots=True)
class McpStatus:
    """How one server stands."""

    id: str
    name: str
    phase: McpPhase
    failure: str = ""
    warning: str = ""
    tools: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class McpChanged:
    """The servers of the execution and how each stands, instead of the earlier list."""

    servers: tuple[McpStatus, ...]
    VERSION: ClassVar[int] = 1


McpEvent = McpChanged
