"""SendToAgentExecution: user input, messages of agents, and what changes the queue."""

from hostler.api.codec import to_json
from hostler.api.inputs import has_image, member, send_of
from hostler.api.parts import ApiParts
from hostler.api.settings import check_codex, check_turn_options
from hostler.api.starting import refuse_while_draining
from hostler.contract.gitpod.v1.agent_execution_requests_pb import SendToAgentExecutionRequest
from hostler.contract.gitpod.v1.agent_input_pb import AgentControlInput, AgentMessage, UserInputBlock
from hostler.core.commands import Command, DeleteInput, MoveInput, Send, SteerInput
from hostler.core.errors import FailedPrecondition, InvalidArgument, NotFound, Unimplemented
from hostler.core.events import Agent, Started
from hostler.core.redaction import Redactor

CONTROLS = "control_input"


class Sending:
    """Turns a request into a command."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts

    async def send(self, request: SendToAgentExecutionRequest) -> None:
        """Decide what was sent on the execution's latest state."""
        refuse_while_draining(self._parts)
        execution = request.agent_execution_id.lower()
        check_turn_options(request.turn_options)
        if request.codex_settings is not None:
            check_codex(request.codex_settings, await self._agent(execution))
        await self._parts.desk.command(execution, await self._command(execution, request))

    async def _command(self, execution: str, request: SendToAgentExecutionRequest) -> Command:
        match request.input:
            case None:
                raise InvalidArgument("one of user_input, agent_message and control_input is needed", field="input")
            case oneof if oneof.field == "user_input":
                return await self._input(execution, oneof.value)
            case oneof if oneof.field == "agent_message":
                return self._message(oneof.value)
            case oneof if oneof.field == "control_input":
                return control_of(oneof.value)
            case _:
                raise Unimplemented("wake events are not served yet", field="wake_event")

    async def _input(self, execution: str, block: UserInputBlock) -> Send:
        if has_image(block):
            model = (await self._agent(execution)).model
            if not self._parts.models.get(model).info.vision:
                raise FailedPrecondition(f"model {model} cannot see images", field="user_input")
        return send_of(block, self._parts.ambient, self._parts.redactor)

    def _message(self, message: AgentMessage) -> Send:
        """Return a message of an agent: who sent it comes from the credential, and people are nobody's parent."""
        if not message.payload.strip():
            raise InvalidArgument("there is no content", field="agent_message.payload")
        if message.type == AgentMessage.Type.COMPLETE:
            raise Unimplemented("TYPE_COMPLETE comes with sub-agents", field="agent_message.type")
        message.role, message.sender_execution_id = AgentMessage.Role.UNSPECIFIED, ""
        return message_of(message, self._parts.ambient.new_id(), self._parts.redactor)

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


def control_of(control: AgentControlInput) -> Command:
    """Return the command of a control; those of a later release are refused by name."""
    match control.control:
        case None:
            raise InvalidArgument("a control is needed", field=f"{CONTROLS}.control")
        case oneof if oneof.field == "delete_queued_message":
            return DeleteInput(oneof.value.user_input_id)
        case oneof if oneof.field == "steer_queued_message":
            return SteerInput(oneof.value.user_input_id)
        case oneof if oneof.field == "move_queued_message":
            return MoveInput(oneof.value.user_input_id, oneof.value.before_user_input_id)
        case oneof:
            field = f"{CONTROLS}.{member(oneof)}"
            raise Unimplemented("this control is not served yet", field=field)
