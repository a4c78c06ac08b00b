"""The tool that reads a file."""

from pydantic import Field

from hostler.core.machines import FileProblem
from hostler.tools.files import refused
from hostler.tools.tool import FOR_THE_MODEL, Answer, Arguments, Inside

LARGEST = 16 << 20


class ReadArguments(Arguments):
    """A file and which of its lines."""

    path: str = Field(min_length=1, description="Relative to the workspace, or absolute.")
    offset: int = Field(1, ge=1, description="The first line to return, counted from 1.")
    limit: int = Field(2000, ge=1, le=100_000, description="How many lines to return.")


class Read:
    """Reads lines of a text file, or lists a folder."""

    name = "read"
    description = "Read a text file with line numbers, or list a folder."
    arguments = ReadArguments
    inside = True

    async def run(self, arguments: ReadArguments, inside: Inside | None) -> Answer:
        """Read the file; reading again after a crash is harmless."""
        assert inside is not None
        try:
            chunk = await inside.machine.read(arguments.path, limit=LARGEST)
        except FileProblem as problem:
            return await self._folder(arguments.path, inside) if problem.kind == "is_directory" else refused(problem)
        if b"\0" in chunk.data[:8192]:
            return Answer("failed", f"{arguments.path} is a binary file of {chunk.size} bytes.")
        return Answer("ok", numbered(chunk.data.decode(errors="replace"), arguments.offset, arguments.limit))

    async def _folder(self, path: str, inside: Inside) -> Answer:
        entries = await inside.machine.list(path)
        lines = (f"{entry.path}{'/' if entry.kind == 'directory' else ''}" for entry in entries)
        return Answer("ok", "\n".join(lines) or "(empty folder)")


def numbered(text: str, offset: int, limit: int) -> str:
    """Return lines `offset` to `offset + limit - 1` with their numbers, as many as fit the model."""
    if not text:
        return "(empty file)"
    lines = text.removesuffix("\n").split("\n")
    out: list[str] = []
    size = 0
    for number, line in enumerate(lines[offset - 1 : offset - 1 + limit], start=offset):
        row = f"{number:6}\t{line}"
        size += len(row) + 1
        if size > FOR_THE_MODEL:
            break
        out.append(row)
    shown_to = offset - 1 + len(out)
    if not out:
        return f"(the file has {len(lines)} lines; nothing is at line {offset}, or the line is too long to show)"
    more = f"\n[lines {offset} to {shown_to} of {len(lines)}; read on with offset {shown_to + 1}]"
    return "\n".join(out) + (more if shown_to < len(lines) else "")
