"""RunnerConfigurationService: environment classes, and credentials for code hosts, whose secrets never come out."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from connectrpc.request import RequestContext
from protobuf.wkt import Timestamp

from hostler.api.call import current
from hostler.api.class_list import classes_listed
from hostler.api.code_hosts import host_key
from hostler.api.environment_view import class_of
from hostler.api.identity import KINDS
from hostler.api.pages import page_of
from hostler.api.parts import ApiParts
from hostler.contract.gitpod.v1 import runner_configuration_pb as pb
from hostler.contract.gitpod.v1.environment_class_pb import (
    ListEnvironmentClassesRequest,
    ListEnvironmentClassesResponse,
)
from hostler.contract.gitpod.v1.identity_pb import Subject
from hostler.contract.gitpod.v1.runner_configuration_connect import RunnerConfigurationService
from hostler.core.errors import InvalidArgument, NotFound, PermissionDenied, Unimplemented
from hostler.core.hosts import HostToken, TokenSource, login_of
from hostler.core.redaction import SHORTEST

Context = RequestContext[Any, Any]
Filter = pb.ListHostAuthenticationTokensRequest.Filter
SOURCES: dict[pb.HostAuthenticationTokenSource, TokenSource] = {
    pb.HostAuthenticationTokenSource.UNSPECIFIED: "pat",
    pb.HostAuthenticationTokenSource.OAUTH: "oauth",
    pb.HostAuthenticationTokenSource.PAT: "pat",
}
SHOWN = {"oauth": pb.HostAuthenticationTokenSource.OAUTH, "pat": pb.HostAuthenticationTokenSource.PAT}
LONGEST = 8192
"""Characters of a credential."""


class RunnerConfiguration(RunnerConfigurationService):
    """The service over the configuration and the store; a credential belongs to one subject, who manages it alone."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts
        self._changing = asyncio.Lock()

    async def get_environment_class(
        self, request: pb.GetEnvironmentClassRequest, ctx: Context, /
    ) -> pb.GetEnvironmentClassResponse:
        """Get one environment class."""
        wanted = request.environment_class_id.lower()
        found = next((one for one in self._parts.classes if one.id == wanted), None)
        if found is None:
            raise NotFound("there is no such environment class", field="environment_class_id")
        return pb.GetEnvironmentClassResponse(environment_class=class_of(found, self._parts.runner_id))

    async def list_environment_classes(
        self, request: ListEnvironmentClassesRequest, ctx: Context, /
    ) -> ListEnvironmentClassesResponse:
        """List the classes, the default first."""
        return await classes_listed(self._parts, request)

    async def create_host_authentication_token(
        self, request: pb.CreateHostAuthenticationTokenRequest, ctx: Context, /
    ) -> pb.CreateHostAuthenticationTokenResponse:
        """Keep a credential for a host; AlreadyExists when its subject has one for that host."""
        if request.runner_id.lower() != self._parts.runner_id:
            raise NotFound("there is no such runner", field="runner_id")
        self._own(request)
        if request.refresh_token:
            raise Unimplemented("credentials are not refreshed here", field="refresh_token")
        now, me = self._parts.ambient.now(), current().principal
        id_ = self._parts.ambient.new_id()
        token = HostToken(
            id=id_,
            runner=self._parts.runner_id,
            host=host_key(request.host, "host"),
            subject_id=me.id,
            subject_kind=me.kind,
            source=SOURCES[request.source],
            scopes=tuple(request.scopes),
            integration_id=request.integration_id,
            created_at=now,
            updated_at=now,
            expires_at=_later(request.expires_at, now),
            sealed=self._sealed(id_, request.token),
        )
        async with self._changing:
            await self._parts.host_tokens.save(token, new=True)
            self._parts.logins.put(token, request.token)
        return pb.CreateHostAuthenticationTokenResponse(token=_shown(token))

    async def get_host_authentication_token(
        self, request: pb.GetHostAuthenticationTokenRequest, ctx: Context, /
    ) -> pb.GetHostAuthenticationTokenResponse:
        """Get what is known of a credential."""
        return pb.GetHostAuthenticationTokenResponse(token=_shown(await self._known(request.id)))

    async def list_host_authentication_tokens(
        self, request: pb.ListHostAuthenticationTokensRequest, ctx: Context, /
    ) -> pb.ListHostAuthenticationTokensResponse:
        """List credentials, newest first: one's own, for an administrator those of everybody."""
        asked, me = request.filter or Filter(), current().principal
        wanted = {one.lower() for one in (asked.subject_id, asked.user_id) if one}  # pyright: ignore[reportDeprecated]
        wanted |= set() if me.admin else {me.id}
        here = not asked.runner_id or asked.runner_id.lower() == self._parts.runner_id

        async def find(before: str, limit: int) -> Sequence[HostToken]:
            if not here or len(wanted) > 1:
                return ()
            subject = next(iter(wanted), "")
            return await self._parts.host_tokens.find(
                runner=self._parts.runner_id, subject_id=subject, before=before, limit=limit
            )

        found, pagination = await page_of("host tokens", request.pagination, request.filter, find)
        return pb.ListHostAuthenticationTokensResponse(pagination=pagination, tokens=[_shown(one) for one in found])

    async def update_host_authentication_token(
        self, request: pb.UpdateHostAuthenticationTokenRequest, ctx: Context, /
    ) -> pb.UpdateHostAuthenticationTokenResponse:
        """Change the fields of a credential that are present, all or none; running environments use it at once."""
        if request.refresh_token:
            raise Unimplemented("credentials are not refreshed here", field="refresh_token")
        async with self._changing:
            known, now = await self._known(request.id), self._parts.ambient.now()
            # A time belongs to the secret that it came with.
            fresh = request.has_field("token")
            ends = None if fresh else known.expires_at
            changed = known.changed(
                now,
                self._sealed(known.id, request.token) if fresh else known.sealed,
                ends if request.expires_at is None else _later(request.expires_at, now),
                tuple(request.scopes) or known.scopes,
            )
            await self._parts.host_tokens.save(changed, new=False)
            if fresh:
                self._parts.logins.put(changed, request.token)
            else:
                self._parts.logins.renew(changed)
        return pb.UpdateHostAuthenticationTokenResponse()

    async def delete_host_authentication_token(
        self, request: pb.DeleteHostAuthenticationTokenRequest, ctx: Context, /
    ) -> pb.DeleteHostAuthenticationTokenResponse:
        """Remove a credential; running environments are without it at once."""
        async with self._changing:
            known = await self._known(request.id)
            await self._parts.host_tokens.delete(known.id)
            self._parts.logins.drop(known.id)
        return pb.DeleteHostAuthenticationTokenResponse()

    async def _known(self, id_: str) -> HostToken:
        """Return a credential that the caller may manage; what others may not see is not there."""
        known, me = await self._parts.host_tokens.get(id_.lower()), current().principal
        mine = known is not None and (me.admin or known.subject_id == me.id)
        if known is None or not mine or known.runner != self._parts.runner_id:
            raise NotFound("there is no such credential", field="id")
        return known

    def _own(self, request: pb.CreateHostAuthenticationTokenRequest) -> None:
        """Refuse a credential for somebody else: only its owner knows whether it may be used for an environment."""
        me = current().principal.id
        user = request.user_id  # pyright: ignore[reportDeprecated]
        others = {"user_id": user, "subject.id": request.subject.id if request.subject else ""}
        for field, given in others.items():
            if given and given.lower() != me:
                raise PermissionDenied("a credential can be stored for oneself only", field=field)

    def _sealed(self, id_: str, text: str) -> str:
        """Return the encrypted credential; InvalidArgument for one that could not be sent, or not be masked."""
        if len(text) > LONGEST or any(not "!" <= one <= "~" for one in text):
            raise InvalidArgument("a credential is printable text without spaces", field="token")
        if len(login_of(text).secret) < SHORTEST:
            raise InvalidArgument(
                f"a secret of at least {SHORTEST} characters, or USER:SECRET, is needed", field="token"
            )
        return self._parts.logins.seal(id_, text)


def _later(moment: Timestamp | None, now: datetime) -> datetime | None:
    if moment is not None and moment.to_datetime() <= now:
        raise InvalidArgument("this time is over", field="expires_at")
    return moment.to_datetime() if moment is not None else None


def _shown(token: HostToken) -> pb.HostAuthenticationToken:
    """Return a credential without its secret."""
    return pb.HostAuthenticationToken(  # pyright: ignore[reportDeprecated]
        id=token.id,
        runner_id=token.runner,
        user_id=token.subject_id if token.subject_kind == "user" else "",
        host=token.host,
        source=SHOWN[token.source],
        expires_at=Timestamp.from_datetime(token.expires_at) if token.expires_at else None,
        integration_id=token.integration_id,
        scopes=list(token.scopes),
        subject=Subject(id=token.subject_id, principal=KINDS[token.subject_kind]),
    )
