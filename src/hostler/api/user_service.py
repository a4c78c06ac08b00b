"""UserService: who the caller is, people, and the tokens that speak for them."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from connectrpc.request import RequestContext
from protobuf.wkt import Duration, Timestamp

from hostler.api.accounts import Accounts
from hostler.api.call import current, only_admins
from hostler.api.pages import page_of
from hostler.api.parts import ApiParts
from hostler.api.sight import EVERYBODY, Sight
from hostler.contract.gitpod.v1 import user_pb as pb
from hostler.contract.gitpod.v1.identity_pb import Principal, Subject
from hostler.contract.gitpod.v1.user_connect import UserService
from hostler.core.errors import FailedPrecondition, NotFound
from hostler.core.people import Person, PersonChange
from hostler.core.ports import ApiToken

LONGEST = timedelta(days=90)
"""How long a personal access token holds when nothing is said."""
LONGEST_TEXT = 100
KINDS = {"user": Principal.USER, "service_account": Principal.SERVICE_ACCOUNT}


class UserAccounts(UserService):
    """The service over accounts."""

    def __init__(self, parts: ApiParts, accounts: Accounts, sight: Sight) -> None:
        self._parts = parts
        self._accounts = accounts
        self._sight = sight

    async def get_authenticated_user(
        self, request: pb.GetAuthenticatedUserRequest, ctx: RequestContext[Any, Any], /
    ) -> pb.GetAuthenticatedUserResponse:
        """Return the person who calls; FailedPrecondition for a service account."""
        me = current().principal
        if me.kind != "user":
            raise FailedPrecondition("a service account calls, not a person")
        return pb.GetAuthenticatedUserResponse(user=self._user(await self._accounts.get(me.id)))

    async def get_user(self, request: pb.GetUserRequest, ctx: RequestContext[Any, Any], /) -> pb.GetUserResponse:
        """Return a person whose things the caller may see."""
        person = await self._accounts.get(request.user_id, "user")
        if await self._sight.bound() not in (EVERYBODY, person.id):
            raise NotFound("there is no such user")
        return pb.GetUserResponse(user=self._user(person))

    async def set_suspended(
        self, request: pb.SetSuspendedRequest, ctx: RequestContext[Any, Any], /
    ) -> pb.SetSuspendedResponse:
        """Suspend a person or let him in again; what he has running goes on."""
        only_admins()
        person = await self._accounts.get(request.user_id, "user")
        await self._accounts.change(person.id, PersonChange(suspended=request.suspended))
        return pb.SetSuspendedResponse()

    async def delete_user(
        self, request: pb.DeleteUserRequest, ctx: RequestContext[Any, Any], /
    ) -> pb.DeleteUserResponse:
        """Remove a person with his tokens; what he has started stays."""
        only_admins()
        person = await self._accounts.get(request.user_id, "user")
        await self._accounts.change(person.id, PersonChange(left=True))
        return pb.DeleteUserResponse()

    async def create_personal_access_token(
        self, request: pb.CreatePersonalAccessTokenRequest, ctx: RequestContext[Any, Any], /
    ) -> pb.CreatePersonalAccessTokenResponse:
        """Make a token for oneself, or as an administrator for somebody else."""
        if request.user_id.lower() != current().principal.id:
            only_admins()
        person = await self._accounts.get(request.user_id, "user")
        ends = self._parts.ambient.now() + lasting(request.valid_for, LONGEST)
        scope = "read" if request.read_only else "all"
        name = request.description[:LONGEST_TEXT] or "personal access token"
        text, _ = await self._accounts.token(person.principal, name, scope, ends)
        return pb.CreatePersonalAccessTokenResponse(token=text)

    async def get_personal_access_token(
        self, request: pb.GetPersonalAccessTokenRequest, ctx: RequestContext[Any, Any], /
    ) -> pb.GetPersonalAccessTokenResponse:
        """Return a token of one's own, or as an administrator of anybody."""
        return pb.GetPersonalAccessTokenResponse(pat=self._pat(await self._token(request.personal_access_token_id)))

    async def list_personal_access_tokens(
        self, request: pb.ListPersonalAccessTokensRequest, ctx: RequestContext[Any, Any], /
    ) -> pb.ListPersonalAccessTokensResponse:
        """List one's own tokens, or as an administrator those of everybody, newest first."""
        asked = request.filter or pb.ListPersonalAccessTokensRequest.Filter()
        users = {one.lower() for one in asked.user_ids}
        listed = [one for one in await self._visible() if not users or one.principal.id in users]

        async def find(before: str, limit: int) -> Sequence[ApiToken]:
            return [one for one in listed if not before or one.id < before][:limit]

        found, pagination = await page_of("personal access tokens", request.pagination, request.filter, find)
        shown = [self._pat(one) for one in found]
        return pb.ListPersonalAccessTokensResponse(pagination=pagination, personal_access_tokens=shown)

    async def delete_personal_access_token(
        self, request: pb.DeletePersonalAccessTokenRequest, ctx: RequestContext[Any, Any], /
    ) -> pb.DeletePersonalAccessTokenResponse:
        """Take a token back; it is refused from the next request on."""
        await self._accounts.revoke((await self._token(request.personal_access_token_id)).id)
        return pb.DeletePersonalAccessTokenResponse()

    async def _token(self, token: str) -> ApiToken:
        found = next((one for one in await self._visible() if one.id == token.lower()), None)
        if found is None:
            raise NotFound("there is no such token", field="personal_access_token_id")
        return found

    async def _visible(self) -> list[ApiToken]:
        me = current().principal
        tokens = await self._parts.tokens.find("" if me.admin else me.id)
        mine = [one for one in tokens if one.principal.kind == "user" and not one.purpose]
        return sorted(mine, key=lambda one: one.id, reverse=True)

    def _user(self, person: Person) -> pb.User:
        return pb.User(
            id=person.id,
            organization_id=self._parts.organization_id,
            name=person.name,
            created_at=Timestamp.from_datetime(person.made_at) if person.made_at else None,
            status=pb.UserStatus.SUSPENDED if person.suspended_at else pb.UserStatus.ACTIVE,
            email=person.email,
        )

    def _pat(self, token: ApiToken) -> pb.PersonalAccessToken:
        return pb.PersonalAccessToken(
            id=token.id,
            user_id=token.principal.id,
            description=token.name,
            creator=creator_of(token),
            created_at=Timestamp.from_datetime(token.created_at),
            expires_at=Timestamp.from_datetime(token.expires_at) if token.expires_at else None,
            last_used=Timestamp.from_datetime(token.last_used_at) if token.last_used_at else None,
            read_only=token.bearer.role == "read",
        )


def lasting(given: Duration | None, usual: timedelta) -> timedelta:
    """Return how long a token is to hold; nothing and zero stand for what is usual."""
    asked = timedelta(seconds=given.seconds, microseconds=given.nanos // 1000) if given else timedelta()
    return asked or usual


def creator_of(token: ApiToken) -> Subject:
    """Return who made a token, as far as is known; otherwise whom it speaks for."""
    if token.creator_id and token.creator_id != token.principal.id:
        return Subject(id=token.creator_id, principal=Principal.USER)
    return Subject(id=token.principal.id, principal=KINDS[token.principal.kind])
