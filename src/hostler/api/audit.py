"""EventService.ListAuditLogs: who did what, as the contract has it; for administrators."""

from collections.abc import Mapping, Sequence
from typing import Any

from connectrpc.request import RequestContext
from protobuf.wkt import Timestamp

from hostler.api.call import only_admins
from hostler.api.pages import page_of
from hostler.api.parts import ApiParts
from hostler.contract.gitpod.v1 import event_pb as pb
from hostler.contract.gitpod.v1.event_connect import EventService
from hostler.contract.gitpod.v1.identity_pb import Principal
from hostler.contract.gitpod.v1.pagination_pb import Sort, SortOrder
from hostler.core.audit import AuditQuery, Entry
from hostler.core.errors import InvalidArgument

Type = pb.ResourceType
TYPES: Mapping[str, pb.ResourceType] = {
    "agent_execution": Type.AGENT_EXECUTION,
    "agent": Type.AGENT,
    "environment": Type.ENVIRONMENT,
    "environment_class": Type.ENVIRONMENT_CLASS,
    "class": Type.ENVIRONMENT_CLASS,
    "project": Type.PROJECT,
    "prompt": Type.PROMPT,
    "runner": Type.RUNNER,
    "user": Type.USER,
    "service_account": Type.SERVICE_ACCOUNT,
    "service_account_token": Type.SERVICE_ACCOUNT_TOKEN,
    "token": Type.PERSONAL_ACCESS_TOKEN,
    "personal_access_token": Type.PERSONAL_ACCESS_TOKEN,
    "host_authentication_token": Type.HOST_AUTHENTICATION_TOKEN,
    "webhook": Type.WEBHOOK,
    "policy": Type.ORGANIZATION_POLICY,
}
"""What the contract calls what entries are about; all else is not specified there."""
PRINCIPALS: Mapping[str, Principal] = {"user": Principal.USER, "service_account": Principal.SERVICE_ACCOUNT}
SORTED_BY = ("", "created_at", "createdAt")
CREDENTIALS = ("token", "host_authentication_token", "personal_access_token", "service_account_token")


class AuditLogs(EventService):
    """Serves ListAuditLogs."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts

    async def list_audit_logs(
        self, request: pb.ListAuditLogsRequest, ctx: RequestContext[Any, Any], /
    ) -> pb.ListAuditLogsResponse:
        """List entries, newest first unless the sort says otherwise."""
        only_admins()
        sort = request.sort or Sort()
        if sort.field not in SORTED_BY:
            raise InvalidArgument("entries are sorted by created_at", field="sort.field")
        rising = sort.order == SortOrder.ASC
        query = _query(request.filter or pb.ListAuditLogsRequest.Filter())

        async def find(beyond: str, limit: int) -> Sequence[Entry]:
            return await self._parts.operations.audit.find(query, beyond=beyond, limit=limit, oldest_first=rising)

        what = "audit, rising" if rising else "audit"
        found, pagination = await page_of(what, request.pagination, request.filter, find)
        return pb.ListAuditLogsResponse(entries=[_shown(one) for one in found], pagination=pagination)


def _query(asked: pb.ListAuditLogsRequest.Filter) -> AuditQuery:
    """Return what is asked for; a type or principal that no entry has finds nothing."""
    kinds = [kind for kind, type_ in TYPES.items() if type_ in asked.subject_types]
    principals = [kind for kind, principal in PRINCIPALS.items() if principal in asked.actor_principals]
    return AuditQuery(
        actors=[one.lower() for one in asked.actor_ids],
        actor_kinds=principals or (["-"] if asked.actor_principals else []),
        subjects=[one.lower() for one in asked.subject_ids],
        subject_kinds=kinds or (["-"] if asked.subject_types else []),
        since=asked.from_.to_datetime() if asked.from_ is not None else None,
        until=asked.to.to_datetime() if asked.to is not None else None,
    )


def _shown(entry: Entry) -> pb.ListAuditLogsResponse.AuditLogEntry:
    """Return an entry; the contract has one text for what was done, which says how it ended unless it was done."""
    credential = entry.subject_kind in CREDENTIALS
    kind = pb.AuditLogEntryKind.CREDENTIAL_ACCESS if credential else pb.AuditLogEntryKind.RESOURCE_CHANGE
    return pb.ListAuditLogsResponse.AuditLogEntry(
        id=entry.id,
        actor_id=entry.actor_id,
        actor_principal=PRINCIPALS.get(entry.actor_kind, Principal.UNSPECIFIED),
        subject_id=entry.subject_id,
        subject_type=TYPES.get(entry.subject_kind, Type.UNSPECIFIED),
        action=entry.action if entry.outcome == "done" else f"{entry.action} ({entry.outcome})",
        created_at=Timestamp.from_datetime(entry.at),
        kind=kind,
    )
