"""What the suite's tests share: a small fold of their own, a store to open, and a few events to write."""

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest_asyncio

from hostler.core import events as ev
from hostler.core.ambient import SystemAmbient
from hostler.core.errors import LogError
from hostler.core.events import Event, Recorded
from hostler.core.ports import Position, Projection
from hostler.core.spending import Spending
from hostler.store import Fold, Store

Opener = Callable[..., AbstractAsyncContextManager[Store]]
"""Opens the same database each time it is called; takes the options of `open_store` and has the fold of this file."""

NOW = datetime(2026, 3, 29, 1, 59, 59, 123457, tzinfo=UTC)
RUNNER, INCARNATION = "runner-1", "incarnation-1"
AMBIENT = SystemAmbient()


class Refused(LogError):
    """This log cannot go on like that."""


@dataclass(frozen=True, slots=True)
class Tally:
    """A state that shows every event it was given."""

    seq: int = 0
    phase: str = ""
    turn: int = 0
    started: ev.Started | None = None
    due_at: datetime | None = None
    annotations: dict[str, str] = field(default_factory=dict[str, str])
    told: tuple[str, ...] = ()
    spending: Spending = field(default_factory=Spending)


def evolve(state: Tally, recorded: Recorded) -> Tally:
    """Count an event; a log that does not begin with Started, or jumps, is refused."""
    event = recorded.event
    if recorded.seq != state.seq + 1:
        raise Refused(f"event {recorded.seq} after {state.seq}")
    if (state.started is None) != isinstance(event, ev.Started):
        raise Refused(f"{type(event).__name__} cannot come here")
    spending = state.spending.after(recorded)
    told = (*state.told, f"{recorded.at.isoformat()} {event!r}")
    state = replace(state, seq=recorded.seq, told=told, spending=spending)
    match event:
        case ev.Started(request):
            return replace(state, phase="PENDING", started=event, annotations=dict(request.get("annotations", {})))
        case ev.TurnStarted(turn):
            return replace(state, phase="RUNNING", turn=turn)
        case ev.TurnEnded():
            return replace(state, phase="WAITING_FOR_INPUT")
        case ev.ModelCallFailed(retry_at=retry_at):
            return replace(state, due_at=retry_at)
        case ev.AnnotationsSet(values):
            return replace(state, annotations={k: v for k, v in {**state.annotations, **values}.items() if v})
        case _:
            return state


def project(state: Tally) -> Projection:
    """Show the whole state."""
    started = state.started
    assert started is not None
    return Projection(
        phase=state.phase,
        turn=state.turn,
        busy=state.phase in ("PENDING", "RUNNING"),
        due_at=state.due_at,
        agent_id=started.agent.id,
        environment_ids=(started.environment_id,) if started.environment_id else (),
        project_id=str(started.request.get("project", "")),
        creator_id=started.creator_id,
        session_id=started.session_id,
        role=str(started.request.get("role", "DEFAULT")),
        annotations=state.annotations,
        view={"seq": state.seq, "phase": state.phase, "annotations": state.annotations, "told": list(state.told)},
        standing=str(started.request.get("standing", "done")),
        words=str(started.request.get("words", "")),
        spent=state.spending.days,
    )


FOLD = Fold(Tally(), evolve, project)


def shown(log: Iterable[Recorded]) -> Any:
    """Return the view that a log must have."""
    return project(FOLD.state(log)).view


def new_id() -> str:
    """Return a fresh id; later ones sort behind earlier ones."""
    return AMBIENT.new_id()


def started(request: ev.Json | None = None, **changes: Any) -> ev.Started:
    """Return a first event."""
    agent = ev.Agent(str(changes.pop("agent_id", "agent-1")), "tester", "builtin", "scripted:any")
    values: dict[str, Any] = {
        "environment_id": "",
        "owns_environment": False,
        "creator_id": "user-1",
        "session_id": "session-1",
    }
    return ev.Started(request or {}, agent, **{**values, **changes})


def queued(name: str) -> ev.InputQueued:
    """Return a decision."""
    return ev.InputQueued(name, {"text": {"content": name}}, f"digest of {name}")


def finished(call: str, text: str = "") -> ev.ToolFinished:
    """Return the event of a fact."""
    return ev.ToolFinished(call, "ok", text)


class StoreSuite:
    """Opens the store that the adapter's `opener` fixture names, with one runner booted."""

    @pytest_asyncio.fixture
    async def store(self, opener: Opener) -> AsyncGenerator[Store]:
        """Return an open store."""
        async with opener() as store:
            await store.runners.boot(RUNNER, INCARNATION, NOW + timedelta(seconds=30))
            yield store

    async def begin(self, store: Store, *events: Event, request: ev.Json | None = None, **changes: Any) -> str:
        """Start an execution, with further events behind the first."""
        execution, _ = await store.executions.create(new_id(), RUNNER, [started(request, **changes), *events], NOW)
        return execution

    async def position(self, store: Store, execution: str) -> Position:
        """Return where an execution stands."""
        row = await store.executions.row(execution)
        assert row is not None
        return row.position

    async def kinds(self, store: Store, execution: str) -> list[str]:
        """Return the kinds of the events in the log."""
        return [type(recorded.event).__name__ for recorded in await store.executions.read(execution)]
