"""ServiceAccountService: accounts of programs, and the tokens that speak for them."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from connectrpc.request import RequestContext
from protobuf.wkt import Timestamp

from hostler.api.accounts import Accounts
from hostler.api.call import current, only_admins
from hostler.api.pages import page_of
from hostler.api.parts import ApiParts
from hostler.api.user_service import KINDS, LONGEST_TEXT, creator_of, lasting
from hostler.contract.gitpod.v1 import service_account_pb as pb
from hostler.contract.gitpod.v1.identity_pb import Subject
from hostler.contract.gitpod.v1.service_account_connect import ServiceAccountService
from hostler.core.errors import FailedPrecondition, InvalidArgument, NotFound
from hostler.core.people import Person, PersonChange
from hostler.core.ports import ApiToken

SHORT = timedelta(hours=24)
"""How long an access token made for a service account holds."""
LONG = timedelta(days=365)
"""How long a token of a service account holds when nothing is said."""


class ServiceAccounts(ServiceAccountService):
    """The service over accounts; everything but one's own tokens is for administrators."""

    def __init__(self, parts: ApiParts, accounts: Accounts) -> None:
        self._parts = parts
        self._accounts = accounts

    async def create_service_account(
        self, request: pb.CreateServiceAccountRequest, ctx: RequestContext[Any, Any], /
    ) -> pb.CreateServiceAccountResponse:
        """Make an account that may run agents, until a moment."""
        only_admins()
        until = request.valid_until.to_datetime() if request.valid_until else None
        if until is None or until <= self._parts.ambient.now():
            raise InvalidArgument("a moment to come is needed", field="valid_until")
        new = Person("", "service_account", request.name, until=until, description=request.description)
        return pb.CreateServiceAccountResponse(service_account=self._shown(await self._accounts.create(new)))

    async def list_service_accounts(
        self, request: pb.ListServiceAccountsRequest, ctx: RequestContext[Any, Any], /
    ) -> pb.ListServiceAccountsResponse:
        """List accounts, newest first; those that are suspended only when asked for."""
        only_admins()
        asked = request.filter or pb.ListServiceAccountsRequest.Filter()
        ids, search = {one.lower() for one in asked.service_account_ids}, asked.search.casefold()
        listed = [
            one
            for one in sorted(await self._accounts.find("service_account"), key=lambda one: one.id, reverse=True)
            if (asked.include_suspended or one.suspended_at is None)
            and (not ids or one.id in ids)
            and search in f"{one.name}\n{one.description}".casefold()
        ]

        async def find(before: str, limit: int) -> Sequence[Person]:
            return [one for one in listed if not before or one.id < before][:limit]

        found, pagination = await page_of("service accounts", request.pagination, request.filter, find)
        shown = [self._shown(one) for one in found]
        return pb.ListServiceAccountsResponse(pagination=pagination, service_accounts=shown)

    async def get_service_account(
        self, request: pb.GetServiceAccountRequest, ctx: RequestContext[Any, Any], /
    ) -> pb.GetServiceAccountResponse:
        """Return an account; a service account may see its own."""
        if request.service_account_id.lower() != current().principal.id:
            only_admins()
        person = await self._accounts.get(request.service_account_id, "service_account")
        return pb.GetServiceAccountResponse(service_account=self._shown(person))

    async def update_service_account(
        self, request: pb.UpdateServiceAccountRequest, ctx: RequestContext[Any, Any], /
    ) -> pb.UpdateServiceAccountResponse:
        """Change an account's name or description."""
        only_admins()
        person = await self._accounts.get(request.service_account_id, "service_account")
        name = self._parts.redactor.text(request.name) if request.has_field("name") else None
        said = self._parts.redactor.text(request.description) if request.has_field("description") else None
        changed = await self._accounts.change(person.id, PersonChange(name=name, description=said))
        return pb.UpdateServiceAccountResponse(service_account=self._shown(changed))

    async def delete_service_account(
        self, request: pb.DeleteServiceAccountRequest, ctx: RequestContext[Any, Any], /
    ) -> pb.DeleteServiceAccountResponse:
        """Remove an account with its tokens; what it has started stays."""
        only_admins()
        person = await self._accounts.get(request.service_account_id, "service_account")
        await self._accounts.change(person.id, PersonChange(left=True))
        return pb.DeleteServiceAccountResponse()

    async def create_service_account_access_token(
        self, request: pb.CreateServiceAccountAccessTokenRequest, ctx: RequestContext[Any, Any], /
    ) -> pb.CreateServiceAccountAccessTokenResponse:
        """Make a token for an account that holds for a day."""
        if request.service_account_id.lower() != current().principal.id:
            only_admins()
        person = await self._accounts.get(request.service_account_id, "service_account")
        ends = self._parts.ambient.now() + SHORT
        text, _ = await self._accounts.token(person.principal, "access token", "all", ends)
        return pb.CreateServiceAccountAccessTokenResponse(token=text)

    async def create_service_account_token(
        self, request: pb.CreateServiceAccountTokenRequest, ctx: RequestContext[Any, Any], /
    ) -> pb.CreateServiceAccountTokenResponse:
        """Make a token for the service account that calls; FailedPrecondition for a person."""
        me = current().principal
        if me.kind != "service_account":
            raise FailedPrecondition("a person calls, not a service account")
        person = await self._accounts.get(me.id, "service_account")
        ends = self._parts.ambient.now() + lasting(request.valid_for, LONG)
        name = request.description[:LONGEST_TEXT] or "service account token"
        text, token = await self._accounts.token(person.principal, name, "all", ends)
        return pb.CreateServiceAccountTokenResponse(token=text, service_account_token=_shown(token))

    async def list_service_account_tokens(
        self, request: pb.ListServiceAccountTokensRequest, ctx: RequestContext[Any, Any], /
    ) -> pb.ListServiceAccountTokensResponse:
        """List the caller's own tokens, or as an administrator those of all service accounts, newest first."""
        listed = await self._visible()

        async def find(before: str, limit: int) -> Sequence[ApiToken]:
            return [one for one in listed if not before or one.id < before][:limit]

        found, pagination = await page_of("service account tokens", request.pagination, None, find)
        return pb.ListServiceAccountTokensResponse(tokens=[_shown(one) for one in found], pagination=pagination)

    async def get_service_account_token(
        self, request: pb.GetServiceAccountTokenRequest, ctx: RequestContext[Any, Any], /
    ) -> pb.GetServiceAccountTokenResponse:
        """Return a token."""
        return pb.GetServiceAccountTokenResponse(token=_shown(await self._token(request.service_account_token_id)))

    async def delete_service_account_token(
        self, request: pb.DeleteServiceAccountTokenRequest, ctx: RequestContext[Any, Any], /
    ) -> pb.DeleteServiceAccountTokenResponse:
        """Take a token back; it is refused from the next request on."""
        await self._accounts.revoke((await self._token(request.service_account_token_id)).id)
        return pb.DeleteServiceAccountTokenResponse()

    async def _token(self, token: str) -> ApiToken:
        found = next((one for one in await self._visible() if one.id == token.lower()), None)
        if found is None:
            raise NotFound("there is no such token", field="service_account_token_id")
        return found

    async def _visible(self) -> list[ApiToken]:
        me = current().principal
        tokens = await self._parts.tokens.find("" if me.admin else me.id)
        theirs = [one for one in tokens if one.principal.kind == "service_account" and not one.purpose]
        return sorted(theirs, key=lambda one: one.id, reverse=True)

    def _shown(self, person: Person) -> pb.ServiceAccount:
        creator = Subject(id=person.creator_id, principal=KINDS.get(person.creator_kind, KINDS["user"]))
        return pb.ServiceAccount(
            id=person.id,
            organization_id=self._parts.organization_id,
            name=person.name,
            description=person.description,
            creator=creator if person.creator_id else None,
            created_at=Timestamp.from_datetime(person.made_at) if person.made_at else None,
            valid_until=Timestamp.from_datetime(person.until) if person.until else None,
            suspended=person.suspended_at is not None,
        )


def _shown(token: ApiToken) -> pb.ServiceAccountToken:
    return pb.ServiceAccountToken(
        id=token.id,
        service_account_id=token.principal.id,
        description=token.name,
        creator=creator_of(token),
        created_at=Timestamp.from_datetime(token.created_at),
        expires_at=Timestamp.from_datetime(token.expires_at) if token.expires_at else None,
        last_used=Timestamp.from_datetime(token.last_used_at) if token.last_used_at else None,
    )
