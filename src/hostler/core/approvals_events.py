"""What can happen to tool calls that need a person's word."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Literal

Verdict = Literal["allow", "ask", "deny"]


@dataclass(frozen=True, slots=True)
class Permission:
    """A rule on tool calls; `tool` and `pattern` may hold `*`, and a pattern is matched word by word with a command."""

    tool: str
    verdict: Verdict
    pattern: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ApprovalAsked:
    """A call waits for a person's word, until `deadline`."""

    call_id: str
    tool: str
    subject: str
    deadline: datetime
    reason: str = ""
    rules: tuple[str, ...] = ()
    """The rules that ask, as `approvals.name` gives them; "for this conversation" is about these."""
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class ApprovalGiven:
    """A call may go on, or not; `by` is the principal's name, or "deadline"."""

    call_id: str
    allowed: bool
    by: str
    reason: str = ""
    again: bool = False
    """Whether its rules allow from now on."""
    answer: str = ""
    """The input that said so; the model does not read it."""
    VERSION: ClassVar[int] = 1


ApprovalsEvent = ApprovalAsked | ApprovalGiven
