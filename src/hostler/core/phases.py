"""The life cycle of an execution as one printable table; `check` is its legality test at every append.

Between `EnvironmentFailed` (a fact) and the phase STOPPED stands the decision `Stopped`, made in the same append: it
gives every open call its one result first.
"""

from collections.abc import Mapping
from typing import Literal

from hostler.core.errors import LogError
from hostler.core.events import PartEvent

Phase = Literal["", "PENDING", "RUNNING", "WAITING_FOR_INPUT", "STOPPED"]

TABLE: tuple[tuple[tuple[Phase, ...], str, Phase], ...] = (
    (("",), "Started", "PENDING"),
    (("PENDING", "WAITING_FOR_INPUT", "STOPPED"), "TurnStarted", "RUNNING"),
    (("RUNNING",), "TurnEnded", "WAITING_FOR_INPUT"),
    (("PENDING", "RUNNING", "WAITING_FOR_INPUT"), "Stopped", "STOPPED"),
)
"""From any of these phases, this event, to this phase."""

AGENT = (
    "AgentStarting",
    "AgentOpened",
    "AgentRead",
    "AgentEnded",
    "InputSeen",
    "SteerMissed",
    "AgentTurnBegan",
    "AgentTurnDone",
    "AgentFault",
    "AgentSaid",
    "ActionStarted",
    "ActionFinished",
    "FilesChanged",
    "QuestionsAsked",
    "QuestionsClosed",
    "SettingsConfirmed",
    "ContextMeasured",
    "Compacted",
    "GoalChanged",
    "ChildReported",
    "AgentNoted",
    "AgentCallStarted",
    "AgentCallFinished",
    "AgentCallCut",
    "AgentCallRefused",
)
"""What an agent in the environment does in a running turn."""

PARTS = tuple(kind.__name__ for kind in PartEvent.__args__)
"""Kinds that belong to a part of the state; their plans say when they come."""

KEPT = ("WorkKept", "WorkNotKept", "WorkRestored")
"""What becomes of a turn's work once it has ended."""

UNCHANGED: Mapping[Phase, frozenset[str]] = {
    "PENDING": frozenset({"EnvironmentReady", "EnvironmentFailed", "EnvironmentLost", "StopRequested"}),
    "RUNNING": frozenset(
        {
            "EnvironmentReady",
            "EnvironmentFailed",
            "EnvironmentLost",
            "SupervisorLost",
            "InputTaken",
            "TurnAdopted",
            "ModelCallStarted",
            "ModelCallFailed",
            "ModelReplied",
            "ModelCallCut",
            "ToolStarted",
            "ToolFinished",
            "TodosSet",
            "NextStepsProposed",
            "StopRequested",
            "GroupGone",
            *AGENT,
        }
    ),
    "WAITING_FOR_INPUT": frozenset(
        {
            "EnvironmentLost",
            "EnvironmentReady",
            "SupervisorLost",
            "StopRequested",
            "AgentEnded",
            "QuestionsClosed",
            "ToolFinished",
            *KEPT,
        }
    ),
    "STOPPED": frozenset({"EnvironmentReady", "EnvironmentLost", "GroupGone", *KEPT}),
}
"""What may happen in a phase without ending it."""

ANYTIME = frozenset(
    {
        "InputQueued",
        "InputMoved",
        "InputDeleted",
        "InputDropped",
        "SteerRequested",
        "OutputsSet",
        "AnnotationsSet",
        "EgressRefused",
        "HostAllowed",
        "CompactRequested",
        "GoalRequested",
        "GoalChanged",
        "WorkApplied",
        "Deleted",
        *PARTS,
    }
)
"""What may happen in every phase but the first."""

_NEXT: Mapping[tuple[Phase, str], Phase] = {(here, kind): to for froms, kind, to in TABLE for here in froms}


class IllegalEvent(LogError):
    """The life cycle has no such step."""


def check(phase: Phase, kind: str) -> Phase:
    """Return the phase after an event of this kind; raises IllegalEvent when the table has no such row."""
    if (phase, kind) in _NEXT:
        return _NEXT[phase, kind]
    if phase and (kind in ANYTIME or kind in UNCHANGED[phase]):
        return phase
    raise IllegalEvent(f"{kind} cannot happen in phase {phase or '(none)'}")


def table() -> str:
    """Return the life cycle as Markdown, for the documentation."""
    rows = [f"| {', '.join(here) or '-'} | {kind} | {to} |" for here, kind, to in ((f, k, t) for f, k, t in TABLE)]
    return "\n".join(["| from | event | to |", "|---|---|---|", *rows])
