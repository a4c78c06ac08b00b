"""What can happen between an execution and its sub-agents, which are executions too."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Share:
    """What a sub-agent may use of its tree's budget; 0 is unlimited, `cost` in dollars."""

    iterations: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    subagents: int = 0


@dataclass(frozen=True, slots=True)
class SubAgentSpawned:
    """A sub-agent was started by the tool call `call_id`, with this share of the budget."""

    execution: str
    name: str
    agent: str
    call_id: str
    share: Share = Share()
    environment_id: str = ""
    task: str = ""
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class SubAgentReported:
    """A sub-agent's turn is over; `used` is all it and its own have used so far."""

    execution: str
    turn: int
    phase: str
    message: str
    used: Share
    failed: bool = False
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class SubAgentEnded:
    """A sub-agent is stopped or gone and its share is free again but for what it used."""

    execution: str
    why: str = ""
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class ParentNotified:
    """The parent knows how this turn ended; `gone` says that there is no parent any more."""

    turn: int
    gone: bool = False
    VERSION: ClassVar[int] = 1


FamilyEvent = SubAgentSpawned | SubAgentReported | SubAgentEnded | ParentNotified
