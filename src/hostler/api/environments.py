"""EnvironmentService: what `hostler env` and the official clients need of it; the rest answers `unimplemented`."""

from collections.abc import Callable, Sequence
from typing import Any

from connectrpc.request import RequestContext

from hostler.api.auth import Signer
from hostler.api.call import current
from hostler.api.class_list import classes_listed
from hostler.api.codec import to_json
from hostler.api.environment_view import PHASES, environment_of
from hostler.api.pages import page_of
from hostler.api.parts import ApiParts
from hostler.api.settings import check_annotations
from hostler.api.sources import source_of_initializer
from hostler.api.starting import class_named, refuse_while_draining
from hostler.contract.gitpod.v1 import environment_pb as pb
from hostler.contract.gitpod.v1.environment_class_pb import (
    ListEnvironmentClassesRequest,
    ListEnvironmentClassesResponse,
)
from hostler.contract.gitpod.v1.environment_connect import EnvironmentService
from hostler.contract.gitpod.v1.environment_spec_pb import EnvironmentPhase, EnvironmentSpec
from hostler.contract.gitpod.v1.pagination_pb import CountResponse, CountResponseRelation
from hostler.core.desk import NewEnvironment
from hostler.core.errors import Unimplemented
from hostler.core.ports import EnvironmentRow
from hostler.core.providers import Source

Context = RequestContext[Any, Any]
INITIALIZER = "spec.content.initializer"
Filter = pb.ListEnvironmentsRequest.Filter


class Environments(EnvironmentService):
    """The service over the environment desk."""

    def __init__(self, parts: ApiParts, signer: Signer) -> None:
        self._parts = parts
        self._desk = parts.environments
        self._signer = signer

    async def get_environment(self, request: pb.GetEnvironmentRequest, ctx: Context, /) -> pb.GetEnvironmentResponse:
        """Get one environment."""
        row = await self._desk.get(request.environment_id.lower())
        return pb.GetEnvironmentResponse(environment=self._shown(row))

    async def list_environments(
        self, request: pb.ListEnvironmentsRequest, ctx: Context, /
    ) -> pb.ListEnvironmentsResponse:
        """List environments, newest first."""
        if request.sort is not None and (request.sort.field or request.sort.order):
            raise Unimplemented("environments are listed newest first", field="sort")
        rows = [row for row in await self._parts.environment_rows.find() if row.phase != "deleted"]
        rows = [row for row in rows if matches(row, request.filter or Filter())]

        async def find(before: str, limit: int) -> Sequence[EnvironmentRow]:
            return [row for row in rows if not before or row.id < before][:limit]

        shown, pagination = await page_of("environments", request.pagination, request.filter, find)
        answer = pb.ListEnvironmentsResponse(pagination=pagination, environments=[self._shown(row) for row in shown])
        if request.count is not None and request.count.include:
            answer.count = CountResponse(value=len(rows), relation=CountResponseRelation.EQ)
        return answer

    async def list_environment_classes(
        self, request: ListEnvironmentClassesRequest, ctx: Context, /
    ) -> ListEnvironmentClassesResponse:
        """List the classes that environments can be made from, the default first."""
        return await classes_listed(self._parts, request)

    async def create_environment(
        self, request: pb.CreateEnvironmentRequest, ctx: Context, /
    ) -> pb.CreateEnvironmentResponse:
        """Make an environment."""
        refuse_while_draining(self._parts)
        check_annotations(request.annotations, "annotations")
        spec = request.spec or EnvironmentSpec()
        refuse_later(spec)
        new = NewEnvironment(
            class_id=class_named(self._parts, spec.machine.class_ if spec.machine else "", "spec.machine.class"),
            source=source_in(spec, local=self._parts.loopback),
            name=self._parts.redactor.text(request.name),
            request=self._parts.redactor.json(to_json(request)),
            variables=_identity(spec),
        )
        row = await self._desk.create(new, current().principal)
        return pb.CreateEnvironmentResponse(environment=self._shown(row))

    async def start_environment(
        self, request: pb.StartEnvironmentRequest, ctx: Context, /
    ) -> pb.StartEnvironmentResponse:
        """Bring an environment back."""
        refuse_while_draining(self._parts)
        await self._desk.start(request.environment_id.lower())
        return pb.StartEnvironmentResponse()

    async def stop_environment(self, request: pb.StopEnvironmentRequest, ctx: Context, /) -> pb.StopEnvironmentResponse:
        """Stop an environment and keep its files."""
        await self._desk.stop(request.environment_id.lower())
        return pb.StopEnvironmentResponse()

    async def delete_environment(
        self, request: pb.DeleteEnvironmentRequest, ctx: Context, /
    ) -> pb.DeleteEnvironmentResponse:
        """Remove an environment with its files."""
        await self._desk.delete(request.environment_id.lower(), force=request.force)
        return pb.DeleteEnvironmentResponse()

    async def create_environment_access_token(
        self, request: pb.CreateEnvironmentAccessTokenRequest, ctx: Context, /
    ) -> pb.CreateEnvironmentAccessTokenResponse:
        """Make a token that acts inside one environment."""
        row = await self._desk.get(request.environment_id.lower())
        token = self._signer.sign("environment", row.id, current().principal)
        return pb.CreateEnvironmentAccessTokenResponse(access_token=token)

    def _shown(self, row: EnvironmentRow) -> pb.Environment:
        return environment_of(row, self._parts.organization_id)


def matches(row: EnvironmentRow, asked: Filter) -> bool:
    """Return whether an environment fits a filter; we have no archive, no projects, and one kind of runner and role."""
    request = row.spec.get("request", {})
    tests: list[Callable[[], bool]] = [
        lambda: not asked.runner_ids or row.runner in _folded(asked.runner_ids),
        lambda: not asked.status_phases or PHASES[row.phase] in asked.status_phases,
        lambda: not asked.creator_ids or row.creator_id in _folded(asked.creator_ids),
        lambda: not asked.project_ids,
        lambda: asked.archival_status != pb.ListEnvironmentsRequest.ArchivalStatus.ARCHIVED,
        lambda: asked.created_before is None or row.created_at < asked.created_before.to_datetime(),
        lambda: not asked.roles or pb.EnvironmentRole.DEFAULT in asked.roles,
        lambda: asked.lockdown_before is None,
        lambda: asked.search.casefold() in f"{row.name}\n{row.id}".casefold(),
        lambda: not asked.session_ids or str(request.get("sessionId", "")) in _folded(asked.session_ids),
    ]
    return all(test() for test in tests)


def _folded(ids: Sequence[str]) -> list[str]:
    return [one.lower() for one in ids]


def refuse_later(spec: EnvironmentSpec) -> None:
    """Raise Unimplemented for what changes an environment in ways that are not served yet."""
    if spec.desired_phase not in (EnvironmentPhase.UNSPECIFIED, EnvironmentPhase.RUNNING):
        raise Unimplemented("an environment is made to run", field="spec.desired_phase")
    if spec.secrets:
        raise Unimplemented("secrets are not served yet", field="spec.secrets")
    if spec.timeout is not None and spec.timeout.disconnected is not None:
        raise Unimplemented("the idle time comes from the class", field="spec.timeout")
    if spec.security_policy_id:
        raise Unimplemented("security policies are not served", field="spec.security_policy_id")


def source_in(spec: EnvironmentSpec, *, local: bool) -> Source:
    """Return what a spec brings into the workspace."""
    return source_of_initializer(spec.content.initializer if spec.content else None, local=local, field=INITIALIZER)


def _identity(spec: EnvironmentSpec) -> dict[str, str]:
    """Return the variables by which git knows who commits."""
    content = spec.content
    given = {"NAME": content.git_username, "EMAIL": content.git_email} if content else {}
    return {f"GIT_{who}_{key}": value for key, value in given.items() if value for who in ("AUTHOR", "COMMITTER")}
