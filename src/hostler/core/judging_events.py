"""What can happen to the conditions, outputs and verdict that a run is judged by."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from hostler.core.conversation import Usage


@dataclass(frozen=True, slots=True)
class Condition:
    """A loop condition: a CEL expression over the outputs, and the rounds that it may begin (0: the usual number)."""

    id: str
    expression: str
    description: str = ""
    max_iterations: int = 0


@dataclass(frozen=True, slots=True)
class OutputRule:
    """An output without which a run is not done: its type, and a CEL expression over `value` that must hold."""

    key: str
    type: Literal["", "string", "integer", "number", "boolean"] = ""
    accept: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class ConditionResult:
    """What one condition came to; `reason` says why it is not met."""

    id: str
    met: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ConditionsSet:
    """The whole list of loop conditions, instead of the earlier one."""

    conditions: tuple[Condition, ...]
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class LimitsSet:
    """Other limits, by name; those that are not named stay."""

    limits: Mapping[str, float]
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class ConditionsEvaluated:
    """After step `step`, conditions and required outputs were evaluated over the outputs as they stood.

    `missing` says, for each required output that is not there as it must be, which and why.
    """

    step: int
    results: tuple[ConditionResult, ...]
    missing: tuple[str, ...] = ()
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class Judged:
    """The judge's verdict on a turn, from what the harness recorded."""

    turn: int
    text: str
    model: str
    usage: Usage = field(default_factory=Usage)
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class JudgementFailed:
    """The judge could not be asked; a warning and nothing more."""

    turn: int
    message: str
    VERSION: ClassVar[int] = 1


JudgingEvent = ConditionsSet | LimitsSet | ConditionsEvaluated | Judged | JudgementFailed
