"""UsageService: which projects' environments ran longest."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from connectrpc.request import RequestContext

from hostler.api.pages import page_of
from hostler.api.parts import ApiParts
from hostler.contract.gitpod.v1 import usage_pb as pb
from hostler.contract.gitpod.v1.pagination_pb import DateRange
from hostler.contract.gitpod.v1.usage_connect import UsageService
from hostler.core.errors import InvalidArgument, NotFound
from hostler.core.projects import ProjectQuery

Info = pb.GetTopProjectsResponse.ProjectRuntimeInfo


@dataclass(frozen=True, slots=True)
class _Ranked:
    """A project in its place, for the page tokens."""

    id: str
    shown: Info


class Usage(UsageService):
    """The service over what the store knows of runs."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts

    async def get_top_projects(
        self, request: pb.GetTopProjectsRequest, ctx: RequestContext[Any, Any], /
    ) -> pb.GetTopProjectsResponse:
        """List projects by how long their environments ran in a period, the longest first; idle ones are left out."""
        if request.team_id:
            raise NotFound("there are no teams", field="team_id")
        period = request.date_range or DateRange()
        if period.start_time is None or period.end_time is None:
            raise InvalidArgument("a beginning and an end are needed", field="date_range")
        since, until = period.start_time.to_datetime(), period.end_time.to_datetime()
        if since > until:
            raise InvalidArgument("it ends before it begins", field="date_range")
        ranked = await self._parts.project_use.top(since, until, self._parts.ambient.now())
        named = {one.id: one.name for one in await self._parts.projects.find(ProjectQuery())}
        listed = [
            _Ranked(
                f"{place:06d}",
                Info(project_id=one.project, project_name=named[one.project], total_runtime_seconds=one.seconds),
            )
            for place, one in enumerate(ranked)
            if one.project in named
        ]

        async def find(after: str, limit: int) -> Sequence[_Ranked]:
            return [one for one in listed if one.id > after][:limit]

        found, pagination = await page_of("top projects", request.pagination, period, find)
        return pb.GetTopProjectsResponse(projects=[one.shown for one in found], pagination=pagination)
