"""Skills that a repository brings along: SKILL.md files with a name and a description at their beginning."""

import asyncio
import re
from collections.abc import Mapping

from hostler.core.machines import FileProblem, Machine
from hostler.core.memory_events import Skill
from hostler.core.offers import LONGEST_DESCRIPTION, LONGEST_NAME, MOST_SKILLS

FOLDERS = (".ona/skills", ".claude/skills", ".agents/skills", "skills")
"""Where they are looked for, below the workspace; the first of a name counts."""
NAME = "SKILL.md"
HEAD = 8 << 10
"""Bytes of a file in which its name and description must stand."""
DEPTH = 4
FIELD = re.compile(r"([A-Za-z][\w-]*):[ \t]*(.*)")
BLOCKS = ("", "|", "|-", "|+", ">", ">-", ">+")
"""What stands behind a field whose value follows, indented."""


async def skills_in(machine: Machine) -> tuple[Skill, ...]:
    """Return the skills of the workspace; what cannot be read, or has no description, is none."""
    found = [path for paths in await asyncio.gather(*(_paths(machine, folder) for folder in FOLDERS)) for path in paths]
    read = await asyncio.gather(*(_skill(machine, path) for path in found[:MOST_SKILLS]))
    skills: dict[str, Skill] = {}
    for skill in read:
        if skill:
            skills.setdefault(skill.name, skill)
    return tuple(skills.values())


async def _paths(machine: Machine, folder: str) -> list[str]:
    try:
        found = await machine.find(folder, NAME, depth=DEPTH, limit=MOST_SKILLS)
    except FileProblem:
        return []
    paths = (f"{folder}/{entry.path}" for entry in found.entries)
    return sorted(path for path in paths if path.rpartition("/")[2] == NAME)


async def _skill(machine: Machine, path: str) -> Skill | None:
    try:
        text = (await machine.read(path, limit=HEAD)).data.decode(errors="replace")
    except FileProblem:
        return None
    fields = front_matter(text)
    name = fields.get("name") or path.split("/")[-2]
    description = fields.get("description", "")
    return Skill(name[:LONGEST_NAME], description[:LONGEST_DESCRIPTION], path) if description else None


def front_matter(text: str) -> Mapping[str, str]:
    """Return the fields between the two lines of dashes that a file begins with: plain, quoted or indented texts."""
    lines = text.replace("\r\n", "\n").split("\n")
    if lines[0].strip() != "---" or "---" not in (line.rstrip() for line in lines[1:]):
        return {}
    fields: dict[str, list[str]] = {}
    last: list[str] = []
    for line in lines[1:]:
        if line.rstrip() == "---":
            break
        if found := FIELD.fullmatch(line.rstrip()):
            last = fields.setdefault(found[1], [])
            last[:] = [] if found[2] in BLOCKS else [found[2]]
        elif line[:1].isspace():
            last.append(line)
    return {name: _unquoted(" ".join(" ".join(value).split())) for name, value in fields.items()}


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value
