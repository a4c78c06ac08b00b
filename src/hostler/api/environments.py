"""EnvironmentService: environments that live on their own, from the making of one to its end.

What a spec asks for is read in `environment_making`, how one is shown in `environment_view`; filters and order of the
list are in `environment_list`, the log is served by `environment_logs`.
"""

from typing import Any

from connectrpc.request import RequestContext

from hostler.api.auth import Signer
from hostler.api.call import current
from hostler.api.class_list import classes_listed
from hostler.api.codec import to_json
from hostler.api.environment_list import listed
from hostler.api.environment_making import from_project, from_request, identity, idle_of
from hostler.api.environment_view import environment_of
from hostler.api.parts import ApiParts
from hostler.api.starting import refuse_while_draining
from hostler.contract.gitpod.v1 import environment_pb as pb
from hostler.contract.gitpod.v1.environment_class_pb import (
    ListEnvironmentClassesRequest,
    ListEnvironmentClassesResponse,
)
from hostler.contract.gitpod.v1.environment_connect import EnvironmentService
from hostler.contract.gitpod.v1.pagination_pb import CountResponse, CountResponseRelation
from hostler.core.desk import EnvironmentChange
from hostler.core.errors import Unimplemented
from hostler.core.ports import EnvironmentRow

Context = RequestContext[Any, Any]
FIXED = ("ssh_public_keys", "devcontainer", "ports", "automations_file", "kernel_controls_config")
"""Fields of a spec that nothing can change once an environment is there."""
FIXED_CONTENT = ("session", "initializer")
BY_HAND = "a client"
"""Who is at work when an activity signal does not say."""


class Environments(EnvironmentService):
    """The service over the environment desk."""

    def __init__(self, parts: ApiParts, signer: Signer) -> None:
        self._parts = parts
        self._desk = parts.environments
        self._signer = signer

    async def get_environment(self, request: pb.GetEnvironmentRequest, ctx: Context, /) -> pb.GetEnvironmentResponse:
        """Get one environment, also while it is being deleted."""
        row = await self._desk.get(request.environment_id.lower())
        return pb.GetEnvironmentResponse(environment=self._shown(row))

    async def list_environments(
        self, request: pb.ListEnvironmentsRequest, ctx: Context, /
    ) -> pb.ListEnvironmentsResponse:
        """List environments, newest first unless asked otherwise."""
        rows, pagination, count = await listed(self._parts, request)
        answer = pb.ListEnvironmentsResponse(pagination=pagination, environments=[self._shown(row) for row in rows])
        if request.count is not None and request.count.include:
            answer.count = CountResponse(value=count, relation=CountResponseRelation.EQ)
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
        row = await self._desk.create(from_request(self._parts, request), current().principal)
        return pb.CreateEnvironmentResponse(environment=self._shown(row))

    async def create_environment_from_project(
        self, request: pb.CreateEnvironmentFromProjectRequest, ctx: Context, /
    ) -> pb.CreateEnvironmentFromProjectResponse:
        """Make an environment of a project."""
        refuse_while_draining(self._parts)
        row = await self._desk.create(await from_project(self._parts, request), current().principal)
        return pb.CreateEnvironmentFromProjectResponse(environment=self._shown(row))

    async def update_environment(
        self, request: pb.UpdateEnvironmentRequest, ctx: Context, /
    ) -> pb.UpdateEnvironmentResponse:
        """Change the name, the idle time, the committer, and while it is stopped the class of an environment."""
        metadata, spec = request.metadata, request.spec
        if metadata is not None and metadata.lockdown_at is not None:
            raise Unimplemented("environments are not locked down here", field="metadata.lockdown_at")
        name = metadata.name if metadata is not None and metadata.has_field("name") else None
        change = EnvironmentChange(name=None if name is None else self._parts.redactor.text(name))
        if spec is not None:
            change = self._changed(change.name, spec)
        await self._desk.update(request.environment_id.lower(), change)
        return pb.UpdateEnvironmentResponse()

    def _changed(self, name: str | None, spec: pb.UpdateEnvironmentRequest.Spec) -> EnvironmentChange:
        shown = to_json(spec)
        for field in FIXED:
            if getattr(spec, field):
                raise Unimplemented("this cannot be changed once an environment is there", field=f"spec.{field}")
        content = spec.content
        for field in FIXED_CONTENT if content is not None else ():
            if getattr(content, field):
                reason = "this cannot be changed once an environment is there"
                raise Unimplemented(reason, field=f"spec.content.{field}")
        return EnvironmentChange(
            name=name,
            class_id=spec.machine.class_.lower() or None if spec.machine else None,
            idle_seconds=idle_of(spec.timeout),
            variables=identity(content.git_username, content.git_email) if content else None,
            request=self._parts.redactor.json({key: value for key, value in shown.items() if key != "machine"}) or None,
        )

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

    async def archive_environment(
        self, request: pb.ArchiveEnvironmentRequest, ctx: Context, /
    ) -> pb.ArchiveEnvironmentResponse:
        """Stop an environment and put it into the archive, where lists leave it out."""
        await self._desk.archive(request.environment_id.lower(), archived=True)
        return pb.ArchiveEnvironmentResponse()

    async def unarchive_environment(
        self, request: pb.UnarchiveEnvironmentRequest, ctx: Context, /
    ) -> pb.UnarchiveEnvironmentResponse:
        """Take an environment out of the archive; it stays stopped."""
        await self._desk.archive(request.environment_id.lower(), archived=False)
        return pb.UnarchiveEnvironmentResponse()

    async def mark_environment_active(
        self, request: pb.MarkEnvironmentActiveRequest, ctx: Context, /
    ) -> pb.MarkEnvironmentActiveResponse:
        """Keep an environment from stopping as idle; the time is the server's own."""
        signal = request.activity_signal
        await self._desk.active(request.environment_id.lower(), signal.source if signal else BY_HAND)
        return pb.MarkEnvironmentActiveResponse()

    async def create_environment_access_token(
        self, request: pb.CreateEnvironmentAccessTokenRequest, ctx: Context, /
    ) -> pb.CreateEnvironmentAccessTokenResponse:
        """Make a token that acts inside one environment."""
        row = await self._desk.get(request.environment_id.lower())
        token = self._signer.sign("environment", row.id, current().principal)
        return pb.CreateEnvironmentAccessTokenResponse(access_token=token)

    async def create_environment_logs_token(
        self, request: pb.CreateEnvironmentLogsTokenRequest, ctx: Context, /
    ) -> pb.CreateEnvironmentLogsTokenResponse:
        """Make a token that reads the log of one environment."""
        row = await self._desk.get(request.environment_id.lower())
        token = self._signer.sign("logs", row.id, current().principal)
        return pb.CreateEnvironmentLogsTokenResponse(access_token=token)

    def _shown(self, row: EnvironmentRow) -> pb.Environment:
        return environment_of(row, self._parts.organization_id)
