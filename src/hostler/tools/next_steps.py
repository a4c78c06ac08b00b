"""The tool that proposes what could be done next."""

from pydantic import BaseModel, ConfigDict, Field

from hostler.core.events import NextStep, NextStepsProposed
from hostler.tools.tool import Answer, Arguments, Inside


class ProposedStep(BaseModel):
    """One proposal."""

    model_config = ConfigDict(extra="forbid")

    title: str = Field(min_length=1, max_length=100, description="A few words for a button.")
    prompt: str = Field(min_length=1, max_length=4000, description="What the person would send to start it.")


class NextStepsArguments(Arguments):
    """All proposals; they replace earlier ones."""

    actions: list[ProposedStep] = Field(min_length=1, max_length=4)


class NextSteps:
    """Shows proposals that a person can choose with one click; they stand until the next input."""

    name = "next_steps"
    description = (
        "When the task is done, propose one to four things that could sensibly be done next. The person may choose "
        "one, which sends its prompt to you. Leave it out where nothing suggests itself."
    )
    arguments = NextStepsArguments
    inside = False

    async def run(self, arguments: NextStepsArguments, inside: Inside | None) -> Answer:
        """Propose them."""
        steps = tuple(NextStep(step.title, step.prompt) for step in arguments.actions)
        return Answer("ok", "proposed", events=(NextStepsProposed(steps),))
