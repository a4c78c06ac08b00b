"""What tools reach outside the environment: who runs the errand, and the services that it may use."""

from collections.abc import Sequence
from dataclasses import dataclass

from hostler.core.events import Recorded
from hostler.core.forges import Forges, Workshop
from hostler.core.state import State


@dataclass(slots=True)
class Services:
    """The services of this process for tools; None is one that this process does not have."""

    forges: Forges | None = None
    """Code hosts."""
    workshop: Workshop | None = None
    """Makes environments."""


@dataclass(frozen=True, slots=True)
class Errand:
    """Who wants something done: the execution, the tool call that names it, and where its log stands."""

    execution: str
    call_id: str
    fence: int
    state: State
    log: Sequence[Recorded]
    services: Services
