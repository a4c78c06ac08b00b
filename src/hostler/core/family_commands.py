"""The decisions about reports of sub-agents, and about the shares with which they go on."""

from dataclasses import dataclass

from hostler.core import events as ev
from hostler.core import family_events as m
from hostler.core import interests_plan
from hostler.core.budget import NoShare, share_again
from hostler.core.events import Event
from hostler.core.family import Child, message_id
from hostler.core.plan import Session
from hostler.core.state import State


@dataclass(frozen=True, slots=True)
class HearChild:
    """A sub-agent reports: the event says how its turn ended, `block` is the AgentMessage's JSON.

    `expansion` is what the agent hears, as it knows the sub-agent by name.
    """

    report: m.SubAgentReported
    block: ev.Json
    expansion: str


@dataclass(frozen=True, slots=True)
class GrantShare:
    """A sub-agent that had given its share back goes on and asks for another one, its `grant`-th."""

    call_id: str
    grant: int


def hear(state: State, command: HearChild, session: Session) -> tuple[Event, ...]:
    """Return what a report comes to: an input that starts a turn, unless it is known or was to be expected."""
    report = command.report
    child = state.family.child(report.call_id)
    if child is None or report.turn < child.turn or (report.turn == child.turn and report.rest == child.rest):
        return ()
    if not _news(child, report):
        return (report,)
    input_id = message_id(report.execution, f"{report.turn}/{report.rest}")
    came = interests_plan.answered(state, command.block)
    queued = ev.InputQueued(input_id, command.block, input_id, "agent", expansion=command.expansion)
    starts = state.phase == "WAITING_FOR_INPUT"
    turn = (ev.TurnStarted(state.turn + 1, session.incarnation, session.settle),) if starts else ()
    return (report, *came, queued, *turn)


def _news(child: Child, report: m.SubAgentReported) -> bool:
    """Return whether the agent is to hear a report: not of a stop of its own, nor of one that had come to rest."""
    if child.stop or child.doing == "gone":
        return False
    return report.rest != "stopped" or child.doing == "running"


def grant(state: State, command: GrantShare) -> tuple[Event, ...]:
    """Return what sets a share aside again; nothing when it is so already, or when nothing is left.

    Who gave its own share back has nothing to set aside.
    """
    child = state.family.child(command.call_id)
    if child is None or state.family.released or (child.live and child.grant >= command.grant):
        return ()
    share = share_again(state, child)
    number = max(command.grant, child.grant + 1)
    return () if isinstance(share, NoShare) else (m.SubAgentGranted(child.call_id, share, number),)
