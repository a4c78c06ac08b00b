"""SendToAgentExecution: user input, messages of agents, and what changes the queue."""

from dataclasses import replace

from hostler.api.call import current
from hostler.api.codec import to_json
from hostler.api.controls import caps_of, check_able, control_of, goal_in, with_budget
from hostler.api.inputs import has_image, send_of
from hostler.api.modes import in_mode
from hostler.api.parts import ApiParts
from hostler.api.prompting import understood
from hostler.api.settings import check_codex
from hostler.api.starting import refuse_while_draining
from hostler.api.wakes import wake_of
from hostler.contract.gitpod.v1.agent_execution_requests_pb import SendToAgentExecutionRequest
from hostler.contract.gitpod.v1.agent_input_pb import AgentMessage, UserInputBlock, WakeEvent
from hostler.core.agents import GoalChange
from hostler.core.approvals import SHARE
from hostler.core.commands import ChangeGoal, Command, Send
from hostler.core.errors import FailedPrecondition, InvalidArgument, NotFound
from hostler.core.events import Agent, Started
from hostler.core.modes import whole_text
from hostler.core.redaction import Redactor


class Sending:
    """Turns a request into a command."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts

    async def send(self, request: SendToAgentExecutionRequest) -> None:
        """Decide what was sent on the execution's latest state."""
        refuse_while_draining(self._parts)
        execution = request.agent_execution_id.lower()
        if request.codex_settings is not None:
            agent = await self._agent(execution)
            check_codex(request.codex_settings, agent, self._parts.models, self._parts.model_allowed)
        await self._parts.desk.command(execution, await self._command(execution, request))

    async def _command(self, execution: str, request: SendToAgentExecutionRequest) -> Command:
        match request.input:
            case None:
                raise InvalidArgument(
                    "one of user_input, agent_message, wake_event and control_input is needed", field="input"
                )
            case oneof if oneof.field == "user_input":
                if (goal := goal_in(oneof.value, self._parts.ambient)) and await self._has_goals(execution):
                    return self._masked(goal)
                send = await self._input(execution, oneof.value)
                agent = await self._agent(execution)
                send = in_mode(send, oneof.value, request.turn_options, agent)
                if "goal" in send.modes and agent.driver != "builtin":
                    objective, budget = with_budget(send.expansion or whole_text(send.block), "user_input")
                    return ChangeGoal(send.input_id, GoalChange("set", objective, token_budget=budget))
                settings = request.codex_settings
                return replace(send, settings=to_json(settings)) if settings is not None else send
            case oneof if oneof.field == "agent_message":
                return await self._message(execution, oneof.value)
            case oneof if oneof.field == "control_input":
                control = control_of(oneof.value, self._parts.ambient)
                check_able(control, await self._agent(execution))
                return self._masked(control)
            case oneof:
                assert isinstance(oneof.value, WakeEvent)
                return wake_of(oneof.value, self._parts.ambient, self._parts.redactor)

    async def _has_goals(self, execution: str) -> bool:
        return caps_of(await self._agent(execution)).goal

    def _masked(self, control: Command) -> Command:
        """Return a control without secrets in what a person wrote into it."""
        if not isinstance(control, ChangeGoal):
            return control
        objective = self._parts.redactor.text(control.change.objective)
        return replace(control, change=replace(control.change, objective=objective))

    async def _input(self, execution: str, block: UserInputBlock) -> Send:
        if block.metadata is not None and block.metadata.source.startswith(SHARE) and not current().visited:
            raise InvalidArgument("only the server says what came through a share", field="user_input.metadata.source")
        if has_image(block):
            agent = await self._agent(execution)
            if not caps_of(agent).images:
                raise FailedPrecondition(f"agent {agent.name} takes no images", field="user_input")
            if not self._parts.models.get(agent.model).info.vision:
                raise FailedPrecondition(f"model {agent.model} cannot see images", field="user_input")
        return await understood(send_of(block, self._parts.ambient, self._parts.redactor), execution, self._parts)

    async def _message(self, execution: str, message: AgentMessage) -> Send:
        """Return a message of an agent: who sent it comes from the credential, and people are nobody's parent."""
        if not message.payload.strip():
            raise InvalidArgument("there is no content", field="agent_message.payload")
        if message.type == AgentMessage.Type.COMPLETE and not await self._is_child(execution):
            raise FailedPrecondition("only a sub-agent has a last message", field="agent_message.type")
        message.role, message.sender_execution_id = AgentMessage.Role.UNSPECIFIED, ""
        return message_of(message, self._parts.ambient.new_id(), self._parts.redactor)

    async def _is_child(self, execution: str) -> bool:
        seen = await self._parts.desk.seen(execution)
        return bool(seen.row.view.get("hostler", {}).get("tree", {}).get("parent"))

    async def _agent(self, execution: str) -> Agent:
        """Return the agent as it was at the start."""
        await self._parts.desk.seen(execution)
        match await self._parts.executions.read(execution, 0, 1):
            case (first,) if isinstance(first.event, Started):
                return first.event.agent
            case _:
                raise NotFound("there is no such agent execution", field="agent_execution_id")


def message_of(message: AgentMessage, input_id: str, redactor: Redactor) -> Send:
    """Return the command that queues a message of an agent."""
    return Send(input_id, redactor.json(to_json(message)), input_id, "agent")
