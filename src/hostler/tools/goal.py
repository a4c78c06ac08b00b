"""The tool that says that the goal is reached, or that it cannot be without a person."""

from typing import Literal

from pydantic import Field

from hostler.core.agent_events import GoalChanged
from hostler.core.changing import changed
from hostler.core.errands import Errand
from hostler.tools.tool import Answer, Arguments, Inside


class GoalArguments(Arguments):
    """How it stands."""

    status: Literal["complete", "blocked"]
    reason: str = Field(min_length=1, max_length=2000, description="What shows it, or what is missing.")


class GoalTool:
    """Ends the pursuit of a goal; the harness still shows which checks ran."""

    name = "goal"
    description = (
        "Say that the goal is complete, once a check has shown it, or that you are blocked and need a person. You are "
        "not called for the goal again after that."
    )
    arguments = GoalArguments
    inside = False

    async def go(self, arguments: GoalArguments, errand: Errand, inside: Inside | None) -> Answer:
        """Change it."""
        goal = errand.state.external.goal
        if goal is None or goal.status != "active":
            return Answer("failed", "There is no goal that is pursued now.")
        status = "completed" if arguments.status == "complete" else "blocked"
        text = f"The goal is {status}: {arguments.reason}"
        return Answer("ok", text, events=(GoalChanged(changed(goal, status=status)),))
