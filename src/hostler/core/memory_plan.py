"""What compaction, and commands that people type, change in the plan."""

import json
from dataclasses import dataclass

from hostler.core import approvals_plan
from hostler.core import events as ev
from hostler.core import memory_events as m
from hostler.core.events import Event
from hostler.core.limits import reached
from hostler.core.memory import OpenShell
from hostler.core.state import OpenTool, State

ASSUMED_WINDOW = 200_000
"""Tokens of a model's context where nobody says."""
FULL = 0.8
"""The part of the window at which the context is compacted."""
WORTH = 0.1
"""The part of the window by which it must have grown since the last compaction."""
MOST_IN_A_ROW = 3
"""Compactions, each harder than the one before, after which a model that still finds it too long is believed."""
UNKNOWN_TEXT = "The outcome of this command is unknown: the environment's supervisor was lost while it ran."


@dataclass(frozen=True, slots=True)
class Compact:
    """Compact the context; ends in ContextCompacted, whatever happens."""

    id: str


@dataclass(frozen=True, slots=True)
class RunShell:
    """Run, or rejoin, a command that a person typed; ends in ShellFinished or SupervisorLost."""

    call_id: str
    command: str
    incarnation: str


Effect = Compact | RunShell
"""What it may want."""


def window(state: State) -> int:
    """Return how many tokens the model's context has."""
    return state.begun.agent.context_window or ASSUMED_WINDOW


def asked(state: State) -> bool:
    """Return whether a person wants the context to be compacted; Codex does that itself."""
    return bool(state.external.compact) and state.begun.agent.driver == "builtin"


def before_call(state: State) -> tuple[Event, ...]:
    """Return what comes before the next model call, instead of it; () when nothing does."""
    memory = state.memory
    heavy = memory.weight > FULL * window(state) and memory.weight > memory.floor + WORTH * window(state)
    if asked(state) or (heavy and not memory.in_a_row):
        return (m.CompactionStarted(f"k{memory.begun + 1}", state.external.compact),)
    return ()


def after_overflow(state: State) -> tuple[Event, ...]:
    """Return what comes after a call that was too long for its model; () when nothing helps any more."""
    if not (state.call and state.call.overflow) or state.memory.in_a_row >= MOST_IN_A_ROW or reached(state):
        return ()
    return (m.CompactionStarted(f"k{state.memory.begun + 1}", state.external.compact),)


def due(state: State) -> tuple[Event, ...]:
    """Return the decisions about commands that people typed, in a running turn whose environment is ready."""
    return tuple(event for shell in state.memory.shells for event in _next_of(shell, state))


def _next_of(shell: OpenShell, state: State) -> tuple[Event, ...]:
    """Start a command, or say what became of one whose supervisor is gone."""
    here = state.environment.incarnation
    if not shell.incarnation:
        return _refused(shell, state) or (m.ShellStarted(shell.call_id, here),)
    return (m.ShellFinished(shell.call_id, "unknown", UNKNOWN_TEXT),) if shell.incarnation != here else ()


def _refused(shell: OpenShell, state: State) -> tuple[Event, ...]:
    """Return the result of a command that nobody may run here; what needs a person's word has it already."""
    tool = OpenTool(shell.call_id, "bash", json.dumps({"command": shell.command}))
    held = approvals_plan.gate(tool, state) or ()
    results = [one for one in held if isinstance(one, ev.ToolFinished)]
    return tuple(m.ShellFinished(one.call_id, one.outcome, one.text) for one in results)


def wanted(state: State) -> frozenset[Effect]:
    """Return the effects that should be in flight because of this."""
    if state.phase != "RUNNING" or state.stop is not None or state.killing or not state.environment.ready:
        return frozenset()
    compacting = {Compact(state.memory.compacting)} if state.memory.compacting else set[Effect]()
    shells = {RunShell(one.call_id, one.command, one.incarnation) for one in state.memory.shells if one.incarnation}
    return frozenset(compacting | shells)


def holds(state: State) -> bool:
    """Return whether a running turn is not at rest because of this."""
    return bool(state.memory.compacting or state.memory.shells or (asked(state) and not state.tools))


def cut(state: State, outcome: ev.Outcome, text: str, not_started: str) -> tuple[Event, ...]:
    """Give every open command its one result."""
    return tuple(
        m.ShellFinished(one.call_id, outcome, text)
        if one.incarnation
        else m.ShellFinished(one.call_id, "cancelled", not_started)
        for one in state.memory.shells
    )
