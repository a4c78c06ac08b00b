"""The tool that finds text in files."""

from pydantic import Field

from hostler.core.machines import Command, Exited
from hostler.tools.bash import answer
from hostler.tools.tool import Answer, Arguments, Inside

SCRIPT = r"""
pattern=$1 path=$2
if command -v rg >/dev/null; then
  exec rg --line-number --no-heading --color never --max-columns 300 -e "$pattern" -- "$path"
elif git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
  exec git grep -nIE --untracked -e "$pattern" -- "$path"
fi
exec grep -rnIE -e "$pattern" -- "$path"
"""


class SearchArguments(Arguments):
    """What to look for and where."""

    pattern: str = Field(min_length=1, description="A regular expression.")
    path: str = Field(".", min_length=1, description="A file or folder, relative to the workspace.")


class Search:
    """Searches files by ripgrep, else git grep, else grep."""

    name = "search"
    description = (
        "Search files for a regular expression; returns path:line:text. Ignored and binary files are left out."
    )
    arguments = SearchArguments
    inside = True

    async def run(self, arguments: SearchArguments, inside: Inside | None) -> Answer:
        """Search; exit code 1 only says that nothing was found."""
        assert inside is not None
        command = Command(("bash", "-c", SCRIPT, "search", arguments.pattern, arguments.path), timeout=120)
        result = await inside.machine.exec(inside.operation, command, incarnation=inside.incarnation)
        if result.outcome == Exited(1):
            return Answer("ok", "(nothing found)", 1)
        return await answer(result, inside, 120)
