"""The blocks of a mode's milestones."""

from collections.abc import Iterable, Mapping
from typing import Any

from hostler.core import modes_events as m
from hostler.core.events import Event

STATES = {
    ("spec", "spec_complete"): "STATE_ONA_SPEC_COMPLETE",
    ("ralph", "spec_complete"): "STATE_SPEC_COMPLETE",
    ("ralph", "iteration_complete"): "STATE_ITERATION_COMPLETE",
    ("ralph", "complete"): "STATE_COMPLETE",
}


def mode_bodies(event: Event) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Yield the blocks of an event: milestones have one."""
    match event:
        case m.ModeChanged(mode, milestone, message) if (mode, milestone) in STATES:
            change = {"state": STATES[mode, milestone], "message": message}
            yield "mode", {"phase": "PHASE_COMPLETED", "agentModeChange": change}
        case _:
            pass
