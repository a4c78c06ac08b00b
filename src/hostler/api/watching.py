"""EventService: "this resource changed, get it again", for agent executions and environments.

Who asks for resources by id is told of each at once, because clients open the stream only after their last Get and
would miss what happened in between.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from connectrpc.request import RequestContext
from protobuf import Oneof

from hostler.api.audit import AuditLogs
from hostler.api.call import check_validity
from hostler.api.environment_view import desired_of
from hostler.api.parts import ApiParts
from hostler.contract.gitpod.v1 import event_pb as pb
from hostler.core.errors import InvalidArgument, Unavailable, Unimplemented
from hostler.core.ports import EVERYTHING, EnvironmentRow, ExecutionQuery, Row

TICK = 1.0
"""Seconds after which a quiet stream looks whether the server is stopping."""
LOOK_AGAIN = 10
"""Ticks after which everything is looked at although nothing was signalled."""
NEWEST = 100
"""Executions that are looked at then, where no ids are given."""

Kind = Literal["execution", "environment"]
TYPES: Mapping[pb.ResourceType, Kind] = {
    pb.ResourceType.AGENT_EXECUTION: "execution",
    pb.ResourceType.ENVIRONMENT: "environment",
}
RESOURCES: Mapping[Kind, pb.ResourceType] = {kind: number for number, kind in TYPES.items()}
Operation = pb.ResourceOperation


@dataclass(frozen=True, slots=True)
class Wanted:
    """Resources of one kind that a client watches; an empty condition matches everything."""

    kind: Kind
    ids: frozenset[str] = frozenset()
    creators: frozenset[str] = frozenset()
    environment: str = ""

    def matches(self, kind: Kind, resource: str, creator: str, environments: Sequence[str]) -> bool:
        """Return whether a resource is watched."""
        return (
            kind == self.kind
            and (not self.ids or resource in self.ids)
            and (not self.creators or creator in self.creators)
            and (not self.environment or self.environment in environments)
        )


@dataclass(slots=True)
class Known:
    """What a watcher knows of a resource: its version, and a digest of all but its status."""

    version: int
    rest: str


def wanted_of(request: pb.WatchEventsRequest) -> tuple[Wanted, ...]:
    """Return what a request watches; InvalidArgument for filters on the scope of one environment."""
    match request.scope:
        case Oneof(field="environment_id", value=str(environment)):
            if request.resource_type_filters:
                raise InvalidArgument("there are no filters on one environment", field="resource_type_filters")
            environment = environment.lower()
            return Wanted("environment", frozenset({environment})), Wanted("execution", environment=environment)
        case _:
            filters = enumerate(request.resource_type_filters)
            return tuple(_filtered(n, one) for n, one in filters) or (Wanted("execution"), Wanted("environment"))


def _filtered(number: int, one: pb.WatchEventsRequest.ResourceTypeFilter) -> Wanted:
    kind = TYPES.get(one.resource_type)
    if kind is None:
        named = f"resource_type_filters[{number}].resource_type"
        raise Unimplemented(f"{one.resource_type.name} cannot be watched yet", field=named)
    return Wanted(kind, frozenset(i.lower() for i in one.resource_ids), frozenset(c.lower() for c in one.creator_ids))


class Events(AuditLogs):
    """Serves WatchEvents, and what changed before."""

    async def watch_events(
        self, request: pb.WatchEventsRequest, ctx: RequestContext[Any, Any], /
    ) -> AsyncIterator[pb.WatchEventsResponse]:
        """Yield an event for each change until the client leaves or the server stops."""
        wanted = wanted_of(request)
        async with self._parts.executions.watch() as watch:
            watcher = Watcher(self._parts, wanted)
            for event in await watcher.begin():
                yield event
            for ticks in _forever():
                changed = await watch.changed(TICK)
                check_validity()
                if self._parts.draining():
                    raise Unavailable("the server is stopping; watch again in a moment")
                everything = ticks % LOOK_AGAIN == 0 or EVERYTHING in changed
                for event in await watcher.look(changed, everything=everything):
                    yield event
                await asyncio.sleep(0)


def _forever() -> Sequence[int]:
    return range(1, 1 << 62)


@dataclass(slots=True)
class Watcher:
    """One stream's memory of what it has told."""

    parts: ApiParts
    wanted: tuple[Wanted, ...]
    executions: dict[str, Known] = field(default_factory=dict[str, Known])
    environments: dict[str, Known] = field(default_factory=dict[str, Known])
    since: float = 0.0

    async def begin(self) -> list[pb.WatchEventsResponse]:
        """Return an event for every resource that was asked for by its id and exists."""
        self.since = self.parts.ambient.now().timestamp()
        for row in await self._environment_rows():
            self.environments[row.id] = _known_environment(row)
        named = self._ids("execution")
        found = [row for row in await self._newest() if self._watches_row(row)]
        for row in found:
            self.executions[row.id] = _known_execution(row)
        executions = sorted(named & self.executions.keys())
        environments = sorted(self._ids("environment") & self.environments.keys())
        told = [_event("execution", one, Operation.UPDATE_STATUS) for one in executions]
        return told + [_event("environment", one, Operation.UPDATE_STATUS) for one in environments]

    async def look(self, changed: frozenset[str], *, everything: bool) -> list[pb.WatchEventsResponse]:
        """Return what is to be told of the resources that changed, or of everything."""
        events: list[pb.WatchEventsResponse] = []
        executions = {one for one in changed - self.environments.keys() if self._may_match("execution", one)}
        environments = {one for one in changed - self.executions.keys() if self._may_match("environment", one)}
        if everything:
            executions |= set(self.executions) | {row.id for row in await self._newest()}
            environments |= set(self.environments) | {row.id for row in await self._environment_rows()}
        for one in sorted(executions):
            events += await self._look_at(one)
        for one in sorted(environments):
            events += await self._look_at_environment(one)
        return events

    async def _look_at(self, execution: str) -> list[pb.WatchEventsResponse]:
        row = await self.parts.executions.row(execution)
        known = self.executions.get(execution)
        if row is None or row.deleted_at is not None:
            was = self.executions.pop(execution, None)
            told = row is not None and self._watches_row(row) if known is None else was is not None
            return [_event("execution", execution, Operation.DELETE)] if told else []
        if not self._watches_row(row):
            return []
        now = _known_execution(row)
        if known is not None and known.version == now.version:
            return []
        self.executions[execution] = now
        return [_event("execution", execution, self._operation(known, now, row.created_at.timestamp()))]

    async def _look_at_environment(self, environment: str) -> list[pb.WatchEventsResponse]:
        row = await self.parts.environment_rows.get(environment)
        known = self.environments.get(environment)
        if row is None or not self._watches_environment(row):
            was = self.environments.pop(environment, None)
            return [_event("environment", environment, Operation.DELETE)] if was and row is None else []
        now = _known_environment(row)
        if known is not None and known.version == now.version:
            return []
        self.environments[environment] = now
        return [_event("environment", environment, self._operation(known, now, row.created_at.timestamp()))]

    def _operation(self, known: Known | None, now: Known, created: float) -> pb.ResourceOperation:
        if known is None:
            return Operation.CREATE if created >= self.since else Operation.UPDATE
        return Operation.UPDATE_STATUS if known.rest == now.rest else Operation.UPDATE

    def _ids(self, kind: Kind) -> frozenset[str]:
        return frozenset(one for wanted in self.wanted if wanted.kind == kind for one in wanted.ids)

    def _only_named(self, kind: Kind) -> bool:
        """Return whether every filter on a kind names the resources it is for."""
        return all(wanted.ids for wanted in self.wanted if wanted.kind == kind)

    async def _rows(self, ids: frozenset[str]) -> list[Row]:
        found = [await self.parts.executions.row(one) for one in sorted(ids)]
        return [row for row in found if row is not None and row.deleted_at is None]

    async def _newest(self) -> Sequence[Row]:
        """Return executions that may have changed without a signal."""
        if not any(wanted.kind == "execution" for wanted in self.wanted):
            return ()
        named = await self._rows(self._ids("execution"))
        if self._only_named("execution"):
            return named
        return [*named, *await self.parts.executions.find(ExecutionQuery(), limit=NEWEST)]

    def _may_match(self, kind: Kind, resource: str) -> bool:
        """Return whether a resource may be watched, as far as its id tells."""
        return any(one.kind == kind and (not one.ids or resource in one.ids) for one in self.wanted)

    def _watches_row(self, row: Row) -> bool:
        creator = str(row.view.get("metadata", {}).get("creator", {}).get("id", ""))
        used = row.view.get("status", {}).get("usedEnvironments", ())
        environments = [str(one.get("environmentId", "")) for one in used]
        return any(wanted.matches("execution", row.id, creator, environments) for wanted in self.wanted)

    async def _environment_rows(self) -> list[EnvironmentRow]:
        if not any(wanted.kind == "environment" for wanted in self.wanted):
            return []
        if self._only_named("environment"):
            found = [await self.parts.environment_rows.get(one) for one in sorted(self._ids("environment"))]
            rows = [row for row in found if row is not None]
        else:
            rows = list(await self.parts.environment_rows.find())
        return [row for row in rows if self._watches_environment(row)]

    def _watches_environment(self, row: EnvironmentRow) -> bool:
        return any(wanted.matches("environment", row.id, row.creator_id, [row.id]) for wanted in self.wanted)


def _known_execution(row: Row) -> Known:
    metadata = {key: value for key, value in row.view.get("metadata", {}).items() if key != "updatedAt"}
    return Known(row.last_seq, json.dumps([metadata, row.view.get("spec")], sort_keys=True, default=str))


def _known_environment(row: EnvironmentRow) -> Known:
    spec = [row.name, row.class_id, row.spec, desired_of(row).name, row.status.get("archived_at", "")]
    return Known(row.version, json.dumps(spec, sort_keys=True, default=str))


def _event(kind: Kind, resource: str, operation: pb.ResourceOperation) -> pb.WatchEventsResponse:
    return pb.WatchEventsResponse(operation=operation, resource_type=RESOURCES[kind], resource_id=resource)
