"""What can happen between an execution and its sub-agents, which are executions too."""

from dataclasses import dataclass
from typing import ClassVar, Literal

Rest = Literal["asks", "waits", "rests", "stopped"]
"""How a sub-agent's turn ended: it asks something, it waits for something, it has nothing left to do, it was stopped.

What it was given of its tree's budget goes back with the last two.
"""

End = Literal["stopped", "gone", "never started", "removed"]
"""Why a sub-agent has nothing more to do for good."""


@dataclass(frozen=True, slots=True)
class Parent:
    """Whose sub-agent an execution is: the parent, the call that spawned it, and how deep it is below the first."""

    execution: str
    call_id: str
    depth: int = 1


@dataclass(frozen=True, slots=True)
class Share:
    """What a sub-agent may use of its tree's budget, or has used; as a bound 0 is none, `cost` in dollars."""

    iterations: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    subagents: int = 0


@dataclass(frozen=True, slots=True)
class SubAgentSpawned:
    """The intent to start a sub-agent for the call `call_id`; its share of the budget is set aside from here on."""

    call_id: str
    name: str
    agent: str
    share: Share = Share()
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class SubAgentStarted:
    """The sub-agent of a call exists: `execution`, in an environment that is its parent's own or another one."""

    call_id: str
    execution: str
    agent: str
    environment_id: str
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class SubAgentReported:
    """A sub-agent's turn is over; `used` is all that it and its own have used, `grant` the share that it ran on."""

    call_id: str
    execution: str
    turn: int
    rest: Rest
    used: Share
    grant: int = 0
    failed: bool = False
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class SubAgentGranted:
    """A sub-agent goes on after it had given its share back: this much in all is set aside for it now."""

    call_id: str
    share: Share
    grant: int
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class SubAgentStopAsked:
    """The agent wants a sub-agent of its own to stop."""

    call_id: str
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class SubAgentEnded:
    """A sub-agent is stopped, or was removed or never there; without `used`, all of its share counts as used."""

    call_id: str
    why: End
    used: Share | None = None
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class ParentNotified:
    """The parent knows how this turn ended; `gone` says that there is no parent any more."""

    turn: int
    rest: Rest = "rests"
    gone: bool = False
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class ShareGranted:
    """The parent has set a share aside again, so that this sub-agent goes on."""

    share: Share
    grant: int
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class ShareDenied:
    """The parent has nothing left for this sub-agent to go on with."""

    message: str
    VERSION: ClassVar[int] = 1


FamilyEvent = (
    SubAgentSpawned
    | SubAgentStarted
    | SubAgentReported
    | SubAgentGranted
    | SubAgentStopAsked
    | SubAgentEnded
    | ParentNotified
    | ShareGranted
    | ShareDenied
)
