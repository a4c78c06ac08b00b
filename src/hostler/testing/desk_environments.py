"""Environments for the API's tests: rows in memory, and a machine that answers what the test told it to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hostler.core.ambient import Ambient
from hostler.core.desk import EnvironmentChange, NewEnvironment
from hostler.core.environment_log import LogEntry
from hostler.core.errors import Conflict, FailedPrecondition, NotFound
from hostler.core.machines import Machine, Patch
from hostler.core.ports import EnvironmentRow, Principal


class MemoryEnvironmentRows:
    """Rows of environments in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, EnvironmentRow] = {}
        self.uses: set[tuple[str, str]] = set()
        self.tell: Callable[[str], None] = lambda _: None
        """Told the id of every row that changes."""

    async def save(self, row: EnvironmentRow) -> EnvironmentRow:
        """Write a row by its version."""
        known = self.kept.get(row.id)
        if (known.version if known else 0) != row.version:
            raise Conflict()
        self.kept[row.id] = replace(row, version=row.version + 1)
        self.tell(row.id)
        return self.kept[row.id]

    async def get(self, environment: str) -> EnvironmentRow | None:
        """Return a row."""
        return self.kept.get(environment)

    async def find(
        self, *, runner: str = "", phases: Sequence[str] = (), before: str = "", limit: int = 0, creator: str = ""
    ) -> tuple[EnvironmentRow, ...]:
        """Return rows, newest first."""
        rows = sorted(self.kept.values(), key=lambda row: row.id, reverse=True)
        rows = [r for r in rows if (not runner or r.runner == runner) and (not phases or r.phase in phases)]
        rows = [row for row in rows if (not before or row.id < before) and creator in ("", row.creator_id)]
        return tuple(rows[:limit] if limit else rows)

    async def remove(self, environment: str) -> None:
        """Remove a row."""
        self.kept.pop(environment, None)
        self.tell(environment)

    async def use(self, environment: str, execution: str, since: Any) -> None:
        """Note a use."""
        self.uses.add((environment, execution))

    async def release(self, environment: str, execution: str) -> None:
        """Forget a use."""
        self.uses.discard((environment, execution))

    async def users(self, environment: str) -> tuple[str, ...]:
        """Return who uses an environment."""
        return tuple(sorted(execution for one, execution in self.uses if one == environment))


class FakeEnvironments:
    """Makes rows; nothing runs, and `inside` is the machine of all of them."""

    def __init__(self, rows: MemoryEnvironmentRows, ambient: Ambient) -> None:
        self.rows = rows
        self.ambient = ambient
        self.inside: Machine | None = None
        self.patch = Patch(b"")
        self.entries: list[LogEntry] = []
        self.made: list[NewEnvironment] = []
        self.changes: list[EnvironmentChange] = []

    async def create(self, new: NewEnvironment, creator: Principal) -> EnvironmentRow:
        """Write a row."""
        now = self.ambient.now()
        self.made.append(new)
        row = EnvironmentRow(
            id=self.ambient.new_id(),
            runner="22222222-2222-4222-8222-222222222222",
            phase="creating" if new.running else "stopped",
            version=0,
            class_id=new.class_id,
            name=new.name,
            creator_id=creator.id,
            created_at=now,
            last_used_at=now,
            spec={
                "request": dict(new.request or {}),
                "source": repr(new.source),
                "project": new.project_id,
                "devcontainer": new.devcontainer,
            },
            handle=None,
            status={"creator_kind": creator.kind},
        )
        return await self.rows.save(row)

    async def get(self, environment: str) -> EnvironmentRow:
        """Return a row."""
        row = await self.rows.get(environment)
        if row is None:
            raise NotFound("there is no such environment", field="environment_id")
        return row

    async def change(self, environment: str, **changes: Any) -> EnvironmentRow:
        """Let something happen to an environment."""
        return await self.rows.save(replace(await self.get(environment), **changes))

    async def start(self, environment: str) -> EnvironmentRow:
        """Begin to start it."""
        return await self.change(environment, phase="starting")

    async def stop(self, environment: str) -> EnvironmentRow:
        """Stop it."""
        return await self.change(environment, phase="stopped")

    async def delete(self, environment: str, *, force: bool) -> None:
        """Remove it."""
        await self.get(environment)
        if not force and await self.rows.users(environment):
            raise FailedPrecondition("an execution uses it", field="force")
        await self.rows.remove(environment)

    async def update(self, environment: str, change: EnvironmentChange) -> EnvironmentRow:
        """Note what was to be changed, and change the name."""
        self.changes.append(change)
        row = await self.get(environment)
        return await self.change(environment, name=row.name if change.name is None else change.name)

    async def archive(self, environment: str, *, archived: bool) -> EnvironmentRow:
        """Note it in the row."""
        row = await self.get(environment)
        at = self.ambient.now().isoformat() if archived else ""
        return await self.change(environment, status={**row.status, "archived_at": at})

    async def active(self, environment: str, source: str) -> None:
        """Note it in the row."""
        row = await self.get(environment)
        activity = {"source": source, "timestamp": self.ambient.now().isoformat()}
        await self.change(environment, status={**row.status, "activity": activity})

    async def log(self, environment: str, after: int = 0, limit: int = 1000) -> Sequence[LogEntry]:
        """Return the entries of the test."""
        await self.get(environment)
        return [entry for entry in self.entries if entry.seq > after][:limit]

    async def machine(self, environment: str) -> Machine:
        """Return the machine of the test."""
        await self.get(environment)
        assert self.inside is not None, "the test gave no machine"
        return self.inside

    async def diff(self, environment: str) -> Patch:
        """Return the patch of the test."""
        await self.get(environment)
        return self.patch

    def protections(self, row: EnvironmentRow) -> Sequence[Mapping[str, Any]]:
        """Return what the row says."""
        return tuple(row.status.get("protections", ()))
