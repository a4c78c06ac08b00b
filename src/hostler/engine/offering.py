"""The prompt library as executions use it: read when a turn begins, and when something is typed or loaded."""

from dataclasses import dataclass

from hostler.core.memory_events import Announced, Skill
from hostler.core.offers import LONGEST_DESCRIPTION, LONGEST_NAME, MOST_SKILLS, Offered
from hostler.core.prompts import Prompt, PromptQuery, Prompts

MOST_COMMANDS = 200


@dataclass(frozen=True, slots=True)
class LibraryOffers:
    """Offers over the stored prompts."""

    prompts: Prompts

    async def offered(self) -> Offered:
        """Return the commands and skills that there are, by name."""
        commands = await self.prompts.find(PromptQuery(is_command=True), limit=MOST_COMMANDS)
        skills = await self.prompts.find(PromptQuery(is_skill=True), limit=MOST_SKILLS)
        listed = {one.command: Announced(one.command, one.description) for one in commands}
        return Offered(tuple(listed[name] for name in sorted(listed)), tuple(sorted(map(_skill, skills), key=_name)))

    async def command(self, name: str) -> str | None:
        """Return the prompt that a command stands for."""
        found = await self.prompts.find(PromptQuery(is_command=True, command=name))
        return found[0].prompt if found else None

    async def skill(self, name: str) -> str | None:
        """Return the text of a skill."""
        skills = await self.prompts.find(PromptQuery(is_skill=True), limit=MOST_SKILLS)
        return next((one.prompt for one in skills if _skill(one).name == name), None)


def _skill(prompt: Prompt) -> Skill:
    """Return a prompt as a skill; a command's name is shorter to say than a title."""
    name = prompt.command or prompt.name
    return Skill(name[:LONGEST_NAME], " ".join(prompt.description.split())[:LONGEST_DESCRIPTION])


def _name(skill: Skill) -> str:
    return skill.name
