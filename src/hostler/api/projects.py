"""ProjectService: repositories with the settings that their environments start from."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from connectrpc.request import RequestContext
from protobuf import Oneof
from protobuf.wkt import Timestamp

from hostler.api.call import current
from hostler.api.codec import from_json, to_json
from hostler.api.identity import KINDS
from hostler.api.pages import page_of
from hostler.api.parts import ApiParts
from hostler.api.recipes import classes_of_project
from hostler.api.runner_view import kind_of
from hostler.api.sources import source_of_initializer
from hostler.contract.gitpod.v1 import project_pb as pb
from hostler.contract.gitpod.v1.identity_pb import Subject
from hostler.contract.gitpod.v1.pagination_pb import CountResponse, CountResponseRelation, SortOrder
from hostler.contract.gitpod.v1.project_connect import ProjectService
from hostler.core.context import source_of
from hostler.core.errors import InvalidArgument, NotFound, Unimplemented
from hostler.core.projects import Project, ProjectQuery, User, repository_key

Context = RequestContext[Any, Any]
Filter = pb.ListProjectsRequest.Filter
CARRIED = (
    "devcontainer_file_path",
    "automations_file_path",
    "technical_description",
    "initializer",
    "prebuild_configuration",
    "recommended_editors",
)
"""Fields that are kept as the contract's own JSON and shown as they came."""
LATELY = timedelta(days=30)
"""How far back `used_by` looks."""


class Projects(ProjectService):
    """The service over the store."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts
        self._changing = asyncio.Lock()

    async def create_project(self, request: pb.CreateProjectRequest, ctx: Context, /) -> pb.CreateProjectResponse:
        """Add a project."""
        now, creator = self._parts.ambient.now(), current().principal
        project = Project(
            id=self._parts.ambient.new_id(),
            name=self._parts.redactor.text(named(request.name)),
            repository=self._repository(request),
            creator_id=creator.id,
            creator_kind=creator.kind,
            created_at=now,
            updated_at=now,
            setup=self._setup(request.setup),
            body=self._body(request),
        )
        await self._parts.projects.save(project, new=True)
        return pb.CreateProjectResponse(project=self._shown(project, ()))

    async def get_project(self, request: pb.GetProjectRequest, ctx: Context, /) -> pb.GetProjectResponse:
        """Get one project."""
        return pb.GetProjectResponse(project=(await self._all_shown([await self._known(request.project_id)]))[0])

    async def list_projects(self, request: pb.ListProjectsRequest, ctx: Context, /) -> pb.ListProjectsResponse:
        """List projects, newest first."""
        if request.sort is not None and (request.sort.field, request.sort.order) not in NEWEST_FIRST:
            raise Unimplemented("projects are listed newest first", field="sort")
        asked = request.filter or Filter()
        query = self._query(asked)

        async def find(before: str, limit: int) -> Sequence[Project]:
            return await self._parts.projects.find(query, before, limit) if query else ()

        found, pagination = await page_of("projects", request.pagination, request.filter, find)
        answer = pb.ListProjectsResponse(pagination=pagination, projects=await self._all_shown(found))
        if request.count is not None and request.count.include:
            number = await self._parts.projects.count(query) if query else 0
            answer.count = CountResponse(value=number, relation=CountResponseRelation.EQ)
        return answer

    async def update_project(self, request: pb.UpdateProjectRequest, ctx: Context, /) -> pb.UpdateProjectResponse:
        """Change the fields that are present, all or none."""
        async with self._changing:
            known = await self._known(request.project_id)
            changes: dict[str, Any] = {"body": {**known.body, **self._body(request)}}
            if request.has_field("name"):
                changes["name"] = self._parts.redactor.text(named(request.name))
            if request.initializer is not None:
                changes["repository"] = self._repository(request)
            if request.setup is not None:
                changes["setup"] = self._setup(request.setup)
            changed = replace(known, updated_at=self._parts.ambient.now(), **changes)
            await self._parts.projects.save(changed, new=False)
        return pb.UpdateProjectResponse(project=(await self._all_shown([changed]))[0])

    async def delete_project(self, request: pb.DeleteProjectRequest, ctx: Context, /) -> pb.DeleteProjectResponse:
        """Remove a project; its environments and executions stay."""
        if not await self._parts.projects.delete(request.project_id.lower()):
            raise NotFound("there is no such project", field="project_id")
        return pb.DeleteProjectResponse()

    async def list_project_environment_classes(
        self, request: pb.ListProjectEnvironmentClassesRequest, ctx: Context, /
    ) -> pb.ListProjectEnvironmentClassesResponse:
        """List the classes of a project, the preferred one first."""
        project = await self._known(request.project_id)
        numbered = [_Ordered(n, one) for n, one in enumerate(self._classes(project))]

        async def find(after: str, limit: int) -> Sequence[_Ordered]:
            return [one for one in numbered if one.id > after][:limit]

        found, pagination = await page_of(f"classes of {project.id}", request.pagination, None, find)
        return pb.ListProjectEnvironmentClassesResponse(
            pagination=pagination, project_environment_classes=[one.shown for one in found]
        )

    async def update_project_environment_classes(
        self, request: pb.UpdateProjectEnvironmentClassesRequest, ctx: Context, /
    ) -> pb.UpdateProjectEnvironmentClassesResponse:
        """Replace the classes of a project."""
        ids = self._class_ids(request.project_environment_classes)
        async with self._changing:
            known = await self._known(request.project_id)
            changed = replace(known, class_ids=ids, updated_at=self._parts.ambient.now())
            await self._parts.projects.save(changed, new=False)
        return pb.UpdateProjectEnvironmentClassesResponse()

    async def _known(self, project: str) -> Project:
        known = await self._parts.projects.get(project.lower())
        if known is None:
            raise NotFound("there is no such project", field="project_id")
        return known

    def _repository(self, request: pb.CreateProjectRequest | pb.UpdateProjectRequest) -> str:
        """Return the key of the repository that an initializer names; what cannot be brought in is refused."""
        initializer = request.initializer
        return repository_key(source_of_initializer(initializer, local=self._parts.loopback, field="initializer"))

    def _setup(self, setup: pb.SetupCommands | None) -> tuple[str, ...]:
        commands = setup.commands if setup else []
        for number, command in enumerate(commands):
            if not command.strip():
                raise InvalidArgument("a command is needed", field=f"setup.commands[{number}]")
        return tuple(self._parts.redactor.text(command) for command in commands)

    def _body(self, request: pb.CreateProjectRequest | pb.UpdateProjectRequest) -> dict[str, Any]:
        """Return what is carried of a request, as far as it is there."""
        if (prebuild := request.prebuild_configuration) is not None and prebuild.enabled:
            raise Unimplemented("prebuilds are not served yet", field="prebuild_configuration.enabled")
        given = [f for f in type(request).desc().fields if f.name in CARRIED and f in request]
        body = to_json(request)
        return {field.json_name: self._parts.redactor.json(body.get(field.json_name, "")) for field in given}

    def _class_ids(self, given: Sequence[pb.ProjectEnvironmentClass]) -> tuple[str, ...]:
        known, ids = {one.id for one in self._parts.classes}, list[str]()
        for number, one in sorted(enumerate(given), key=lambda pair: (pair[1].order, pair[0])):
            field = f"project_environment_classes[{number}]"
            match one.environment_class:
                case Oneof(field="environment_class_id", value=str(id_)):
                    if id_.lower() not in known:
                        raise NotFound("there is no such environment class", field=f"{field}.environment_class_id")
                    if id_.lower() in ids:
                        raise InvalidArgument("this class is named twice", field=f"{field}.environment_class_id")
                    ids.append(id_.lower())
                case Oneof():
                    raise Unimplemented("there is no runner on the caller's machine", field=f"{field}.local_runner")
                case None:
                    raise InvalidArgument("a class is needed", field=field)
        return tuple(ids)

    def _query(self, asked: Filter) -> ProjectQuery | None:
        """Return the store's question; None when nothing can fit."""
        runners = [one.lower() for one in asked.runner_ids]
        if runners and self._parts.runner_id not in runners:
            return None
        if asked.runner_kinds and kind_of(self._parts) not in asked.runner_kinds:
            return None
        keys = tuple(
            repository_key(source_of(uri, local=True, field=f"filter.spec_remote_uris[{number}]"))
            for number, uri in enumerate(asked.spec_remote_uris)
        )
        return ProjectQuery(
            ids=tuple(one.lower() for one in asked.project_ids),
            search=asked.search,
            repositories=keys,
            creator_ids=tuple(one.lower() for one in asked.creator_ids),
        )

    async def _all_shown(self, projects: Sequence[Project]) -> list[pb.Project]:
        since = self._parts.ambient.now() - LATELY
        users: Mapping[str, tuple[User, ...]] = (
            await self._parts.project_use.users([one.id for one in projects], since) if projects else {}
        )
        return [self._shown(one, users.get(one.id, ())) for one in projects]

    def _classes(self, project: Project) -> list[pb.ProjectEnvironmentClass]:
        return [
            pb.ProjectEnvironmentClass(environment_class=Oneof("environment_class_id", one), order=order)
            for order, one in enumerate(classes_of_project(self._parts, project))
        ]

    def _shown(self, project: Project, users: Sequence[User]) -> pb.Project:
        shown = from_json(pb.Project, project.body)
        shown.id = project.id
        shown.metadata = pb.ProjectMetadata(
            organization_id=self._parts.organization_id,
            name=project.name,
            creator=Subject(id=project.creator_id, principal=KINDS[project.creator_kind]),
            created_at=Timestamp.from_datetime(project.created_at),
            updated_at=Timestamp.from_datetime(project.updated_at),
        )
        shown.environment_classes = self._classes(project)
        shown.environment_class = next(iter(shown.environment_classes), None)  # pyright: ignore[reportDeprecated]
        shown.desired_phase = pb.ProjectPhase.ACTIVE
        shown.setup = pb.SetupCommands(commands=list(project.setup)) if project.setup else None
        subjects = [Subject(id=one.id, principal=KINDS[one.kind]) for one in users]
        shown.used_by = pb.Project.UsedBy(total_subjects=len(subjects), subjects=subjects)
        return shown


NEWEST_FIRST = [(field, order) for field in ("", "created_at") for order in (SortOrder.UNSPECIFIED, SortOrder.DESC)]


class _Ordered:
    """A class with an id that sorts as the list is ordered, for the page tokens."""

    def __init__(self, number: int, shown: pb.ProjectEnvironmentClass) -> None:
        self.id = f"{number:06d}"
        self.shown = shown


def named(name: str) -> str:
    """Return the name of a project; InvalidArgument for one that cannot be seen."""
    if not name.strip():
        raise InvalidArgument("a name is needed", field="name")
    return name
