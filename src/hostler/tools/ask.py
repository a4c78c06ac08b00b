"""The tool that asks the person and ends the turn; the next input answers."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hostler.core.agent_events import QuestionsAsked
from hostler.core.agents import Choice, Question
from hostler.tools.tool import Answer, Arguments, Inside

FEWEST_CHOICES = 2
SHOWN = (
    "The questions were shown to the person, and your turn ends here. What they answer is the next message. Do not ask "
    "again."
)


class AskedChoice(BaseModel):
    """An answer on offer."""

    model_config = ConfigDict(extra="forbid")

    label: str = Field(min_length=1, max_length=200, description="A few words; what the answer will say.")
    description: str = Field("", max_length=1000, description="What choosing it means.")


class AskedQuestion(BaseModel):
    """One question."""

    model_config = ConfigDict(extra="forbid")

    question: str = Field(min_length=1, max_length=2000)
    choices: list[AskedChoice] = Field(
        default_factory=list[AskedChoice], max_length=6, description="Two to six, or none for a question in the open."
    )
    allow_other: bool = Field(True, description="Whether the person may answer in words of their own.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        """Refuse what nobody could choose from."""
        labels = {choice.label.casefold() for choice in self.choices}
        if len(self.choices) == 1:
            raise ValueError(f"a question has at least {FEWEST_CHOICES} choices, or none")
        if len(labels) != len(self.choices):
            raise ValueError("two choices have the same label")
        return self


class AskArguments(Arguments):
    """All that is to be asked now."""

    questions: list[AskedQuestion] = Field(min_length=1, max_length=4)


class Ask:
    """Shows questions to the person; the execution waits for input with them open."""

    name = "ask"
    description = (
        "Ask the person one to four questions that you cannot answer yourself, and wait. Your turn ends with this "
        "call, so ask everything at once, and only what changes what you will do."
    )
    arguments = AskArguments
    inside = False

    async def run(self, arguments: AskArguments, inside: Inside | None) -> Answer:
        """Show them."""
        questions = tuple(_question(str(number), asked) for number, asked in enumerate(arguments.questions, 1))
        return Answer("ok", SHOWN, events=(QuestionsAsked("", questions),))


def _question(number: str, asked: AskedQuestion) -> Question:
    choices = tuple(Choice(choice.label, choice.label, choice.description) for choice in asked.choices)
    return Question(number, asked.question, choices, asked.allow_other or not choices)
