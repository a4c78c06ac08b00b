"""What the gateway needs from whoever keeps the log: who may call, and that a call began and how it ended.

NoLiveTurn and LimitReached are the two refusals; see `hostler.core.errors` for the tree they belong to.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

from hostler.core.conversation import Usage
from hostler.core.errors import FailedPrecondition, ResourceExhausted

Finish = Literal["stop", "tools", "length", "refused"]


class NoLiveTurn(FailedPrecondition):
    """This execution has no turn under way here."""


class LimitReached(ResourceExhausted):
    """A limit of this execution is reached."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What an execution's row allows at this moment; read for every request and never kept."""

    execution: str
    fence: int
    environment: str
    """Where the execution's agent lives; a token that shows up elsewhere is refused."""
    models: tuple[str, ...]
    """PROVIDER:NAME, the agent's own model first."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call that was begun in the log."""

    id: str
    execution: str
    fence: int
    model: str
    path: str


class Ledger(Protocol):
    """Records calls in the log of their execution."""

    async def grant(self, execution: str) -> Grant:
        """Return what the execution may do now; NoLiveTurn unless this process runs a turn of it."""
        ...

    async def begin(self, grant: Grant, model: str, path: str) -> Call:
        """Commit that a call begins, at the grant's fence; raises LimitReached, or NoLiveTurn when the fence moved."""
        ...

    async def finish(self, call: Call, usage: Usage, finish: Finish) -> None:
        """Commit the end of a call with what the provider counted; repeating it is fine.

        NoLiveTurn or StaleFence say that somebody else has ended the call.
        """
        ...

    async def cut(self, call: Call, estimate: Usage, reason: str) -> None:
        """Commit that a call ended without the provider's count; otherwise as `finish`."""
        ...
