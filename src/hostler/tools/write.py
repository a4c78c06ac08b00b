"""The tool that writes a file."""

from pydantic import Field

from hostler.core.machines import Cancelled, FileProblem
from hostler.tools.files import refused
from hostler.tools.tool import STOPPED, Answer, Arguments, Inside


class WriteArguments(Arguments):
    """A file and all that it will hold."""

    path: str = Field(min_length=1, description="Relative to the workspace, or absolute.")
    content: str = Field(description="The whole new content.")


class Write:
    """Writes a whole file, making its folders."""

    name = "write"
    description = "Write a whole file; it is made, with its folders, or replaced."
    arguments = WriteArguments
    inside = True

    async def run(self, arguments: WriteArguments, inside: Inside | None) -> Answer:
        """Write the file once; a repeat answers what the first one did."""
        assert inside is not None
        data = arguments.content.encode()
        try:
            written = await inside.machine.write(inside.operation, arguments.path, data, incarnation=inside.incarnation)
        except FileProblem as problem:
            return refused(problem)
        if isinstance(written, Cancelled):
            return STOPPED
        verb = "replaced" if written.existed else "created"
        details = {
            "file": arguments.path,
            "old": "",
            "new": arguments.content,
            "line": 1,
            "created": not written.existed,
        }
        return Answer("ok", f"{verb} {arguments.path} ({written.size} bytes)", details=details)
