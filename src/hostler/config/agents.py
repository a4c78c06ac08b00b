"""The tables of hostler.toml that say what an agent is and what it may do."""

import uuid
from typing import Literal

from pydantic import Field, field_validator

from hostler.config.section import Section
from hostler.core.errors import InvalidArgument
from hostler.core.expressions import check

BUILTIN = "00000000-0000-0000-0000-000000007100"


def check_expression(text: str, *, of: str = "outputs") -> None:
    """Raise ValueError, with the position, for what is no expression."""
    try:
        check(text, "", of=of)
    except InvalidArgument as fault:
        raise ValueError(fault.message) from None


class AgentLimits(Section):
    """A budget; 0 means unlimited, the time counts RUNNING only."""

    max_iterations: int = Field(200, ge=0)
    max_input_tokens: int = Field(0, ge=0)
    max_output_tokens: int = Field(0, ge=0)
    max_seconds: int = Field(0, ge=0)
    max_cost: float = Field(0, ge=0)
    max_subagents: int = Field(0, ge=0)
    """In the whole tree; 0 means 20."""
    max_depth: int = Field(0, ge=0, le=8)
    """Of sub-agents of sub-agents; 0 means 3."""


class ConditionSection(Section):
    """A loop condition: until its expression over the outputs holds, the agent is told to go on."""

    id: str = Field(min_length=1, max_length=128)
    expression: str
    description: str = ""
    max_iterations: int = Field(10, ge=1, le=1000)

    @field_validator("expression")
    @classmethod
    def _sound(cls, value: str) -> str:
        check_expression(value)
        return value


class RequiredSection(Section):
    """An output without which a run is not done."""

    key: str = Field(min_length=1, max_length=128)
    type: Literal["", "string", "integer", "number", "boolean"] = ""
    accept: str = ""
    description: str = ""

    @field_validator("accept")
    @classmethod
    def _sound(cls, value: str) -> str:
        if value:
            check_expression(value, of="value")
        return value


class PermissionSection(Section):
    """A rule on the tool calls of an agent; the first that fits counts."""

    tool: str = Field("bash", min_length=1)
    pattern: str = ""
    verdict: Literal["allow", "ask", "deny"]
    reason: str = ""


class AgentSection(Section):
    """An agent that can be started."""

    id: str = BUILTIN
    name: str = "hostler"
    description: str = "Hostler's own agent: a coding loop with a shell, files, search and a to-do list."
    driver: Literal["builtin", "codex"] = "builtin"
    model: str = ""
    system_prompt: str = ""
    initial_message: str = ""
    effort: Literal["", "low", "medium", "high", "max"] = ""
    limits: AgentLimits = AgentLimits()  # pyright: ignore[reportCallIssue]
    mcp: tuple[str, ...] = ("*",)
    """Keys of the MCP servers that it has; `*` is all that are configured."""

    judgement_prompt: str = ""
    judgement_model: str = ""
    conditions: tuple[ConditionSection, ...] = ()
    requires: tuple[RequiredSection, ...] = ()
    permissions: tuple[PermissionSection, ...] = ()

    @field_validator("id")
    @classmethod
    def _uuid(cls, value: str) -> str:
        return str(uuid.UUID(value))
