"""What the model remembers of the log: compactions, a cleared context, announced commands: a part of the state."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.core import memory_events as m
from hostler.core.changing import changed as replace
from hostler.core.events import Event, Recorded

if TYPE_CHECKING:
    from hostler.core.state import State


@dataclass(frozen=True, slots=True)
class Memory:
    """What is known; see the module."""

    compacting: str = ""
    """The compaction under way."""
    commands: tuple[m.Announced, ...] = ()


def follow(part: Memory, state: "State", recorded: Recorded) -> Memory:
    """Return what is known after one more event; `state` is the rest of the state after it."""
    event = recorded.event
    match event:
        case m.CompactionStarted(id_):
            return replace(part, compacting=id_)
        case m.ContextCompacted():
            return replace(part, compacting="")
        case m.CommandsAnnounced(commands):
            return replace(part, commands=commands)
        case _:
            return part


HEARD: tuple[type[Event], ...] = (
    m.CompactionStarted,
    m.ContextCompacted,
    m.CommandsAnnounced,
)
"""Kinds of events that change it."""
