"""What the API asks about kept work."""

from typing import Protocol

from hostler.core.desk import NewEnvironment
from hostler.core.errors import FailedPrecondition
from hostler.core.kept import WorkKept
from hostler.core.machines import Patch
from hostler.core.ports import EnvironmentRow, Principal


class WorkDesk(Protocol):
    """The front for work that is kept outside its environment; turn 0 is the last one that was kept."""

    async def work(self, execution: str, turn: int = 0) -> WorkKept:
        """Return what is kept; FailedPrecondition when nothing is, NotFound without the execution."""
        ...

    async def diff(self, execution: str, turn: int = 0) -> tuple[WorkKept, Patch]:
        """Return the kept change as a patch, and what is known of it; FailedPrecondition when it is not there."""
        ...

    async def applied(self, execution: str, commit: str) -> None:
        """Note that a kept commit was brought into somebody's repository."""
        ...

    async def new_environment(self, execution: str, turn: int = 0, class_id: str = "") -> NewEnvironment:
        """Return an environment to be made from kept work; FailedPrecondition when it cannot be."""
        ...

    async def restore(self, execution: str, turn: int, caller: Principal) -> EnvironmentRow:
        """Let an execution whose environment is gone go on in a new one made from its kept work."""
        ...


class NoWork:
    """Keeps nothing."""

    async def work(self, execution: str, turn: int = 0) -> WorkKept:
        """Refuse."""
        raise FailedPrecondition("nothing is kept of the execution's work")

    async def diff(self, execution: str, turn: int = 0) -> tuple[WorkKept, Patch]:
        """Refuse."""
        return await self.work(execution, turn), Patch(b"")

    async def applied(self, execution: str, commit: str) -> None:
        """Note nothing."""

    async def new_environment(self, execution: str, turn: int = 0, class_id: str = "") -> NewEnvironment:
        """Refuse."""
        raise FailedPrecondition("nothing is kept of the execution's work")

    async def restore(self, execution: str, turn: int, caller: Principal) -> EnvironmentRow:
        """Refuse."""
        raise FailedPrecondition("nothing is kept of the execution's work")
