"""Sub-agents that are executions of their own, and whose sub-agent an execution is itself: a part of the state."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from hostler.core import events as ev
from hostler.core import family_events as m
from hostler.core.changing import changed as replace
from hostler.core.events import Event, Recorded

if TYPE_CHECKING:
    from hostler.core.state import State

SPAWN = "spawn_agent"
"""The tool that starts a sub-agent."""
MESSAGE = "message_agent"
"""The tool that sends one a message."""
LAST = "TYPE_COMPLETE"
"""The type of a parent's last message to a sub-agent."""
SPACE = uuid.UUID("0d6c2b1e-55c4-5a86-9a3b-5f0f6f4e1a77")

NOTHING = m.Share()
Doing = Literal["running", "resting", "stopped", "gone"]


def child_id(parent: str, call_id: str, since: datetime) -> str:
    """Return the id of the sub-agent that a call of its parent starts, so that starting it again is harmless.

    It begins with the time of the call, as ids are in the order in which executions began.
    """
    named = uuid.uuid5(SPACE, f"{parent}/{call_id}").bytes
    moment = int(since.timestamp() * 1000).to_bytes(6, "big")
    return str(uuid.UUID(bytes=moment + bytes([0x70 | named[6] & 0x0F]) + named[7:]))


def message_id(sender: str, name: str) -> str:
    """Return the id of the input by which a message of `sender` arrives, so that sending it again is harmless."""
    return str(uuid.uuid5(SPACE, f"{sender}/message/{name}"))


@dataclass(frozen=True, slots=True)
class Child:
    """A sub-agent as its parent knows it. `live`: its share is set aside; else it counts as what it has `used`."""

    call_id: str
    name: str
    agent: str
    share: m.Share
    since: datetime
    at: datetime
    execution: str = ""
    environment_id: str = ""
    doing: Doing = "running"
    live: bool = True
    grant: int = 0
    used: m.Share = NOTHING
    turn: int = 0
    rest: str = ""
    failed: bool = False
    stop: bool = False
    """Whether it is to be stopped and is not known to be."""


@dataclass(frozen=True, slots=True)
class Owed:
    """A turn whose end the parent is to know."""

    turn: int
    rest: m.Rest
    grant: int = 0
    """The share that it ran on, so that an older report gives no newer share back."""


@dataclass(frozen=True, slots=True)
class Echo:
    """The same message of one agent in a row, and what was sent in between, which was the same as well."""

    sender: str
    said: str
    answer: str
    times: int = 1


@dataclass(frozen=True, slots=True)
class Family:
    """What is known of the sub-agents, and of being one."""

    children: tuple[Child, ...] = ()
    owed: tuple[Owed, ...] = ()
    released: bool = False
    """Whether its share went back to its parent."""
    grant: int = 0
    limits: ev.Limits | None = None
    """The budget after a share that was given later."""
    denied: str = ""
    last: str = ""
    """The input with which the parent lets it end."""
    orphan: bool = False
    """Whether its parent is gone."""
    echoes: tuple[Echo, ...] = ()
    """What each agent said last, since a person spoke."""
    sent: str = ""
    """The last message to another agent, as the call's arguments."""

    def child(self, call_id: str) -> Child | None:
        """Return a sub-agent by the call that started it."""
        return next((one for one in self.children if one.call_id == call_id), None)

    def called(self, name: str) -> Child | None:
        """Return a sub-agent by its name or its execution's id."""
        return next((one for one in self.children if name and name in (one.name, one.execution)), None)

    @property
    def working(self) -> tuple[Child, ...]:
        """Return the sub-agents that have something to do."""
        return tuple(one for one in self.children if one.doing == "running")


def rest_of(state: "State") -> m.Rest | None:
    """Return how a turn that ended just now left an execution; None while its own sub-agents will wake it."""
    if state.phase == "STOPPED":
        return "stopped"
    if state.external.asks or state.tools:
        return "asks"
    if state.family.working:
        return None
    waits = any(one.kind != "user_message" for one in state.interests.open)
    return "waits" if waits else "rests"


def follow(part: Family, state: "State", recorded: Recorded) -> Family:
    """Return what is known after one more event; `state` is the rest of the state after it."""
    event, at = recorded.event, recorded.at
    match event:
        case m.SubAgentSpawned(call_id, name, agent, share):
            return replace(part, children=(*part.children, Child(call_id, name, agent, share, at, at)))
        case m.SubAgentStarted(call_id, execution, agent, environment):
            return _child(part, call_id, at, execution=execution, agent=agent, environment_id=environment)
        case m.SubAgentReported():
            return _reported(part, event, at)
        case m.SubAgentGranted(call_id, share, grant):
            return _child(part, call_id, at, share=share, grant=grant, live=True, doing="running", failed=False)
        case m.SubAgentStopAsked(call_id):
            return _child(part, call_id, at, stop=True)
        case m.SubAgentEnded(call_id, why, used):
            doing = "stopped" if why == "stopped" else "gone"
            known = part.child(call_id)
            spent = used or (known.share if known and known.live else known.used if known else m.Share())
            return _child(part, call_id, at, used=spent, live=False, stop=False, doing=doing)
        case ev.ToolFinished(call_id, outcome) if part.child(call_id):
            return _answered(part, call_id, outcome, at)
        case _:
            return _own(part, state, event, at)


def _own(part: Family, state: "State", event: Event, at: datetime) -> Family:
    """Follow what happens to the execution itself."""
    match event:
        case ev.Stopped():
            ended = tuple(replace(one, stop=one.stop or _stoppable(one), at=at) for one in part.children)
            return _rested(replace(part, children=ended, denied="", last=""), state)
        case ev.TurnEnded():
            return _rested(part, state)
        case m.ParentNotified(turn, rest, gone):
            owed = () if gone else tuple(one for one in part.owed if (one.turn, one.rest) != (turn, rest))
            return replace(part, owed=owed, orphan=part.orphan or gone)
        case m.ShareGranted(share, grant):
            return replace(part, released=False, grant=grant, limits=_limits(state, share))
        case m.ShareDenied(message):
            return replace(part, denied=message)
        case ev.InputQueued(input_id, block, _, "agent"):
            last = input_id if state.begun.parent and _lets_end(block) else part.last
            return replace(part, last=last, echoes=_echoes(part, block))
        case ev.InputQueued(origin="user"):
            return replace(part, echoes=(), sent="") if part.echoes or part.sent else part
        case ev.ToolStarted(_, name, arguments) if name == MESSAGE:
            return replace(part, sent=arguments)
        case _:
            return part


def _echoes(part: Family, block: ev.Json) -> tuple[Echo, ...]:
    """Return what was said last with one more message, counting on where it says nothing new."""
    sender, said = str(block.get("senderExecutionId", "")), str(block.get("payload", "")).strip()
    before = next((one for one in part.echoes if one.sender == sender), None)
    same = before is not None and (before.said, before.answer) == (said, part.sent)
    now = Echo(sender, said, part.sent, before.times + 1 if before and same else 1)
    return (*(one for one in part.echoes if one.sender != sender), now)


def _lets_end(block: ev.Json) -> bool:
    """Return whether a message lets a sub-agent end; those of its own sub-agents tell of their end."""
    return block.get("type") == LAST and block.get("role") != "ROLE_CHILD"


def _stoppable(child: Child) -> bool:
    return child.doing in ("running", "resting")


def _child(part: Family, call_id: str, at: datetime, **changes: object) -> Family:
    children = tuple(replace(one, **changes, at=at) if one.call_id == call_id else one for one in part.children)
    return replace(part, children=children)


def _answered(part: Family, call_id: str, outcome: str, at: datetime) -> Family:
    """Follow the result of a call that was to start a sub-agent: one that failed has started none."""
    if outcome == "ok":
        return part
    if outcome == "failed":
        return replace(part, children=tuple(one for one in part.children if one.call_id != call_id))
    return _child(part, call_id, at, stop=True)


def _reported(part: Family, event: m.SubAgentReported, at: datetime) -> Family:
    """Follow a report: what was set aside becomes what was used, unless the sub-agent has a newer share already."""
    known = part.child(event.call_id)
    if known is None:
        return part
    current, over = event.grant == known.grant, event.rest in ("rests", "stopped")
    doing: Doing = "running" if not over else ("stopped" if event.rest == "stopped" else "resting")
    return _child(
        part,
        event.call_id,
        at,
        execution=event.execution,
        used=event.used,
        turn=event.turn,
        rest=event.rest,
        failed=event.failed,
        live=known.live and not (over and current),
        doing=doing if current else known.doing,
        stop=known.stop and not (current and event.rest == "stopped"),
    )


def _rested(part: Family, state: "State") -> Family:
    """Follow the end of a turn of a sub-agent: its parent is to know, and gets the share back."""
    if state.begun.parent is None or (rest := rest_of(replace(state, family=part))) is None:
        return part
    released = part.released or rest in ("rests", "stopped")
    owed = () if part.orphan else (*part.owed, Owed(state.turn, rest, part.grant))
    return replace(part, owed=owed, released=released)


def _limits(state: "State", share: m.Share) -> ev.Limits:
    limits = state.limits
    return replace(
        limits,
        max_iterations=share.iterations or limits.max_iterations,
        max_input_tokens=share.input_tokens or limits.max_input_tokens,
        max_output_tokens=share.output_tokens or limits.max_output_tokens,
        max_cost=share.cost or limits.max_cost,
        max_subagents=share.subagents,
    )


HEARD: tuple[type[Event], ...] = (
    m.SubAgentSpawned,
    m.SubAgentStarted,
    m.SubAgentReported,
    m.SubAgentGranted,
    m.SubAgentStopAsked,
    m.SubAgentEnded,
    m.ParentNotified,
    m.ShareGranted,
    m.ShareDenied,
    ev.ToolStarted,
    ev.ToolFinished,
    ev.InputQueued,
    ev.TurnEnded,
    ev.Stopped,
)
"""Kinds of events that change it."""
