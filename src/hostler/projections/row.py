"""The row of an execution: columns for lists, and the view that Get and List answer."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from hostler.core.plan import Effect, Session, due, wanted
from hostler.core.ports import Projection
from hostler.core.state import State
from hostler.projections.standing import standing, words
from hostler.projections.status import view

NOBODY = Session("", 0.0)
ROLES = {False: "AGENT_EXECUTION_ROLE_DEFAULT", True: "AGENT_EXECUTION_ROLE_WORKFLOW"}


def project(state: State) -> Projection:
    """Return what the store keeps beside the log; it is a function of the log alone."""
    begun = state.begun
    context: Mapping[str, Any] = begun.request.get("codeContext", {})
    shown, effects = view(state), wanted(state)
    return Projection(
        phase=state.phase,
        turn=state.turn,
        busy=bool(effects or due(state, NOBODY)),
        due_at=_earliest(effects),
        agent_id=begun.agent.id,
        environment_ids=tuple(one for one in (state.environment.id, *state.forge.environments) if one),
        project_id=str(context.get("projectId", "")),
        creator_id=begun.creator_id,
        session_id=begun.session_id,
        role=ROLES["workflowActionId" in begun.request],
        annotations=state.annotations,
        view=shown,
        standing=standing(shown),
        words=words(shown),
        spent=state.spending.days,
    )


def due_at(state: State) -> datetime | None:
    """Return the earliest moment at which something is to happen by the clock alone."""
    return _earliest(wanted(state))


def _earliest(effects: frozenset[Effect]) -> datetime | None:
    times = (getattr(effect, "not_before", None) for effect in effects)
    return min((time for time in times if time), default=None)
