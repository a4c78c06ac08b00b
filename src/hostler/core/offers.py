"""Prompts at work: what a typed text means, how a command is expanded, and what an execution is offered.

Pure. A text that begins with `/NAME` stands for the prompt of the library whose command that is; `!` begins a command
line; `/clear` and `/support-bundle` are for Hostler itself. Everything else is what it says.
"""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from hostler.core.events import Local
from hostler.core.memory_events import Announced, Skill

SLASH = re.compile(r"/([A-Za-z0-9_-]{1,50})(?:\s+(.*))?\s*", re.DOTALL)
PLACEHOLDER = re.compile(r"\$(ARGUMENTS\b|[1-9])")
LONGEST = 100_000
"""Characters of an expanded command."""
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


def local_in(text: str) -> Local:
    """Return what Hostler does itself with a text that is all of an input; empty when it is for the agent."""
    said = text.strip()
    if said in ("/clear", "/support-bundle"):
        return "clear" if said == "/clear" else "bundle"
    return "shell" if said.startswith("!") and said[1:].strip() else ""


def slash_in(text: str) -> tuple[str, str] | None:
    """Return (name, arguments) of a text that begins with a slash command."""
    found = SLASH.fullmatch(text.strip())
    return (found[1], (found[2] or "").strip()) if found else None


def expanded(prompt: str, arguments: str) -> str:
    """Return a prompt with its arguments: `$ARGUMENTS` all of them, `$1` to `$9` one word each (quotes hold together).

    Arguments for which there is no place come behind it. What is filled in is not looked at again.
    """
    words = _words(arguments)

    def fill(found: re.Match[str]) -> str:
        if found[1] == "ARGUMENTS":
            return arguments
        number = int(found[1])
        return words[number - 1] if number <= len(words) else ""

    text, places = PLACEHOLDER.subn(fill, prompt)
    said = text if places or not arguments else f"{text}\n\n{arguments}"
    return said[:LONGEST]


def _words(arguments: str) -> Sequence[str]:
    try:
        return shlex.split(arguments)
    except ValueError:
        return arguments.split()


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
