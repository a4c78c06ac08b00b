"""What is decided for a runner that is away for good: its environments are given up, and it is forgotten."""

from dataclasses import replace
from typing import Protocol

import structlog

from hostler.core.ambient import Ambient
from hostler.core.commands import LoseEnvironment
from hostler.core.desk import Desk
from hostler.core.errors import Conflict, FailedPrecondition, NotFound
from hostler.core.ports import Blobs, EnvironmentRow, EnvironmentRows, Executions, Position
from hostler.core.runners import RunnerPeers
from hostler.projections.status import stamp

log = structlog.get_logger(__name__)


class Moves(Protocol):
    """Gives executions to other runners."""

    async def move(self, execution: str, seen_fence: int, runner: str) -> Position | None:
        """Make a runner the one that an execution belongs to, with a new fence; None when the fence is another one."""
        ...


class RunnerBook(Protocol):
    """Forgets runners."""

    async def remove(self, runner: str) -> None:
        """Remove a runner's row; repeating it is fine."""
        ...


class Away:
    """Gives up what only a runner could do that is away; every method refuses while the runner lives."""

    def __init__(
        self,
        desk: Desk,
        peers: RunnerPeers,
        runners: RunnerBook,
        rows: EnvironmentRows,
        executions: Executions,
        blobs: Blobs,
        ambient: Ambient,
    ) -> None:
        self._desk = desk
        self._peers = peers
        self._runners = runners
        self._rows = rows
        self._executions = executions
        self._blobs = blobs
        self._ambient = ambient

    async def lose(self, environment: str) -> EnvironmentRow:
        """Give an environment up: its runner removes it when it comes back, its executions may go on elsewhere."""
        row = await self._rows.get(environment)
        if row is None or row.phase == "deleted":
            raise NotFound("there is no such environment", field="environment_id")
        await self._refuse_while_live(row.runner)
        message = f"the environment was given up with its runner {self._peers.said(row.runner)}"
        while not row.status.get("lost"):
            status = {**row.status, "lost": stamp(self._ambient.now()), "failure": message}
            try:
                row = await self._rows.save(replace(row, phase="deleting", status=status))
            except Conflict:
                row = await self._rows.get(environment) or row
        for execution in await self._rows.users(environment):
            try:
                await self._desk.command(execution, LoseEnvironment(environment, message))
            except NotFound:
                log.debug("an execution of a lost environment is being deleted", execution=execution)
        return row

    async def forget(self, runner: str) -> None:
        """Give up everything of a runner, and forget it; if it comes back, it begins as a new one."""
        await self._peers.look()
        if self._peers.get(runner) is None:
            raise NotFound("there is no such runner", field="runner_id")
        await self._refuse_while_live(runner)
        for row in await self._rows.find(runner=runner):
            await self.lose(row.id)
            await self._rows.remove(row.id)
        for one in await self._executions.busy(runner):
            if one.deleted_at is not None:
                await self._blobs.purge(one.id)
                await self._executions.purge(one.id)
        await self._runners.remove(runner)
        await self._peers.look()

    async def _refuse_while_live(self, runner: str) -> None:
        if await self._peers.lives(runner):
            said = self._peers.said(runner)
            raise FailedPrecondition(f"runner {said} is live; what it holds is deleted, not given up")
