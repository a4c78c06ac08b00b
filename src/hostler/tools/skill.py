"""The tool that loads a skill: knowledge that somebody wrote down, from the repository or the prompt library."""

from pydantic import Field

from hostler.core.errands import Errand
from hostler.core.machines import FileProblem
from hostler.core.memory_events import Skill
from hostler.core.offers import LONGEST_SKILL
from hostler.tools.tool import Answer, Arguments, Inside


class SkillArguments(Arguments):
    """Which one."""

    name: str = Field(min_length=1, max_length=64, description="The skill's name, as it is listed.")


class LoadSkill:
    """Reads a skill; it changes nothing, so that it may be done again."""

    name = "skill"
    description = "Load one of the listed skills by its name, to do something the way it is done here."
    arguments = SkillArguments
    inside = True

    async def go(self, arguments: SkillArguments, errand: Errand, inside: Inside | None) -> Answer:
        """Return the skill's text."""
        skills = errand.state.memory.skills
        found = next((skill for skill in skills if skill.name == arguments.name), None)
        if found is None:
            names = ", ".join(skill.name for skill in skills) or "none"
            return Answer("failed", f"There is no skill {arguments.name!r}. There are: {names}.")
        text = await self._text(found, errand, inside)
        if text is None:
            return Answer("failed", f"The skill {found.name} is gone.")
        folder = found.path.rpartition("/")[0]
        where = f"Its folder is {folder}; files that it names are there.\n\n" if folder else ""
        cut = "\n[the rest is left out]" if len(text.encode()) > LONGEST_SKILL else ""
        return Answer("ok", f"{where}{text.encode()[:LONGEST_SKILL].decode(errors='ignore')}{cut}")

    async def _text(self, skill: Skill, errand: Errand, inside: Inside | None) -> str | None:
        if not skill.path:
            return await errand.services.offers.skill(skill.name) if errand.services.offers else None
        assert inside is not None
        try:
            return (await inside.machine.read(skill.path, limit=LONGEST_SKILL + 1)).data.decode(errors="replace")
        except FileProblem:
            return None
