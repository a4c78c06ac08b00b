"""The tool that says something about lines of a file, where people read them."""

from posixpath import normpath
from typing import Self

from pydantic import Field, model_validator

from hostler.core.errands import Errand
from hostler.core.forge_events import CodeAnnotated
from hostler.core.machines import FileProblem
from hostler.tools.files import refused
from hostler.tools.tool import Answer, Arguments, Inside

LARGEST = 16 << 20
OUTSIDE = ("failed", "the file must be in the workspace; nothing was noted")


class AnnotateArguments(Arguments):
    """Lines of a file and what there is to say about them."""

    file: str = Field(min_length=1, max_length=4096, description="Relative to the workspace.")
    start: int = Field(ge=1, description="The first line, counted from 1.")
    end: int = Field(0, ge=0, description="The last line; the first one otherwise.")
    title: str = Field(min_length=1, max_length=200)
    description: str = Field("", max_length=8000, description="In Markdown.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        """Refuse lines that end before they begin."""
        if self.end and self.end < self.start:
            raise ValueError("`end` is before `start`")
        return self


class Annotate:
    """Notes a remark on code; the file is not changed."""

    name = "annotate"
    description = (
        "Attach a remark to lines of a file for the people who read your work, such as a finding of a review. The "
        "file itself is not changed."
    )
    arguments = AnnotateArguments
    inside = True

    async def go(self, arguments: AnnotateArguments, errand: Errand, inside: Inside | None) -> Answer:
        """Note it once; looking at the file again after a crash is harmless."""
        assert inside is not None
        path = normpath(arguments.file)
        if path.startswith("/") or path == ".." or path.startswith("../"):
            return Answer(*OUTSIDE)
        try:
            chunk = await inside.machine.read(path, limit=LARGEST)
        except FileProblem as problem:
            return refused(problem)
        lines = chunk.data.count(b"\n") + (not chunk.data.endswith(b"\n") and bool(chunk.data))
        end = arguments.end or arguments.start
        if end > lines:
            return Answer("failed", f"{path} has {lines} lines; nothing was noted")
        noted = CodeAnnotated(errand.call_id, path, arguments.start, end, arguments.title, arguments.description)
        return Answer("ok", f"noted at {path}:{arguments.start}", events=(noted,))
