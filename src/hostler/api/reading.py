"""Reading and ending executions: get, list, stop, delete, annotate, report outputs, and tokens for the conversation."""

from collections.abc import Sequence

from hostler.api.auth import Signer
from hostler.api.call import current
from hostler.api.pages import page_of
from hostler.api.parts import ApiParts
from hostler.api.settings import check_annotations
from hostler.api.subagents import children, shown
from hostler.api.terms import terms_of
from hostler.contract.gitpod.v1 import agent_execution_requests_pb as req
from hostler.contract.gitpod.v1.agent_execution_pb import AgentExecution, AgentExecutionRole
from hostler.core.commands import Annotate, Delete, ReportOutputs, Stop
from hostler.core.desk import Seen
from hostler.core.errors import InvalidArgument
from hostler.core.events import OutputScalar
from hostler.core.ports import ExecutionQuery, Row


class Reading:
    """The executions as they are."""

    def __init__(self, parts: ApiParts, signer: Signer) -> None:
        self._parts = parts
        self._signer = signer

    async def get(self, execution: str) -> AgentExecution:
        """Return an execution; NotFound when there is none."""
        seen = await self._parts.desk.seen(execution.lower())
        if not children(seen.row):
            current().answered = seen
        return (await shown(self._parts, [seen]))[0]

    async def list(self, request: req.ListAgentExecutionsRequest) -> req.ListAgentExecutionsResponse:
        """Return a page of executions, newest first."""
        query = query_of(request.filter)

        async def find(before: str, limit: int) -> Sequence[Row]:
            return await self._parts.executions.find(query, before, limit)

        rows, pagination = await page_of("executions", request.pagination, request.filter, find)
        found = await shown(self._parts, [Seen(row, self._parts.desk.liveness(row)) for row in rows])
        return req.ListAgentExecutionsResponse(pagination=pagination, agent_executions=found)

    async def stop(self, execution: str) -> None:
        """Stop the turn that runs now; a stopped execution stays so."""
        await self._parts.desk.command(execution.lower(), Stop())

    async def delete(self, execution: str) -> None:
        """Stop and remove an execution."""
        await self._parts.desk.command(execution.lower(), Delete())

    async def update(self, request: req.UpdateAgentExecutionRequest) -> AgentExecution:
        """Merge annotations, in which an empty value deletes its key; set loop conditions and limits."""
        terms = terms_of(request.spec) if request.spec is not None else None
        execution = request.agent_execution_id.lower()
        given = request.metadata.annotations if request.metadata else {}
        check_annotations(given, "metadata.annotations", empty=True)
        if given:
            await self._parts.desk.command(execution, Annotate(self._parts.redactor.json(dict(given))))
        if terms is not None:
            await self._parts.desk.command(execution, terms)
        return await self.get(execution)

    async def report(self, request: req.ReportAgentExecutionOutputsRequest) -> AgentExecution:
        """Merge outputs; all of them are kept or none."""
        execution = request.agent_execution_id.lower()
        values = {key: _scalar(key, value) for key, value in request.outputs.items()}
        await self._parts.desk.command(execution, ReportOutputs(self._parts.redactor.json(values)))
        return await self.get(execution)

    async def conversation_token(self, execution: str) -> str:
        """Return a token that reads and writes this one conversation."""
        seen = await self._parts.desk.seen(execution.lower())
        return self._signer.sign("conversation", seen.row.id, current().principal)


def query_of(filtered: req.ListAgentExecutionsRequest.Filter | None) -> ExecutionQuery:
    """Return the store's query for a filter."""
    if filtered is None:
        return ExecutionQuery()
    return ExecutionQuery(
        agent_ids=_folded(filtered.agent_ids),
        project_ids=_folded(filtered.project_ids),
        environment_ids=_folded(filtered.environment_ids),
        creator_ids=_folded(filtered.creator_ids),
        phases=tuple(AgentExecution.Phase(phase).name for phase in filtered.status_phases),
        roles=tuple(f"AGENT_EXECUTION_ROLE_{AgentExecutionRole(role).name}" for role in filtered.roles),
        session_ids=_folded(filtered.session_ids),
        execution_ids=_folded(filtered.agent_execution_ids),
        annotations=dict(filtered.annotations),
    )


def _folded(ids: Sequence[str]) -> tuple[str, ...]:
    """Return ids as we write them: uuids are in lower case here and in any case on the wire."""
    return tuple(one.lower() for one in ids)


def _scalar(key: str, value: AgentExecution.Status.OutputValue) -> OutputScalar:
    field = f"outputs[{key}]"
    if not 1 <= len(key) <= 128:
        raise InvalidArgument("a key has 1 to 128 characters", field=field)
    if value.value is None:
        raise InvalidArgument("a value is needed", field=field)
    return value.value.value
