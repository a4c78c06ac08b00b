"""IdentityService: who is calling."""

from typing import Any

from connectrpc.request import RequestContext

from hostler.api.call import current
from hostler.api.parts import ApiParts
from hostler.contract.gitpod.v1 import identity_pb as pb
from hostler.contract.gitpod.v1.identity_connect import IdentityService

KINDS = {"user": pb.Principal.USER, "service_account": pb.Principal.SERVICE_ACCOUNT}


class Identity(IdentityService):
    """Tells callers who they are."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts

    async def get_authenticated_identity(
        self, request: pb.GetAuthenticatedIdentityRequest, ctx: RequestContext[Any, Any], /
    ) -> pb.GetAuthenticatedIdentityResponse:
        """Return the caller and the organization."""
        principal = current().principal
        subject = pb.Subject(id=principal.id, principal=KINDS[principal.kind])
        return pb.GetAuthenticatedIdentityResponse(subject=subject, organization_id=self._parts.organization_id)
