"""The mode an agent works in, and how far one that goes on by itself has come: a part of the state."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, cast

from hostler.core import events as ev
from hostler.core import modes_events as m
from hostler.core.changing import changed as replace
from hostler.core.events import Event, Recorded

if TYPE_CHECKING:
    from hostler.core.state import State

STOP_HERE = "Stop here"
GO_ON = "Go on"
HALTED = "a person said so"
MODES: Mapping[str, m.Mode] = {f"AGENT_MODE_{name.upper()}": name for name in m.Mode.__args__}
"""The contract's names."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What an input wants beside what it says: modes for its turn, or an answer to whether to go on."""

    modes: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Modes:
    """What is known.

    `mode` lasts, `once` is that of the running turn; `stage` is "writing" while a plan or specification is written and
    "working" after it. `step` counts what was begun by an input, `looks` are the looks since a person spoke last.
    """

    mode: m.Mode = "execution"
    once: m.Mode | None = None
    first: tuple[str, ...] = ()
    """The modes that the first input is to be taken in, as the start said."""
    stage: Literal["", "writing", "working"] = ""
    task: str = ""
    step: int = 0
    looks: tuple[m.RoundLookedAt, ...] = ()
    looked: int = 0
    rounds: int = 0
    """Rounds that were begun without a person since one spoke last."""
    stuck: bool = False
    halted: bool = False
    """A person does not want it to go on by itself."""
    asked: Mapping[str, Asked] = field(default_factory=dict[str, Asked])

    @property
    def now(self) -> m.Mode:
        """Return the mode of the running turn."""
        return self.once or self.mode


def follow(part: Modes, state: "State", recorded: Recorded) -> Modes:
    """Return what is known after one more event; `state` is the rest of the state after it."""
    event = recorded.event
    match event:
        case ev.Started(request):
            named = (request.get("mode", ""), *request.get("turnOptions", {}).get("modes", ()))
            first = tuple(dict.fromkeys(MODES[str(name)] for name in named if str(name) in MODES))
            planning = request.get("mode") == "AGENT_MODE_PLANNING"
            return replace(part, mode="planning" if planning else part.mode, first=first)
        case ev.InputQueued():
            return _queued(part, event)
        case ev.InputTaken(input_ids):
            return _taken(part, state, input_ids)
        case ev.InputDeleted(input_id) | ev.InputDropped(input_id):
            return replace(part, asked={key: one for key, one in part.asked.items() if key != input_id})
        case ev.TurnEnded() | ev.Stopped():
            return replace(part, once=None)
        case m.ModeEntered(mode, why, lasting, task):
            if not lasting:
                return replace(part, once=mode)
            stage: Literal["", "writing"] = "writing" if mode in ("spec", "ralph") else ""
            return replace(part, mode=mode, once=None, stage=stage, task=task, halted=why == HALTED)
        case m.ModeChanged(_, "spec_complete"):
            return replace(part, stage="working")
        case m.RoundLookedAt(number):
            return replace(part, looked=number, looks=(*part.looks[-9:], event))
        case m.NoProgress():
            return replace(part, stuck=True)
        case _:
            return part


def _queued(part: Modes, event: ev.InputQueued) -> Modes:
    """Keep what an input wants of the turn that takes it."""
    if event.origin == "harness" or (event.origin == "wake" and "loopRetrigger" in event.block):
        return replace(part, rounds=part.rounds + 1)
    if event.origin != "user" and not (event.origin == "agent" and part.first):
        return part  # The first input of a sub-agent is its parent's.
    modes = event.modes or part.first
    if not modes and not part.stuck:
        return part
    asked = Asked(modes, event.expansion or whole_text(event.block))
    return replace(part, first=(), asked={**part.asked, event.input_id: asked})


def _taken(part: Modes, state: "State", input_ids: tuple[str, ...]) -> Modes:
    asked = {key: one for key, one in part.asked.items() if key not in input_ids} if part.asked else part.asked
    moved = replace(part, step=part.step + 1, asked=asked)
    if all(state.inputs[input_id].origin != "user" for input_id in input_ids):
        return moved
    return replace(moved, looks=(), rounds=0, stuck=False, halted=False)


def whole_text(block: ev.Json) -> str:
    """Return all text of a user input."""
    said = [block, *block.get("inputs", ())]
    return "\n".join(str(one["text"]["content"]) for one in cast("list[ev.Json]", said) if "text" in one)


HEARD: tuple[type[Event], ...] = (
    ev.Started,
    ev.InputQueued,
    ev.InputTaken,
    ev.InputDeleted,
    ev.InputDropped,
    ev.TurnEnded,
    ev.Stopped,
    m.ModeEntered,
    m.ModeChanged,
    m.RoundLookedAt,
    m.NoProgress,
)
"""Kinds of events that change it."""
