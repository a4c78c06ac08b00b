"""The rows of environments, changed by compare-and-set; a deletion that came between always wins."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from hostler.core.ambient import Ambient
from hostler.core.errors import Conflict, EnvironmentFailed, FailedPrecondition, NotFound
from hostler.core.ports import EnvironmentRow, EnvironmentRows

LEAVING = ("deleting", "deleted")
GONE = "the environment was deleted"


class Ledger:
    """Reads and changes rows."""

    def __init__(self, rows: EnvironmentRows, ambient: Ambient) -> None:
        self.rows = rows
        self._ambient = ambient

    async def get(self, environment: str) -> EnvironmentRow:
        """Return an environment, also one that is being deleted; NotFound when there is none."""
        row = await self.rows.get(environment)
        if row is None or row.phase == "deleted":
            raise NotFound("there is no such environment", field="environment_id")
        return row

    async def staying(self, environment: str) -> EnvironmentRow:
        """Return an environment; FailedPrecondition when it is being deleted."""
        row = await self.get(environment)
        if row.phase in LEAVING:
            raise FailedPrecondition("the environment is being deleted", field="environment_id")
        return row

    async def amend(self, environment: str, status: Callable[[EnvironmentRow], Mapping[str, Any]]) -> EnvironmentRow:
        """Lay over the status what is computed from the row as it is then; EnvironmentFailed when it was deleted."""
        while True:
            row = await self.rows.get(environment)
            if row is None or row.phase in LEAVING:
                raise EnvironmentFailed(GONE)
            try:
                return await self.rows.save(replace(row, status={**row.status, **status(row)}))
            except Conflict:
                continue

    async def change(
        self,
        environment: str,
        *,
        phase: str | None = None,
        handle: Mapping[str, Any] | None = None,
        status: Mapping[str, Any] | None = None,
        spec: Mapping[str, Any] | None = None,
        name: str | None = None,
        class_id: str | None = None,
        used: bool = False,
        quiet: bool = False,
        only_in: tuple[str, ...] = (),
    ) -> EnvironmentRow:
        """Write a row; EnvironmentFailed when it was deleted meanwhile, unless `quiet`.

        `only_in` names the phases in which it may be changed at all; in another one FailedPrecondition is raised.
        """
        while True:
            row = await self.rows.get(environment)
            if row is None or (row.phase == "deleting" and phase != "deleting"):
                if row is not None and quiet:
                    return row
                raise EnvironmentFailed(GONE)
            if only_in and row.phase not in only_in:
                raise FailedPrecondition(f"the environment is {row.phase}; this needs it {' or '.join(only_in)}")
            until_stopped: Mapping[str, Any] = {"hosts": []} if phase == "stopped" and row.status.get("hosts") else {}
            changed = replace(
                row,
                phase=phase or row.phase,
                handle=handle or row.handle,
                status={**row.status, **(status or {}), **until_stopped},
                spec={**row.spec, **(spec or {})},
                name=row.name if name is None else name,
                class_id=class_id or row.class_id,
                last_used_at=self._ambient.now() if used else row.last_used_at,
            )
            try:
                return await self.rows.save(changed)
            except Conflict:
                continue
