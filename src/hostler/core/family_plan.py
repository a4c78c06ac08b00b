"""What is due and wanted between an execution and its sub-agents, and its parent."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from hostler.core import agent_events as ae
from hostler.core import events as ev
from hostler.core import family_events as m
from hostler.core.agents import Choice, Question
from hostler.core.budget import NoShare, only_set_aside, share_for
from hostler.core.events import Event
from hostler.core.family import SPAWN, Child
from hostler.core.limits import reached
from hostler.core.modes import GO_ON, STOP_HERE
from hostler.core.modes_events import NoProgress
from hostler.core.state import OpenTool, State

LONGEST_NAME = 60
SAME = 3
"""Messages in a row of one agent that say the same, after which a person is asked."""
CHOICES = (Choice(GO_ON, GO_ON), Choice(STOP_HERE, STOP_HERE))


@dataclass(frozen=True, slots=True)
class StopChild:
    """Stop a sub-agent and wait until all of its tree has stopped; ends in SubAgentEnded."""

    call_id: str


@dataclass(frozen=True, slots=True)
class RemoveChild:
    """Remove a sub-agent, as its parent is removed; ends in SubAgentEnded."""

    call_id: str


@dataclass(frozen=True, slots=True)
class NotifyParent:
    """Tell the parent how a turn ended; ends in ParentNotified."""

    turn: int
    rest: m.Rest


@dataclass(frozen=True, slots=True)
class AskShare:
    """Ask the parent for a share to go on with; ends in ShareGranted or ShareDenied."""

    grant: int


@dataclass(frozen=True, slots=True)
class AwaitShares:
    """Do nothing until a sub-agent has given back what is set aside for it."""


Effect = StopChild | RemoveChild | NotifyParent | AskShare | AwaitShares
"""What it may want."""


def wanted(state: State) -> frozenset[Effect]:
    """Return the effects that should be in flight because of this, in whatever phase."""
    family = state.family
    effects: set[Effect] = set()
    opening = {tool.id for tool in state.tools}
    for child in family.children:
        if state.deleted:
            effects.update({RemoveChild(child.call_id)} if child.doing != "gone" else ())
        elif child.stop and child.call_id not in opening:
            effects.add(StopChild(child.call_id))
    if family.owed and (family.owed[0].rest != "stopped" or not any(child.stop for child in family.children)):
        effects.add(NotifyParent(family.owed[0].turn, family.owed[0].rest))
    if asks_share(state) and state.stop is None:
        effects.add(AskShare(family.grant + 1))
    if awaits_shares(state):
        effects.add(AwaitShares())
    return frozenset(effects)


def holds(state: State) -> bool:
    """Return whether a running turn is not at rest because of this."""
    return asks_share(state) or bool(state.family.denied)


def asks_share(state: State) -> bool:
    """Return whether a sub-agent that gave its share back is to go on, and needs another one first."""
    return state.phase == "RUNNING" and state.family.released and not state.family.denied


def short(state: State) -> bool:
    """Return whether a running turn must wait for sub-agents at work, as all that is left is set aside for them."""
    if state.phase != "RUNNING" or not any(one.rest not in ("asks", "waits") for one in _live(state)):
        return False
    limit = reached(state)
    return limit is not None and limit.name != "max_seconds" and only_set_aside(state)


def awaits_shares(state: State) -> bool:
    """Return whether all that a running turn does is to wait for its sub-agents, who may need its slot for that."""
    return short(state) and state.stop is None and not (state.call or state.tools)


def _live(state: State) -> tuple[Child, ...]:
    return tuple(child for child in state.family.children if child.live)


def keeps(state: State) -> bool:
    """Return whether a deleted execution must stay until others have heard of it, or are gone."""
    return any(isinstance(effect, RemoveChild | NotifyParent) for effect in wanted(state))


def over(state: State) -> bool:
    """Return whether this turn of a sub-agent is its last, as its parent said."""
    known = state.inputs.get(state.family.last)
    return known is not None and known.state == "taken"


def gate(tool: OpenTool, state: State) -> tuple[Event, ...] | None:
    """Return what happens instead of starting a call (() = it waits); None when it may start.

    Sub-agents are started one after the other, so that each share is taken from what the one before has left.
    """
    if tool.name != SPAWN:
        return None
    if any(other.started for other in state.tools if other.name == SPAWN):
        return ()
    wish = wish_of(tool.arguments)
    if wish is None:
        return None  # The tool says what is wrong with its arguments.
    budget = wish.get("budget")
    share = share_for(state, cast("Mapping[str, Any]", budget) if isinstance(budget, Mapping) else {})
    if isinstance(share, NoShare):
        return (ev.ToolFinished(tool.id, "failed", share.message),)
    name = _name(state, str(wish.get("name") or ""))
    spawned = m.SubAgentSpawned(tool.id, name, str(wish.get("agent") or ""), share)
    return (spawned, ev.ToolStarted(tool.id, tool.name, tool.arguments, ""))


def echoing(state: State, taken: tuple[str, ...]) -> tuple[Event, ...]:
    """Return what asks a person whether to go on, where agents pass each other the same messages again and again."""
    if all(state.inputs[input_id].origin != "agent" for input_id in taken):
        return ()
    echo = next((one for one in state.family.echoes if one.times >= SAME), None)
    if echo is None:
        return ()
    message = f"Another agent has said the same {echo.times} times in a row: {echo.said[:200]!r}."
    name = f"echo-{state.seq}"
    question = Question(f"{name}.1", f"{message} Shall I go on?", CHOICES, other=True)
    closed = (ae.QuestionsClosed(ask.ask) for ask in state.external.asks)
    return (*closed, NoProgress("messages", echo.times, (), message), ae.QuestionsAsked(name, (question,)))


def first_only(events: tuple[tuple[OpenTool, tuple[Event, ...]], ...]) -> tuple[Event, ...]:
    """Return what is due for several calls, of which one at most starts a sub-agent."""
    chosen: list[Event] = []
    spawning = False
    for tool, due in events:
        if tool.name == SPAWN and due:
            if spawning:
                continue
            spawning = True
        chosen.extend(due)
    return tuple(chosen)


def wish_of(arguments: str) -> Mapping[str, Any] | None:
    """Return the arguments of a call as an object; None when they are none."""
    try:
        given: object = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        return None
    return cast("Mapping[str, Any]", given) if isinstance(given, Mapping) else None


def _name(state: State, given: str) -> str:
    """Return a name that no other sub-agent has."""
    name = " ".join(given.split())[:LONGEST_NAME] or f"agent {len(state.family.children) + 1}"
    taken = {child.name for child in state.family.children} | {"parent"}
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name} {number}"
    return free
