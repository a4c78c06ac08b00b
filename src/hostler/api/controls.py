"""What changes an agent instead of telling it something: its queue, its context, its goal.

What its driver cannot do is refused here, before anything is written.
"""

import re
from collections.abc import Mapping

from hostler.agents.registry import DRIVERS
from hostler.api.inputs import member, parts_of
from hostler.contract.gitpod.v1.agent_execution_pb import AgentExecution
from hostler.contract.gitpod.v1.agent_input_pb import AgentControlInput, UserInputBlock
from hostler.core.agents import Caps, GoalAction, GoalChange
from hostler.core.ambient import Ambient
from hostler.core.commands import ChangeGoal, Command, Compact, DeleteInput, MoveInput, SteerInput
from hostler.core.errors import FailedPrecondition, InvalidArgument, Unimplemented
from hostler.core.events import Agent
from hostler.core.goals import split

CONTROLS = "control_input"
GoalStatus = AgentExecution.Status.Goal.GoalStatus
_GOAL_ACTIONS: Mapping[str, GoalAction] = {
    "pause": "pause",
    "resume": "resume",
    "complete": "complete",
    "clear": "clear",
}
_GOAL = re.compile(r"\s*/ona:goal(?:\s|$)")
_BUILTIN = Caps(steer=True, images=True, compact=True, goal=True)


def caps_of(agent: Agent) -> Caps:
    """Return what an agent can do."""
    driver = DRIVERS.get(agent.driver)
    return driver.caps if driver else _BUILTIN


def check_able(command: Command, agent: Agent) -> None:
    """Raise FailedPrecondition for what the agent cannot do."""
    caps = caps_of(agent)
    match command:
        case Compact() if not caps.compact:
            what, field = "does not compact its context on request", "compact"
        case ChangeGoal() if not caps.goal:
            what, field = "has no goals", "goal"
        case SteerInput() if not caps.steer:
            what, field = "takes nothing in while it works", "steer_queued_message"
        case _:
            return
    raise FailedPrecondition(f"agent {agent.name} {what}", field=f"{CONTROLS}.{field}")


def goal_in(block: UserInputBlock, ambient: Ambient) -> ChangeGoal | None:
    """Return the goal that a text beginning with /ona:goal would set; None for everything else."""
    match parts_of(block):
        case [(field, UserInputBlock.TextInput(content=text))] if prefix := _GOAL.match(text):
            objective, budget = with_budget(text[prefix.end() :], field)
            return ChangeGoal(block.id or ambient.new_id(), GoalChange("set", objective, "active", budget))
        case _:
            return None


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
    objective, budget = split(text)
    if not objective:
        raise InvalidArgument("an objective is needed", field=field)
    return objective, budget
