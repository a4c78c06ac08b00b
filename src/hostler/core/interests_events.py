"""What can happen to what an execution waits for."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Literal

InterestKind = Literal["timer", "sub_agent", "user_message", "environment", "devcontainer_rebuild"]


@dataclass(frozen=True, slots=True)
class Interest:
    """Something that is waited for: `fires_at` of a timer, `subject` of an execution or environment."""

    id: str
    kind: InterestKind
    duration: str = ""
    cron: str = ""
    zone: str = ""
    fires_at: datetime | None = None
    subject: str = ""
    phase: str = ""
    phases: tuple[str, ...] = ()
    note: str = ""
    """What the agent wants to be reminded of."""
    repeats: bool = False
    until: datetime | None = None
    """When the agent is woken although nothing came; a timer has none."""
    name: str = ""
    """What a sub-agent is called."""


@dataclass(frozen=True, slots=True)
class InterestsRegistered:
    """The agent waits for these too, as wait `wait`; the turn ends with it."""

    wait: str
    interests: tuple[Interest, ...]
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class InterestFired:
    """What was waited for has come: at `due`, noticed `late` seconds after; a timer that repeats fires `again`."""

    id: str
    late: float = 0.0
    due: datetime | None = None
    again: datetime | None = None
    outside: bool = False
    """A caller of the API said so, and not the clock or what was watched."""
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class InterestsDropped:
    """These are not waited for any more; `why` says so to people."""

    ids: tuple[str, ...]
    why: str = ""
    VERSION: ClassVar[int] = 1


InterestsEvent = InterestsRegistered | InterestFired | InterestsDropped
