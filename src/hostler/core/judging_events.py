"""What can happen to the conditions, outputs and verdict that a run is judged by."""

from dataclasses import dataclass
from typing import ClassVar

from hostler.core.conversation import Usage


@dataclass(frozen=True, slots=True)
class Condition:
    """A loop condition: a CEL expression over the outputs."""

    id: str
    expression: str
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
class ConditionsEvaluated:
    """Every condition was evaluated over the outputs as they stood."""

    results: tuple[ConditionResult, ...]
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class Judged:
    """The judge's verdict on a turn, from what the harness recorded."""

    turn: int
    text: str
    model: str
    usage: Usage
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class JudgementFailed:
    """The judge could not be asked; a warning and nothing more."""

    turn: int
    message: str
    VERSION: ClassVar[int] = 1


JudgingEvent = ConditionsSet | ConditionsEvaluated | Judged | JudgementFailed
