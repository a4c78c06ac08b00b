"""The agents that can be started, as ListAgents and GetAgent show them."""

from collections.abc import Sequence

from protobuf import Oneof

from hostler.api.call import current
from hostler.api.pages import page_of
from hostler.api.parts import ApiParts
from hostler.contract.gitpod.v1 import agent_pb as pb
from hostler.core.desk import AgentDefinition
from hostler.core.errors import NotFound
from hostler.core.mcp_servers import McpServer


class _Numbered:
    """A definition with an id that sorts as the list is ordered, for the page tokens."""

    def __init__(self, number: int, definition: AgentDefinition) -> None:
        self.id = f"{number:06d}"
        self.definition = definition


class Definitions:
    """What hostler.toml defines."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts

    def get(self, agent_id: str) -> pb.Agent:
        """Return an agent; NotFound when there is none."""
        definition = self._parts.agents.get(agent_id.lower())
        if definition is None:
            raise NotFound("there is no such agent", field="agent_id")
        return agent_of(definition, admin=current().principal.admin)

    async def list(self, request: pb.ListAgentsRequest) -> pb.ListAgentsResponse:
        """Return a page of agents, the default first."""
        numbered = [_Numbered(number, one) for number, one in enumerate(self._parts.agents.all())]

        async def find(after: str, limit: int) -> list[_Numbered]:
            return [one for one in numbered if one.id > after][:limit]

        shown, pagination = await page_of("agents", request.pagination, None, find)
        admin = current().principal.admin
        return pb.ListAgentsResponse(
            pagination=pagination, agents=[agent_of(one.definition, admin=admin) for one in shown]
        )

    async def integrations(self, request: pb.ListMCPIntegrationsRequest) -> pb.ListMCPIntegrationsResponse:
        """Return a page of the configured MCP servers; those of repositories are known to executions only."""
        servers = sorted(self._parts.mcp_servers, key=lambda server: server.id)

        async def find(after: str, limit: int) -> Sequence[McpServer]:
            return [one for one in servers if one.id > after][:limit]

        shown, pagination = await page_of("mcp", request.pagination, None, find)
        found = [pb.MCPIntegration(id=one.id, name=one.title, url=one.url, enabled=not one.disabled) for one in shown]
        return pb.ListMCPIntegrationsResponse(pagination=pagination, mcp_integrations=found)


def agent_of(definition: AgentDefinition, *, admin: bool) -> pb.Agent:
    """Return an agent; its prompts are shown to administrators only."""
    agent = definition.agent
    metadata = pb.AgentMetadata(name=agent.name, description=definition.description)
    if agent.driver != "builtin":
        inside = pb.InEnvironmentAgentSpec()
        return pb.Agent(id=agent.id, metadata=metadata, agent_spec=Oneof("in_environment", inside))
    prompts = pb.RunnerSideAgentSpec.Prompts(
        system_prompt=agent.system_prompt,
        initial_message=definition.initial_message,
        judgement_prompt=definition.judgement_prompt,
    )
    spec = pb.RunnerSideAgentSpec(prompts=[prompts] if admin else [], required_tools=list(agent.tools))
    return pb.Agent(id=agent.id, metadata=metadata, agent_spec=Oneof("runner_side", spec))
