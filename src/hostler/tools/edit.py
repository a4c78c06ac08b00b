"""The tool that replaces one piece of a file."""

from pydantic import Field

from hostler.core.machines import Cancelled, EditRefused, FileProblem
from hostler.tools.files import refused
from hostler.tools.tool import STOPPED, Answer, Arguments, Inside


class EditArguments(Arguments):
    """A file, what stands there and what shall."""

    path: str = Field(min_length=1, description="Relative to the workspace, or absolute.")
    old: str = Field(min_length=1, description="The exact text to replace, white space included; it must occur once.")
    new: str = Field(description="The text that takes its place.")


class Edit:
    """Replaces the one exact occurrence of a text."""

    name = "edit"
    description = "Replace a text in a file. `old` must match exactly and occur once: add lines around it if needed."
    arguments = EditArguments
    inside = True

    async def run(self, arguments: EditArguments, inside: Inside | None) -> Answer:
        """Edit the file once; a repeat answers what the first one did."""
        assert inside is not None
        path, old, new = arguments.path, arguments.old, arguments.new
        if old == new:
            return Answer("failed", "`old` and `new` are the same; nothing was changed.")
        try:
            done = await inside.machine.edit(inside.operation, path, old, new, incarnation=inside.incarnation)
        except FileProblem as problem:
            return refused(problem)
        if isinstance(done, Cancelled):
            return STOPPED
        if isinstance(done, EditRefused):
            return Answer("failed", why(done, path))
        details = {"file": path, "old": old, "new": new, "line": done.line}
        return Answer("ok", f"edited {path} at line {done.line}", details=details)


def why(refusal: EditRefused, path: str) -> str:
    """Return what the model should do about a refused edit."""
    if refusal.occurrences == 0:
        return (
            f"`old` does not occur in {path}; nothing was changed. Read the file and copy the text exactly, with its "
            "white space and without line numbers."
        )
    lines = ", ".join(map(str, refusal.lines))
    return (
        f"`old` occurs {refusal.occurrences} times in {path} (lines {lines}); nothing was changed. Add lines around "
        "it until it is unique."
    )
