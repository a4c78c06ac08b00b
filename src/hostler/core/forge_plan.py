"""What pull requests and missing credentials change in the plan."""

import uuid
from dataclasses import dataclass

from hostler.core import events as ev
from hostler.core import forge_events as m
from hostler.core.events import Event
from hostler.core.limits import reached
from hostler.core.state import State

SPACE = uuid.UUID("0d0f7a86-3a3f-5d0c-9a55-5f2b9f3f6e11")


@dataclass(frozen=True, slots=True)
class AwaitCredential:
    """Wait until somebody has set a credential for a host, other than `credential`, which it refused; then say so."""

    host: str
    subject: str
    credential: str


@dataclass(frozen=True, slots=True)
class NoteAuthentication:
    """Note that a call was refused for want of a credential; ends in HostAuthenticationRequired."""

    call_id: str
    host: str


@dataclass(frozen=True, slots=True)
class LookAtPullRequest:
    """Learn what the pull request is that the start named, and go to its branch; ends in PullRequestGiven."""

    url: str


Effect = AwaitCredential | NoteAuthentication | LookAtPullRequest
"""What it may want."""


def wanted(state: State) -> frozenset[Effect]:
    """Return the effects that should be in flight because of this, in whatever phase."""
    if state.phase not in ("PENDING", "RUNNING", "WAITING_FOR_INPUT") or state.stop is not None or state.deleted:
        return frozenset()
    effects: set[Effect] = {AwaitCredential(one.host, one.subject, one.credential) for one in state.forge.needs}
    if state.phase == "RUNNING" and not state.killing:
        effects.update(NoteAuthentication(call, host) for call, host in state.forge.hints)
        if state.environment.ready and looks(state) and state.forge.asked:
            effects.add(LookAtPullRequest(state.forge.asked.url))
    return frozenset(effects)


def holds(state: State) -> bool:
    """Return whether a running turn is not at rest because of this."""
    return bool(state.forge.hints) or looks(state)


def looks(state: State) -> bool:
    """Return whether the agent has to wait until the pull request is known that it was started with."""
    return state.forge.asked is not None and state.forge.pull is None


def blocks(state: State) -> bool:
    """Return whether the environment cannot be made before a credential is set."""
    return any(need.purpose == "clone" for need in state.forge.needs) and not state.environment.ready


def authenticated(state: State, host: str, incarnation: str, settle: float) -> tuple[Event, ...]:
    """Return what a credential for a host comes to: an environment is made again, an agent is told to try again."""
    need = next((one for one in state.forge.needs if one.host == host), None)
    if need is None:
        return ()
    here = m.HostAuthenticated(host)
    if need.purpose == "clone" or state.phase not in ("RUNNING", "WAITING_FOR_INPUT"):
        return (here,)
    if reached(state):
        return (here,)
    text = f"There is a credential for {host} now. What was refused for want of one can be tried again."
    block = {"inputs": [{"text": {"content": text}}]}
    input_id = str(uuid.uuid5(SPACE, f"{state.begun.session_id}/{state.environment.id}/{state.seq}/{host}"))
    queued = ev.InputQueued(input_id, block, f"credential/{state.seq}", origin="harness")
    if state.phase == "RUNNING":
        return (here, queued)
    return (here, queued, ev.TurnStarted(state.turn + 1, incarnation, settle))
