"""Pull requests, annotations and hosts that ask for a credential: a part of the state."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hostler.core import agent_events as ae
from hostler.core import events as ev
from hostler.core import forge_events as m
from hostler.core.addresses import read
from hostler.core.changing import changed as replace
from hostler.core.events import Event, Recorded

if TYPE_CHECKING:
    from hostler.core.state import State

ASKED_BY_GIT = re.compile(r"could not read Username for 'https://([A-Za-z0-9.-]+(?::\d+)?)/?'")
"""What git says where a host asks for a credential and nobody can be asked."""
REFUSED_BY_PROXY = re.compile(
    r"not authenticated: (?:https://)?([A-Za-z0-9.-]+(?::\d+)?)\S* (?:asks for a|refused the) cred"
)
"""What the proxy says where a host refused the credential that was sent, or wants one."""
MOST_NEEDS = 20
"""Hosts that an execution waits for at most; an agent may try any number."""


@dataclass(frozen=True, slots=True)
class Need:
    """A host that waits for a credential of somebody, other than the one that it refused."""

    host: str
    call_id: str = ""
    reason: str = ""
    purpose: m.Purpose = ""
    subject: str = ""
    credential: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """The pull request that a start names, as far as it says."""

    url: str
    number: str = ""
    title: str = ""
    head: str = ""
    base: str = ""
    author: str = ""
    repository: str = ""
    """Where it is to be merged: an http address."""
    ref: str = ""
    """What git fetches for it there, where that is known."""


@dataclass(frozen=True, slots=True)
class Forge:
    """What is known; see the module."""

    needs: tuple[Need, ...] = ()
    """Hosts that wait for a credential."""
    hints: tuple[tuple[str, str], ...] = ()
    """(call, host) where git inside could not ask for a credential; noted as needs soon."""
    environments: tuple[str, ...] = ()
    """Environments that the agent made."""
    asked: Asked | None = None
    pull: m.PullRequestGiven | None = None
    pushed: tuple[m.BranchPushed, ...] = ()
    opened: tuple[m.PullRequestOpened, ...] = ()

    @property
    def unauthenticated(self) -> tuple[str, ...]:
        """Return the hosts that wait for a credential."""
        return tuple(need.host for need in self.needs)


def follow(part: Forge, state: "State", recorded: Recorded) -> Forge:
    """Return what is known after one more event; `state` is the rest of the state after it."""
    event = recorded.event
    match event:
        case ev.Started(request):
            return replace(part, asked=asked_of(request))
        case ev.ToolFinished(call_id, "failed", text) | ae.ActionFinished(call_id, "failed", text):
            found = ASKED_BY_GIT.search(text) or REFUSED_BY_PROXY.search(text)
            host = found[1].lower() if found else ""
            known = not host or host in part.unauthenticated or part.hints
            return part if known else replace(part, hints=((call_id, host),))
        case m.HostAuthenticationRequired():
            return _needed(part, event)
        case m.HostAuthenticated(host):
            return replace(part, needs=tuple(one for one in part.needs if one.host != host))
        case ev.Stopped():
            return replace(part, needs=(), hints=()) if part.needs or part.hints else part
        case m.EnvironmentCreated(_, environment):
            return replace(part, environments=(*part.environments, environment))
        case m.PullRequestGiven():
            return replace(part, pull=event)
        case m.BranchPushed():
            return replace(part, pushed=(*(one for one in part.pushed if one.branch != event.branch), event))
        case m.PullRequestOpened():
            return replace(part, opened=(*(one for one in part.opened if one.url != event.url), event))
        case _:
            return part


def _needed(part: Forge, event: m.HostAuthenticationRequired) -> Forge:
    """Return what is known after a refusal; the latest one of a host counts, for it names the latest credential."""
    hints = tuple(hint for hint in part.hints if hint[1] != event.host)
    need = Need(event.host, event.call_id, event.reason, event.purpose, event.subject, event.credential)
    others = tuple(one for one in part.needs if one.host != event.host)
    return replace(part, needs=(*others, need)[-MOST_NEEDS:], hints=hints)


def asked_of(request: Mapping[str, Any]) -> Asked | None:
    """Return the pull request that a StartAgent request names; None where it names a branch at most."""
    context: Mapping[str, Any] = request.get("codeContext") or {}
    pull: Mapping[str, Any] = context.get("pullRequest") or {}
    named: Mapping[str, Any] = context.get("contextUrl") or {}
    of_context = str(named.get("url", ""))
    url, repository, number, ref = "", "", "", ""
    for one in (str(pull.get("url", "")), of_context):
        found = _request_page(one)
        if found and not url:
            url, (repository, number, ref) = one, found
    if not (url or pull.get("id") or pull.get("title") or pull.get("url")):
        return None
    into: Mapping[str, Any] = pull.get("repository") or {}
    clone = str(into.get("cloneUrl", ""))
    return Asked(
        url or str(pull.get("url", "")),
        number or str(pull.get("id", "")),
        str(pull.get("title", "")),
        str(pull.get("fromBranch", "")),
        str(pull.get("toBranch", "")),
        str(pull.get("author", "")),
        repository or clone,
        ref,
    )


def _request_page(url: str) -> tuple[str, str, str] | None:
    """Return repository, number and ref of the page of a pull or merge request; None for anything else."""
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.path.strip("/"):
            return None
        address = read(parts)
    except ValueError:
        return None
    if address.form != "pull":
        return None
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/{address.path}", address.value, address.ref or ""


def told(pull: m.PullRequestGiven) -> str:
    """Return what an agent is told of the pull request that it was started with."""
    name = f"#{pull.number}" if pull.number else ""
    facts = {
        "Pull request": f"{name} {pull.title}".strip() or pull.url,
        "URL": pull.url,
        "Author": pull.author,
        "From branch": pull.head,
        "Into branch": pull.base,
        "State": "draft" if pull.draft else "",
    }
    lines = [f"{key}: {value}" for key, value in facts.items() if value]
    if pull.checked_out:
        lines.append(f"The workspace is at its branch; commits that you push with `git push` go to {pull.head}.")
    elif pull.note:
        lines.append(pull.note)
    return "\n".join(lines)


def with_pull_request(prompt: str, state: "State") -> str:
    """Return what an agent in the environment is told at first, with the pull request that it was started with."""
    note = told(state.forge.pull) if state.forge.pull else ""
    return "\n\n".join(part for part in (prompt, note) if part)


HEARD: tuple[type[Event], ...] = (
    ev.Started,
    ev.ToolFinished,
    ae.ActionFinished,
    ev.Stopped,
    m.HostAuthenticationRequired,
    m.HostAuthenticated,
    m.EnvironmentCreated,
    m.PullRequestGiven,
    m.BranchPushed,
    m.PullRequestOpened,
)
"""Kinds of events that change it."""
