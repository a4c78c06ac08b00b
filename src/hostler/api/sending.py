"""SendToAgentExecution: user input, messages of agents, and what changes the queue."""

import re
from collections.abc import Mapping
from dataclasses import replace

from hostler.api.codec import to_json
from hostler.api.inputs import has_image, member, send_of
from hostler.api.parts import ApiParts
from hostler.api.settings import check_codex, check_turn_options
from hostler.api.starting import refuse_while_draining
from hostler.contract.gitpod.v1.agent_execution_pb import AgentExecution
from hostler.contract.gitpod.v1.agent_execution_requests_pb import SendToAgentExecutionRequest
from hostler.contract.gitpod.v1.agent_input_pb import AgentControlInput, AgentMessage, UserInputBlock
from hostler.core.agents import GoalAction, GoalChange
from hostler.core.ambient import Ambient
from hostler.core.commands import ChangeGoal, Command, Compact, DeleteInput, MoveInput, Send, SteerInput
from hostler.core.errors import FailedPrecondition, InvalidArgument, NotFound, Unimplemented
from hostler.core.events import Agent, Started
from hostler.core.redaction import Redactor

CONTROLS = "control_input"
GoalStatus = AgentExecution.Status.Goal.GoalStatus
_GOAL_ACTIONS: Mapping[str, GoalAction] = {
    "pause": "pause",
    "resume": "resume",
    "complete": "complete",
    "clear": "clear",
}
_BUDGET = re.compile(r"\s*(?:/ona:goal\s+)?--budget[ =](\d{1,15})([kKmM]?)(?=\s)")
_THOUSANDS = {"": 1, "k": 1000, "m": 1_000_000}


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
            agent = await self._agent(execution)
            check_codex(request.codex_settings, agent, self._parts.models, self._parts.model_allowed)
        await self._parts.desk.command(execution, await self._command(execution, request))

    async def _command(self, execution: str, request: SendToAgentExecutionRequest) -> Command:
        match request.input:
            case None:
                raise InvalidArgument("one of user_input, agent_message and control_input is needed", field="input")
            case oneof if oneof.field == "user_input":
                send = await self._input(execution, oneof.value)
                settings = request.codex_settings
                return replace(send, settings=to_json(settings)) if settings is not None else send
            case oneof if oneof.field == "agent_message":
                return self._message(oneof.value)
            case oneof if oneof.field == "control_input":
                return control_of(oneof.value, self._parts.ambient)
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


def control_of(control: AgentControlInput, ambient: Ambient) -> Command:
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
        case oneof if oneof.field == "compact":
            return Compact(ambient.new_id())
        case oneof if oneof.field == "goal":
            return ChangeGoal(ambient.new_id(), goal_change(oneof.value))
        case oneof:
            field = f"{CONTROLS}.{member(oneof)}"
            raise Unimplemented("this control is not served yet", field=field)


def goal_change(goal: AgentControlInput.Goal) -> GoalChange:
    """Return what is wanted of the goal; a budget stands before the objective, as in `--budget 200k TEXT`."""
    field = f"{CONTROLS}.goal"
    match goal.action:
        case None:
            raise InvalidArgument("an action is needed", field=f"{field}.action")
        case oneof if oneof.field == "set":
            status = oneof.value.status
            if status not in (GoalStatus.UNSPECIFIED, GoalStatus.ACTIVE, GoalStatus.PAUSED):
                raise InvalidArgument("a goal is set as ACTIVE or PAUSED", field=f"{field}.set.status")
            objective, budget = with_budget(oneof.value.objective, f"{field}.set.objective")
            return GoalChange("set", objective, "paused" if status == GoalStatus.PAUSED else "active", budget)
        case oneof:
            return GoalChange(_GOAL_ACTIONS[oneof.field])


def with_budget(text: str, field: str) -> tuple[str, int]:
    """Return the objective and its token budget, 0 when there is none."""
    found = _BUDGET.match(text)
    objective = (text[found.end() :] if found else text).strip()
    if not objective:
        raise InvalidArgument("an objective is needed", field=field)
    return objective, int(found[1]) * _THOUSANDS[found[2].lower()] if found else 0
