"""AgentService: each call is handed to the part that knows it. Methods that are left out answer `unimplemented`."""

from typing import Any

from connectrpc.request import RequestContext

from hostler.api.auth import Signer
from hostler.api.definitions import Definitions
from hostler.api.improving import improve
from hostler.api.library import Library
from hostler.api.parts import ApiParts
from hostler.api.reading import Reading
from hostler.api.sending import Sending
from hostler.api.starting import Starting
from hostler.contract.gitpod.v1 import agent_execution_requests_pb as req
from hostler.contract.gitpod.v1 import agent_pb, prompt_pb
from hostler.contract.gitpod.v1.agent_connect import AgentService

Context = RequestContext[Any, Any]


class Agents(AgentService):
    """The service over the desk."""

    def __init__(self, parts: ApiParts, signer: Signer) -> None:
        self._parts = parts
        self._starting = Starting(parts)
        self._sending = Sending(parts)
        self._reading = Reading(parts, signer)
        self._library = Library(parts)
        self._definitions = Definitions(parts)

    async def start_agent(self, request: req.StartAgentRequest, ctx: Context, /) -> req.StartAgentResponse:
        """Start an execution."""
        key = ctx.request_headers.get("idempotency-key", "")
        return req.StartAgentResponse(agent_execution_id=await self._starting.start(request, key))

    async def send_to_agent_execution(
        self, request: req.SendToAgentExecutionRequest, ctx: Context, /
    ) -> req.SendToAgentExecutionResponse:
        """Send input or a control."""
        await self._sending.send(request)
        return req.SendToAgentExecutionResponse()

    async def get_agent_execution(
        self, request: req.GetAgentExecutionRequest, ctx: Context, /
    ) -> req.GetAgentExecutionResponse:
        """Get one execution."""
        return req.GetAgentExecutionResponse(agent_execution=await self._reading.get(request.agent_execution_id))

    async def list_agent_executions(
        self, request: req.ListAgentExecutionsRequest, ctx: Context, /
    ) -> req.ListAgentExecutionsResponse:
        """List executions."""
        return await self._reading.list(request)

    async def stop_agent_execution(
        self, request: req.StopAgentExecutionRequest, ctx: Context, /
    ) -> req.StopAgentExecutionResponse:
        """Stop the running turn."""
        await self._reading.stop(request.agent_execution_id)
        return req.StopAgentExecutionResponse()

    async def delete_agent_execution(
        self, request: req.DeleteAgentExecutionRequest, ctx: Context, /
    ) -> req.DeleteAgentExecutionResponse:
        """Delete an execution."""
        await self._reading.delete(request.agent_execution_id)
        return req.DeleteAgentExecutionResponse()

    async def update_agent_execution(
        self, request: req.UpdateAgentExecutionRequest, ctx: Context, /
    ) -> req.UpdateAgentExecutionResponse:
        """Change annotations."""
        return req.UpdateAgentExecutionResponse(agent_execution=await self._reading.update(request))

    async def report_agent_execution_outputs(
        self, request: req.ReportAgentExecutionOutputsRequest, ctx: Context, /
    ) -> req.ReportAgentExecutionOutputsResponse:
        """Merge outputs."""
        return req.ReportAgentExecutionOutputsResponse(agent_execution=await self._reading.report(request))

    async def create_agent_execution_conversation_token(
        self, request: req.CreateAgentExecutionConversationTokenRequest, ctx: Context, /
    ) -> req.CreateAgentExecutionConversationTokenResponse:
        """Make a token for the conversation."""
        token = await self._reading.conversation_token(request.agent_execution_id)
        return req.CreateAgentExecutionConversationTokenResponse(token=token)

    async def list_agents(self, request: agent_pb.ListAgentsRequest, ctx: Context, /) -> agent_pb.ListAgentsResponse:
        """List the agents that can be started."""
        return await self._definitions.list(request)

    async def get_agent(self, request: agent_pb.GetAgentRequest, ctx: Context, /) -> agent_pb.GetAgentResponse:
        """Get one agent."""
        return agent_pb.GetAgentResponse(agent=self._definitions.get(request.agent_id))

    async def list_mcp_integrations(
        self, request: agent_pb.ListMCPIntegrationsRequest, ctx: Context, /
    ) -> agent_pb.ListMCPIntegrationsResponse:
        """List the MCP servers of the configuration."""
        return await self._definitions.integrations(request)

    async def improve_prompt_for_agent(
        self, request: agent_pb.ImprovePromptForAgentRequest, ctx: Context, /
    ) -> agent_pb.ImprovePromptForAgentResponse:
        """Let an agent's model rewrite a prompt."""
        improved = await improve(self._parts, request.agent_id, request.prompt)
        return agent_pb.ImprovePromptForAgentResponse(improved_prompt=improved)

    async def list_prompts(
        self, request: prompt_pb.ListPromptsRequest, ctx: Context, /
    ) -> prompt_pb.ListPromptsResponse:
        """List prompts."""
        return await self._library.list(request)

    async def get_prompt(self, request: prompt_pb.GetPromptRequest, ctx: Context, /) -> prompt_pb.GetPromptResponse:
        """Get one prompt."""
        return prompt_pb.GetPromptResponse(prompt=await self._library.get(request.prompt_id))

    async def create_prompt(
        self, request: prompt_pb.CreatePromptRequest, ctx: Context, /
    ) -> prompt_pb.CreatePromptResponse:
        """Add a prompt."""
        return prompt_pb.CreatePromptResponse(prompt=await self._library.create(request))

    async def update_prompt(
        self, request: prompt_pb.UpdatePromptRequest, ctx: Context, /
    ) -> prompt_pb.UpdatePromptResponse:
        """Change a prompt."""
        return prompt_pb.UpdatePromptResponse(prompt=await self._library.update(request))

    async def delete_prompt(
        self, request: prompt_pb.DeletePromptRequest, ctx: Context, /
    ) -> prompt_pb.DeletePromptResponse:
        """Remove a prompt."""
        await self._library.delete(request.prompt_id)
        return prompt_pb.DeletePromptResponse()
