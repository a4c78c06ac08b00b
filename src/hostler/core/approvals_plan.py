"""Which tool calls may start, and which wait for a person's word.

A call that waits stays open over the end of its turn. What a person says next is the word on it; at the deadline it is
denied, so that nothing waits for ever.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from hostler.core import agent_events as ae
from hostler.core import events as ev
from hostler.core import modes_plan
from hostler.core.agents import Choice, Question
from hostler.core.approvals_events import ApprovalAsked, ApprovalGiven
from hostler.core.asking import answers
from hostler.core.events import Event
from hostler.core.permissions import Ruling, ruling
from hostler.core.state import OpenTool, State

ALLOW, ALWAYS, DENY = "Allow", "Allow for this conversation", "Deny"
PERSON = "a person"


@dataclass(frozen=True, slots=True)
class DenyAtDeadline:
    """Deny a call at `not_before`, unless a person has spoken."""

    call_id: str
    not_before: datetime


Effect = DenyAtDeadline
"""What it may want."""


def gate(tool: OpenTool, state: State) -> tuple[Event, ...] | None:
    """Return what happens instead of starting a call (() = it waits); None when it may start."""
    given = next((one for one in state.approvals.given if one.call_id == tool.id), None)
    if given is not None and given.allowed:
        return None
    if given is not None:
        return (ev.ToolFinished(tool.id, "failed", denied(given.by, given.reason)),)
    says = _ruling(tool, state)
    match says.verdict:
        case "allow":
            return None
        case "deny":
            return (ev.ToolFinished(tool.id, "failed", f"Not started: {says.reason}. Do not try to get around it."),)
        case "ask":
            return () if state.approvals.asked else _ask(tool, state, says)


def _ruling(tool: OpenTool, state: State) -> Ruling:
    return ruling(state.begun.agent.permissions, tool.name, tool.arguments, state.approvals.standing)


def _ask(tool: OpenTool, state: State, says: Ruling) -> tuple[Event, ...]:
    """Return what asks a person."""
    assert state.updated_at is not None
    deadline = state.updated_at + timedelta(minutes=state.begun.agent.approval_minutes)
    asked = ApprovalAsked(tool.id, tool.name, says.subject, deadline, says.reason, says.rules)
    return (asked, ae.QuestionsAsked(tool.id, (question(asked),)))


def question(asked: ApprovalAsked) -> Question:
    """Return the card by which a person is asked."""
    why = f"\n{asked.reason}" if asked.reason else ""
    until = f"{asked.deadline:%Y-%m-%d %H:%M} UTC"
    what = f"`{asked.tool}`: {asked.subject}" if asked.subject else f"`{asked.tool}`"
    choices = (
        Choice(ALLOW, ALLOW, "This once."),
        Choice(ALWAYS, ALWAYS, f"Also later, for {', '.join(asked.rules)}."),
        Choice(DENY, DENY, "The agent is told so; so is it with words of your own."),
    )
    text = f"May the agent do this?\n{what}{why}\nWithout an answer by {until} it is denied."
    return Question(f"{asked.call_id}.1", text, choices, other=True)


def denied(by: str, reason: str) -> str:
    """Return what the model reads of a call that was denied."""
    why = f": {reason}" if reason else ""
    return f"Not started: {by} denied it{why}. Do not try to get around it."


def awaits(tool: OpenTool, state: State) -> bool:
    """Return whether a call waits for a person's word."""
    return any(one.call_id == tool.id for one in state.approvals.asked)


def waits(state: State) -> bool:
    """Return whether all that is left of a step waits for a person's word, and nobody has spoken."""
    if not state.approvals.asked or state.approvals.said:
        return False
    return not any(tool.started or gate(tool, state) != () for tool in state.tools if not awaits(tool, state))


def answered(state: State) -> tuple[Event, ...]:
    """Return what a person's word comes to; () when none has come. What answers questions too, the model reads."""
    if not state.approvals.asked or not state.approvals.said:
        return ()
    asked, (input_id, said) = state.approvals.asked[0], state.approvals.said[0]
    card = question(asked)
    word = answers((card,), said)[card.id].strip()
    allowed = word in (ALLOW, ALWAYS)
    reason = "" if allowed or word == DENY else word
    others = [ask for ask in state.external.asks if ask.ask != asked.call_id]
    heard = "" if others else input_id
    given = ApprovalGiven(asked.call_id, allowed, PERSON, reason, word == ALWAYS, heard)
    closed = (ae.QuestionsClosed(ask.ask) for ask in state.external.asks)
    return (given, ev.InputTaken((input_id,)), *closed, *modes_plan.entering(state, (input_id,)))


def wanted(state: State) -> frozenset[Effect]:
    """Return the deadline of a call that waits, unless a person has spoken."""
    if state.phase not in ("RUNNING", "WAITING_FOR_INPUT") or state.stop is not None or state.approvals.said:
        return frozenset()
    return frozenset(DenyAtDeadline(one.call_id, one.deadline) for one in state.approvals.asked)


def holds(state: State) -> bool:
    """Return whether a running turn is not at rest because of this."""
    return False


def cut(state: State, text: str) -> tuple[Event, ...]:
    """Give every call that waits its one result, where an execution stops at rest."""
    return tuple(ev.ToolFinished(tool.id, "cancelled", text) for tool in state.tools if not tool.started)
