"""The prompt library: its entries, how they are looked for, and the port to where they are kept."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Prompt:
    """An entry of the prompt library."""

    id: str
    name: str
    description: str
    prompt: str
    is_template: bool
    is_command: bool
    command: str
    is_skill: bool
    creator_id: str
    creator_kind: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class PromptQuery:
    """Filters of the prompt list: False and '' do not filter; `search` folds case over name, description, command."""

    is_template: bool = False
    is_command: bool = False
    is_skill: bool = False
    command: str = ""
    command_prefix: str = ""
    search: str = ""


class Prompts(Protocol):
    """The prompt library."""

    async def save(self, prompt: Prompt, *, new: bool) -> None:
        """Write a prompt; AlreadyExists when another one has the command (case folded), NotFound when it is gone."""
        ...

    async def get(self, prompt: str) -> Prompt | None:
        """Return a prompt."""
        ...

    async def find(self, query: PromptQuery, before: str = "", limit: int = 25) -> tuple[Prompt, ...]:
        """Return prompts, newest first, ids below `before` when it is given."""
        ...

    async def delete(self, prompt: str) -> bool:
        """Remove a prompt; return whether it was there."""
        ...
