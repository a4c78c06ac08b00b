"""Telling of sub-agents that are executions of their own, and of the parent of one."""

from hostler.core import family_events as m
from hostler.core.family import Child
from hostler.projections.items import SubAgent
from hostler.projections.telling import Telling


def tell_family(telling: Telling, event: m.FamilyEvent) -> None:
    """Tell of an event between an execution and its relatives; what only counts the budget is not told."""
    match event:
        case (
            m.SubAgentStarted(call_id)
            | m.SubAgentReported(call_id)
            | m.SubAgentGranted(call_id)
            | m.SubAgentEnded(call_id)
        ):
            if child := telling.state.family.child(call_id):
                _child(telling, child)
        case m.ParentNotified(gone=True):
            telling.note("warning", "The agent that started this one is gone; nobody was told how this turn ended.")
        case m.ShareDenied(message):
            telling.note("warning", message, "ask")
        case _:
            pass


def _child(telling: Telling, child: Child) -> None:
    """Put a sub-agent, under its name and with a way to it; one that never was is not told of."""
    if not child.execution:
        return
    name = f"agent-{child.call_id.replace('.', '-')}"
    known = telling.items.get(name)
    over = child.doing != "running"
    telling.put(
        SubAgent(
            name,
            known.turn if known else telling.turn,
            known.at if known else telling.at,
            child.execution,
            child.name,
            "running" if not over else ("failed" if child.failed else "done"),
            child.used.input_tokens + child.used.output_tokens,
            telling.at if over else None,
            execution=child.execution,
        )
    )
