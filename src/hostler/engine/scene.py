"""What an effect may know when it starts."""

from collections.abc import Sequence
from dataclasses import dataclass

from hostler.core.events import Recorded
from hostler.core.ports import Position
from hostler.core.state import State


@dataclass(frozen=True, slots=True)
class Scene:
    """The execution, where its log stands, the state and the log itself."""

    execution: str
    position: Position
    state: State
    log: Sequence[Recorded]
