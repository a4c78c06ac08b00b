"""Keeps account of how long environments of projects run, from the phases that their rows go through."""

from collections.abc import Sequence
from datetime import datetime

from hostler.core.ambient import Ambient
from hostler.core.ports import EnvironmentRow, EnvironmentRows
from hostler.core.projects import ProjectUse, User


class CountedRows:
    """The rows of environments; every write that begins or ends a run is noted. Implements `ports.EnvironmentRows`.

    What ran while this server was away counts as having run until the server saw that it had ended.
    """

    def __init__(self, rows: EnvironmentRows, use: ProjectUse, ambient: Ambient) -> None:
        self._rows = rows
        self._use = use
        self._ambient = ambient
        self._running: set[str] = set()
        """Environments whose run is noted as open, so that it is not looked for again at every write."""

    async def save(self, row: EnvironmentRow) -> EnvironmentRow:
        """Write a row, and note whether it runs."""
        saved = await self._rows.save(row)
        project = str(saved.spec.get("project", ""))
        if project and saved.phase == "running" and saved.id not in self._running:
            self._running.add(saved.id)
            user = User(saved.creator_id, str(saved.status.get("creator_kind", "user")))
            await self._use.began(saved.id, project, user, self._ambient.now())
        elif project and saved.phase != "running":
            await self._ended(saved.id)
        return saved

    async def remove(self, environment: str) -> None:
        """Remove a row and its uses."""
        await self._rows.remove(environment)
        await self._ended(environment)

    async def get(self, environment: str) -> EnvironmentRow | None:
        """Return a row."""
        return await self._rows.get(environment)

    async def find(
        self, *, runner: str = "", phases: Sequence[str] = (), before: str = "", limit: int = 0, creator: str = ""
    ) -> tuple[EnvironmentRow, ...]:
        """Return rows, newest first."""
        return await self._rows.find(runner=runner, phases=phases, before=before, limit=limit, creator=creator)

    async def use(self, environment: str, execution: str, since: datetime) -> None:
        """Note that an execution uses an environment."""
        await self._rows.use(environment, execution, since)

    async def release(self, environment: str, execution: str) -> None:
        """Note that it does not any more."""
        await self._rows.release(environment, execution)

    async def users(self, environment: str) -> tuple[str, ...]:
        """Return the executions that use an environment."""
        return await self._rows.users(environment)

    async def _ended(self, environment: str) -> None:
        self._running.discard(environment)
        await self._use.ended(environment, self._ambient.now())
