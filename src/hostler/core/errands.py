"""What tools reach outside the environment: who runs the errand, and the services that it may use."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from hostler.core.events import Recorded, ToolStarted
from hostler.core.forges import Forges, Workshop
from hostler.core.kin import Kin
from hostler.core.offers import Offers
from hostler.core.state import State


class Waits(Protocol):
    """What an execution may wait for."""

    @property
    def longest(self) -> timedelta:
        """Return how long something is waited for that may never come, at most."""
        ...

    async def cancel(self, execution: str, interests: tuple[str, ...]) -> State:
        """Take back what an execution waits for, everything when nothing is named; return the state after it."""
        ...


@dataclass(slots=True)
class Services:
    """The services of this process for tools; None is one that this process does not have."""

    offers: Offers | None = None
    """The prompt library."""
    forges: Forges | None = None
    """Code hosts."""
    workshop: Workshop | None = None
    """Makes environments."""
    waits: Waits | None = None
    """Takes back what an execution waits for."""
    kin: Kin | None = None
    """Starts sub-agents and carries messages between them and their parents."""


@dataclass(frozen=True, slots=True)
class Errand:
    """Who wants something done: the execution, the tool call that names it, and where its log stands."""

    execution: str
    call_id: str
    fence: int
    state: State
    log: Sequence[Recorded]
    services: Services

    @property
    def since(self) -> datetime:
        """Return when the call was started, the same each time that it is carried out."""
        for recorded in reversed(self.log):
            if isinstance(recorded.event, ToolStarted) and recorded.event.call_id == self.call_id:
                return recorded.at
        raise LookupError(f"the log holds no start of call {self.call_id}")
