"""What the prompt library and the repository offer to an execution: commands to type, and skills to load."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from hostler.core.memory_events import Announced, Skill

MOST_SKILLS = 50
LONGEST_NAME = 64
LONGEST_DESCRIPTION = 500
"""Characters of a skill's description that the model is told."""
LONGEST_SKILL = 64 << 10
"""Bytes of a skill that are loaded."""
CLEAR = Announced("clear", "Begin with an empty context; the files stay as they are")
BUNDLE = Announced("support-bundle", "Tell where to get everything that is known of this execution, in one file")


@dataclass(frozen=True, slots=True)
class Offered:
    """What the library offers to every execution."""

    commands: tuple[Announced, ...] = ()
    skills: tuple[Skill, ...] = ()


class Offers(Protocol):
    """The prompt library as executions use it."""

    async def offered(self) -> Offered:
        """Return the commands and skills that there are, by name."""
        ...

    async def command(self, name: str) -> str | None:
        """Return the prompt that a command stands for; None for an unknown one."""
        ...

    async def skill(self, name: str) -> str | None:
        """Return the text of a skill; None for an unknown one."""
        ...


def announced(offered: Offered, driver: str) -> tuple[Announced, ...]:
    """Return the commands that can be typed to an agent."""
    own = (CLEAR, BUNDLE) if driver == "builtin" else (BUNDLE,)
    taken = {one.name for one in own}
    return (*own, *(one for one in offered.commands if one.name not in taken))


def chosen(repository: Sequence[Skill], library: Sequence[Skill]) -> tuple[Skill, ...]:
    """Return the skills of an execution: those of the repository win over those of the library of the same name."""
    by_name = {skill.name: skill for skill in (*library, *repository)}
    ordered = (*(s for s in repository if by_name[s.name] is s), *(s for s in library if by_name[s.name] is s))
    return tuple(ordered)[:MOST_SKILLS]
