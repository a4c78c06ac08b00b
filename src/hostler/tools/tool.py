"""What a tool is: a schema for the model, and one call that ends in exactly one answer."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, ValidationError

from hostler.core.conversation import ToolSpec
from hostler.core.errands import Errand
from hostler.core.events import Event, Outcome
from hostler.core.machines import Machine, Operation

FOR_THE_MODEL = 30_000
"""Characters of a result that the model reads; the whole stays in the blob."""


class Arguments(BaseModel):
    """The arguments of a tool; unknown ones are refused so that the model learns the right names."""

    model_config = ConfigDict(extra="forbid", strict=False)


@dataclass(frozen=True, slots=True)
class Inside:
    """The environment a tool may touch, and under which operation."""

    machine: Machine
    operation: Operation
    incarnation: str
    read_only: bool = False
    """Commands may write to /tmp alone."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a tool call came to: `text` for the model, `whole` the full output when the text is cut.

    Questions among `events` have no name yet: they get that of the call.
    """

    outcome: Outcome
    text: str
    exit_code: int | None = None
    whole: bytes | None = None
    whole_bytes: int = 0
    details: Mapping[str, Any] | None = None
    events: Sequence[Event] = ()


class Tool(Protocol):
    """One tool; one that does not run inside must be pure, so that doing it again after a crash is harmless."""

    @property
    def name(self) -> str:
        """Return what the model calls it by."""
        ...

    @property
    def description(self) -> str:
        """Return what the model reads about it."""
        ...

    @property
    def arguments(self) -> type[Arguments]:
        """Return the model of its arguments."""
        ...

    @property
    def inside(self) -> bool:
        """Return whether it runs in the environment."""
        ...

    async def run(self, arguments: Any, inside: Inside | None) -> Answer:
        """Do it, or rejoin what was begun under the same operation. Raises MachineLost, Fenced."""
        ...


@runtime_checkable
class OutsideTool(Protocol):
    """A tool that reaches something outside the environment.

    It may be carried out again after a crash, so what it does is named by the errand's call and harmless to repeat,
    or it looks first; where neither can be had, its answer is `unknown`.
    """

    @property
    def name(self) -> str:
        """Return what the model calls it by."""
        ...

    @property
    def description(self) -> str:
        """Return what the model reads about it."""
        ...

    @property
    def arguments(self) -> type[Arguments]:
        """Return the model of its arguments."""
        ...

    @property
    def inside(self) -> bool:
        """Return whether it needs the environment too."""
        ...

    async def go(self, arguments: Any, errand: Errand, inside: Inside | None) -> Answer:
        """Do it. Raises MachineLost, Fenced."""
        ...


@cache
def spec(tool: Tool | OutsideTool) -> ToolSpec:
    """Return the tool as the model sees it."""
    schema = tool.arguments.model_json_schema()
    schema.pop("title", None)
    schema.pop("description", None)
    for each in schema.get("properties", {}).values():
        each.pop("title", None)
    return ToolSpec(tool.name, tool.description, schema)


STOPPED = Answer("cancelled", "This call was stopped before it was done.")


def parse(tool: Tool | OutsideTool, text: str) -> Any:
    """Return the arguments that the model wrote; raises ValueError with a message that the model can act on."""
    try:
        raw = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise ValueError(f"The arguments of {tool.name} are not valid JSON: {str(error)[:200]}.") from None
    try:
        return tool.arguments.model_validate(raw)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'arguments'}: {e['msg']}" for e in error.errors())
        raise ValueError(f"The arguments of {tool.name} do not fit: {faults}.") from None


def bounded(text: str, limit: int = FOR_THE_MODEL) -> str:
    """Return a text that fits the model: head and tail, and how much is left out between them."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n… [{len(text) - 2 * half} characters left out] …\n{text[-half:]}"
