"""The list of environments: what it can be filtered and sorted by."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from hostler.api.environment_view import PHASES, role_of
from hostler.api.pages import page_of
from hostler.api.parts import ApiParts
from hostler.api.runner_view import kind_of
from hostler.contract.gitpod.v1 import environment_pb as pb
from hostler.contract.gitpod.v1.pagination_pb import PaginationResponse, SortOrder
from hostler.core.ports import EnvironmentRow

Filter = pb.ListEnvironmentsRequest.Filter
Archival = pb.ListEnvironmentsRequest.ArchivalStatus
SortField = pb.ListEnvironmentsRequest.SortField
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


async def listed(
    parts: ApiParts, request: pb.ListEnvironmentsRequest
) -> tuple[Sequence[EnvironmentRow], PaginationResponse, int]:
    """Return a page of environments, and how many there are of them in all."""
    asked = request.filter or Filter()
    rows = [row for row in await parts.environment_rows.find() if row.phase != "deleted"]
    rows = [row for row in rows if matches(parts, row, asked)]
    rows = _sorted(rows, request.sort)

    async def find(before: str, limit: int) -> Sequence[EnvironmentRow]:
        ids = [row.id for row in rows]
        start = ids.index(before) + 1 if before in ids else _behind(rows, before, request.sort)
        return rows[start : start + limit]

    what = "environments" if request.sort is None else f"environments by {request.sort.to_json()}"
    shown, pagination = await page_of(what, request.pagination, request.filter, find)
    return shown, pagination, len(rows)


def matches(parts: ApiParts, row: EnvironmentRow, asked: Filter) -> bool:
    """Return whether an environment fits a filter; without a word on the archive, what is in it is left out."""
    request: Mapping[str, Any] = row.spec.get("request", {})
    archived = bool(row.status.get("archived_at"))
    archive = asked.archival_status or Archival.ACTIVE
    lockdown = str(row.spec.get("lockdown_at", ""))
    tests: list[Callable[[], bool]] = [
        lambda: not asked.runner_ids or row.runner in _folded(asked.runner_ids),
        lambda: not asked.runner_kinds or kind_of(parts) in asked.runner_kinds,
        lambda: not asked.status_phases or PHASES[row.phase] in asked.status_phases,
        lambda: not asked.creator_ids or row.creator_id in _folded(asked.creator_ids),
        lambda: not asked.project_ids or str(row.spec.get("project", "")) in _folded(asked.project_ids),
        lambda: archive is Archival.ALL or archived == (archive is Archival.ARCHIVED),
        lambda: asked.created_before is None or row.created_at < asked.created_before.to_datetime(),
        lambda: not asked.roles or role_of(row) in asked.roles,
        lambda: asked.lockdown_before is None or _before(lockdown, asked.lockdown_before.to_datetime()),
        lambda: asked.search.casefold() in f"{row.name}\n{row.id}".casefold(),
        lambda: not asked.session_ids or str(request.get("sessionId", "")).lower() in _folded(asked.session_ids),
    ]
    return all(test() for test in tests)


def _sorted(rows: list[EnvironmentRow], sort: pb.ListEnvironmentsRequest.Sort | None) -> list[EnvironmentRow]:
    """Return rows newest first, or as asked for; those that were never archived come last."""
    if sort is None:
        return rows
    falling = sort.order is not SortOrder.ASC
    ordered = sorted(rows, key=lambda row: row.id, reverse=falling)
    if sort.field is not SortField.ARCHIVED_AT:
        return ordered
    ordered.sort(key=lambda row: str(row.status.get("archived_at", "")), reverse=falling)
    return sorted(ordered, key=lambda row: not row.status.get("archived_at"))


def _behind(rows: Sequence[EnvironmentRow], before: str, sort: pb.ListEnvironmentsRequest.Sort | None) -> int:
    """Return where a page begins whose last predecessor is gone."""
    if not before:
        return 0
    if sort is not None and sort.field is SortField.ARCHIVED_AT:
        return len(rows)
    rising = sort is not None and sort.order is SortOrder.ASC
    return sum(row.id < before if rising else row.id > before for row in rows)


def _before(stamp: str, moment: datetime) -> bool:
    return bool(stamp) and datetime.fromisoformat(stamp) < moment


def _folded(ids: Sequence[str]) -> list[str]:
    return [one.lower() for one in ids]
