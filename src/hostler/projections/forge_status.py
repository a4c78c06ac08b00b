"""What the view shows of code under review: hosts that ask for a credential, pull requests, environments made."""

from typing import Any

from hostler.core.state import State


def needs_credential(state: State) -> list[dict[str, Any]]:
    """Return the hosts that wait for a credential, and what they refused."""
    return [
        {"host": one.host, "reason": one.reason, "purpose": one.purpose, "refused": bool(one.credential)}
        for one in state.forge.needs
    ]


def pull_requests(state: State) -> list[dict[str, Any]]:
    """Return the pull requests that the execution was started with or has opened."""
    found: dict[str, dict[str, Any]] = {}
    if (given := state.forge.pull) and given.url:
        found[given.url] = {"url": given.url, "number": given.number, "title": given.title, "given": True}
    for one in state.forge.opened:
        was = found.get(one.url, {"given": False})
        found[one.url] = {**was, "url": one.url, "number": one.number, "title": one.title}
    return list(found.values())


def used_environments(state: State) -> list[dict[str, Any]] | None:
    """Return the execution's own environment, and those that its agent made."""
    own = [{"environmentId": state.environment.id}] if state.environment.id else []
    made = [{"environmentId": one, "createdByAgent": True} for one in state.forge.environments]
    return [*own, *made] or None


def forge_warning(state: State) -> str:
    """Return which hosts ask for a credential, and how to set one."""
    return "; ".join(
        f"{one.host} {'refused the credential' if one.credential else 'asks for a credential'}: "
        f"hostler secret set {one.host}"
        for one in state.forge.needs
    )


def waits_for_credential(state: State) -> str:
    """Return the line about an environment that cannot be made yet; empty for any other."""
    hosts = [one.host for one in state.forge.needs if one.purpose == "clone"]
    return f"waiting for a credential for {', '.join(hosts)}" if hosts and not state.environment.ready else ""
