"""The tool that sets a typed output of the execution."""

import math
import re

from pydantic import Field

from hostler.core.events import OutputScalar, OutputsSet
from hostler.tools.tool import Answer, Arguments, Inside

WHOLE = re.compile(r"[+-]?[0-9]{1,19}")
DECIMAL = re.compile(r"[+-]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)([eE][+-]?[0-9]{1,4})?")


class ResultArguments(Arguments):
    """One output."""

    key: str = Field(min_length=1, max_length=128)
    value: bool | int | float | str = Field(description="A text of at most 4096 characters, a number, true or false.")


class AddResult:
    """Sets one output; what looks like true, false or a number is kept as that."""

    name = "add_agent_execution_result"
    description = "Report a result of your work as a named value, for programs to read."
    arguments = ResultArguments
    inside = False

    async def run(self, arguments: ResultArguments, inside: Inside | None) -> Answer:
        """Set the output."""
        value = typed(arguments.value) if isinstance(arguments.value, str) else arguments.value
        if isinstance(value, str) and len(value) > 4096:
            return Answer("failed", "the value has more than 4096 characters; nothing was set")
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            return Answer("failed", "a whole number must fit 64 bits; nothing was set")
        if isinstance(value, float) and not math.isfinite(value):
            return Answer("failed", "the value must be a finite number; nothing was set")
        return Answer("ok", f"{arguments.key} = {value!r}", events=(OutputsSet({arguments.key: value}),))


def typed(text: str) -> OutputScalar:
    """Return "true" and "false" as bool, then integers, then finite floats as numbers, everything else as text."""
    if text in ("true", "false"):
        return text == "true"
    if WHOLE.fullmatch(text) and abs(whole := int(text)) < 2**63:
        return whole
    if DECIMAL.fullmatch(text) and math.isfinite(decimal := float(text)):
        return decimal
    return text
