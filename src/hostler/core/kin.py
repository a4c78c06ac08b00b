"""What the tools of the built-in agent ask for its sub-agents."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from hostler.core.ports import Row
from hostler.core.state import State


@dataclass(frozen=True, slots=True)
class Wish:
    """A sub-agent to be started: `agent` by name or id, '' the same as its parent; `mode` '' as its agent works."""

    task: str
    agent: str = ""
    environment: Literal["same", "new"] = "same"
    mode: str = ""


@dataclass(frozen=True, slots=True)
class Born:
    """A sub-agent that exists."""

    execution: str
    agent: str
    environment_id: str


class Kin(Protocol):
    """Starts sub-agents and carries messages; whatever it does again with the same call does nothing more."""

    async def spawn(self, parent: str, state: State, call_id: str, wish: Wish) -> Born:
        """Start the sub-agent of a call, or return the one that it started before.

        NotFound for an unknown agent, FailedPrecondition where it cannot be started; then there is none.
        """
        ...

    async def tell(self, sender: str, state: State, call_id: str, to: str, text: str, *, last: bool) -> None:
        """Send a message to the parent or to a sub-agent; `last` lets that one end when it has done what it says.

        RequestErrors where it cannot be sent.
        """
        ...

    async def rows(self, executions: Sequence[str]) -> Sequence[Row]:
        """Return the executions that there are, in the order asked for."""
        ...

    def agents(self) -> Sequence[tuple[str, str]]:
        """Return name and description of every agent that can be started."""
        ...
