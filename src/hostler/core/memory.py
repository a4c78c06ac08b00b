"""What the model remembers of the log: compactions, a cleared context, commands people type: a part of the state."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from hostler.core import events as ev
from hostler.core import memory_events as m
from hostler.core.changing import changed as replace
from hostler.core.events import Event, Recorded

if TYPE_CHECKING:
    from hostler.core.state import State

CHARACTERS_A_TOKEN = 4
"""A guess, for what no provider has counted yet."""
PICTURE = 1600
"""Tokens of a picture, as a guess."""


@dataclass(frozen=True, slots=True)
class OpenShell:
    """A command that a person typed and that has no result yet; `incarnation` is set once it is started."""

    call_id: str
    command: str
    incarnation: str = ""


@dataclass(frozen=True, slots=True)
class Memory:
    """What is known; see the module."""

    compacting: str = ""
    """The compaction under way."""
    begun: int = 0
    """Compactions so far."""
    in_a_row: int = 0
    """Compactions since the model replied last."""
    weight: int = 0
    """Tokens of the context: as counted at the last reply, and guessed since."""
    floor: int = 0
    """What the context weighed at the first reply after the last compaction."""
    commands: tuple[m.Announced, ...] = ()
    shells: tuple[OpenShell, ...] = ()
    skills: tuple[m.Skill, ...] = ()
    """Those that the agent may load."""


def follow(part: Memory, state: "State", recorded: Recorded) -> Memory:
    """Return what is known after one more event; `state` is the rest of the state after it."""
    event = recorded.event
    match event:
        case m.CompactionStarted(id_):
            return replace(part, compacting=id_, begun=part.begun + 1)
        case m.ContextCompacted(tokens=tokens):
            return replace(part, compacting="", in_a_row=part.in_a_row + 1, weight=tokens, floor=0)
        case m.ContextCleared():
            return replace(part, compacting="", in_a_row=0, weight=0, floor=0)
        case m.CommandsAnnounced(commands):
            return replace(part, commands=commands)
        case ev.EnvironmentReady(skills=skills):
            return replace(part, skills=skills)
        case m.ShellStarted(call_id, incarnation):
            shells = (replace(one, incarnation=incarnation) if one.call_id == call_id else one for one in part.shells)
            return replace(part, shells=tuple(shells))
        case m.ShellFinished(call_id, _, text):
            left = tuple(one for one in part.shells if one.call_id != call_id)
            return replace(part, shells=left, weight=part.weight + len(text) // CHARACTERS_A_TOKEN)
        case _:
            return _weighed(part, event)


def _weighed(part: Memory, event: Event) -> Memory:
    """Return what is known after something that the model says or hears, or after a stop."""
    match event:
        case ev.ModelReplied(usage=usage):
            weight = usage.whole_input + usage.output
            return replace(part, weight=weight, in_a_row=0, floor=part.floor or weight)
        case ev.ToolFinished(text=text):
            return replace(part, weight=part.weight + len(text) // CHARACTERS_A_TOKEN)
        case ev.InputQueued(input_id, block, local="shell"):
            command = OpenShell(shell_id(input_id), command_in(block))
            return replace(part, shells=(*part.shells, command))
        case ev.InputQueued(block=block, local="", expansion=expansion):
            return replace(part, weight=part.weight + len(expansion) // CHARACTERS_A_TOKEN + weight_of(block))
        case ev.Stopped():
            return replace(part, compacting="", in_a_row=0, shells=())
        case _:
            return part


def shell_id(input_id: str) -> str:
    """Return the id of the call that runs what an input says."""
    return f"sh-{hashlib.sha256(input_id.encode()).hexdigest()[:16]}"


def command_in(block: ev.Json) -> str:
    """Return the command line of an input that begins with `!`."""
    return "\n".join(texts_of(block)).strip().removeprefix("!").strip()


def texts_of(block: ev.Json) -> list[str]:
    """Return the texts of an input, whichever form it has."""
    parts = cast("Sequence[Mapping[str, Any]]", (*block.get("inputs", ()), block))
    return [str(part["text"].get("content", "")) for part in parts if "text" in part]


def weight_of(block: ev.Json) -> int:
    """Return a guess at the tokens of an input."""
    parts = cast("Sequence[Mapping[str, Any]]", (*block.get("inputs", ()), block))
    pictures = sum("image" in part for part in parts)
    length = sum(map(len, texts_of(block))) + len(str(block.get("payload", "")))
    return length // CHARACTERS_A_TOKEN + pictures * PICTURE


HEARD: tuple[type[Event], ...] = (
    m.CompactionStarted,
    m.ContextCompacted,
    m.ContextCleared,
    m.CommandsAnnounced,
    m.ShellStarted,
    m.ShellFinished,
    ev.EnvironmentReady,
    ev.ModelReplied,
    ev.ToolFinished,
    ev.InputQueued,
    ev.Stopped,
)
"""Kinds of events that change it."""
