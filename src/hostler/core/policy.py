"""The organization's policy: what people and their agents may use, and how much of it. One document in the database."""

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any, Literal, Protocol, cast

from hostler.core.approvals_events import Permission
from hostler.core.egress import host_pattern, matches, split_port
from hostler.core.errors import FailedPrecondition, InvalidArgument
from hostler.core.ports import Principal

Sharing = Literal["off", "view", "send"]
Sight = Literal["organization", "own"]
SHARING: tuple[Sharing, ...] = ("off", "view", "send")
SIGHT: tuple[Sight, ...] = ("organization", "own")
MOST = 500
"""Entries of one list, and people with caps of their own."""
LONGEST = 500
"""Characters of one entry."""
HIGHEST = 10**15


@dataclass(frozen=True, slots=True)
class Caps:
    """What one person may use; 0 means as much as there is."""

    running: int = 0
    """Turns at once; more of them wait for a slot."""
    tokens_a_day: int = 0
    """Tokens of all kinds that model calls took since midnight, UTC."""
    disk_gib: int = 0
    """What the environments of the person take of the disk."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What holds for everybody; an empty list of allowed things allows all of them.

    Agents are named by id or name, models as PROVIDER:NAME, repositories as HOST/OWNER/NAME; `*` stands for any text.
    """

    agents: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    repositories: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    """What people may allow environments to reach beyond the settings."""
    denied_hosts: tuple[str, ...] = ()
    """What no environment reaches, whatever the settings or a person allow."""
    denied_commands: tuple[str, ...] = ()
    """Commands of the shell that no agent runs, matched word by word."""
    sharing: Sharing = "send"
    """What links to a conversation may allow: nothing, to look, or to write too."""
    sight: Sight = "organization"
    """Whose executions people see: everybody's, or their own."""
    caps: Caps = Caps()
    caps_of: Mapping[str, Caps] = field(default_factory=dict[str, Caps])
    """Caps of single people and service accounts, by id, instead of `caps`."""

    def caps_for(self, principal: str) -> Caps:
        """Return the caps of one person."""
        return self.caps_of.get(principal, self.caps)

    def check_agent(self, agent_id: str, name: str, *, of: str = "agent_id") -> None:
        """Raise FailedPrecondition for an agent that nobody may start."""
        if self.agents and not (_among(self.agents, agent_id) or _among(self.agents, name)):
            raise FailedPrecondition(f"the organization's policy does not allow agent {name}", field=of)

    def check_model(self, name: str, *, of: str = "model") -> None:
        """Raise FailedPrecondition for a model that nobody may use."""
        if self.models and not _among(self.models, name):
            raise FailedPrecondition(f"the organization's policy does not allow model {name}", field=of)

    def check_repository(self, key: str, *, of: str) -> None:
        """Raise FailedPrecondition for a repository, HOST/OWNER/NAME, that no agent may work on."""
        if self.repositories and not _among(self.repositories, key):
            shown = key or "this"
            raise FailedPrecondition(f"the organization's policy does not allow repository {shown}", field=of)

    def check_host(self, pattern: str) -> None:
        """Raise FailedPrecondition for a host that people may not allow environments to reach."""
        name, port = split_port(pattern)
        reached = name.removeprefix("*.")
        if any(covers(one, name, port) or _meets(one, reached, port) for one in self.denied_hosts):
            raise FailedPrecondition(f"the organization's policy denies {pattern}", field="host")
        if self.hosts and not any(covers(one, name, port) for one in self.hosts):
            raise FailedPrecondition(f"the organization's policy does not let people allow {pattern}", field="host")

    def denies(self, host: str, port: int) -> bool:
        """Return whether no environment may reach a host."""
        return any(matches(one, host, port, ()) for one in self.denied_hosts)

    def check_sharing(self, may: str) -> None:
        """Raise FailedPrecondition for a link that allows more than links may."""
        if SHARING.index(self.sharing) < SHARING.index(cast("Sharing", may)):
            said = "does not allow links" if self.sharing == "off" else "allows links to look only"
            raise FailedPrecondition(f"the organization's policy {said}", field="may")

    def rules(self) -> tuple[Permission, ...]:
        """Return the rules on tool calls that come before those of any agent."""
        why = "denied by the organization's policy"
        return tuple(Permission("bash", "deny", pattern, why) for pattern in self.denied_commands)


def covers(pattern: str, name: str, port: int | None) -> bool:
    """Return whether a pattern covers all that `name` (HOST or *.SUFFIX) means; port None: those of the web."""
    own, own_port = split_port(pattern)
    if own_port is not None and own_port != port:
        return False
    if name.startswith("*."):
        return own.startswith("*.") and (name == own or name.endswith(own[1:]))
    return matches(own, name, 0, ())


def _meets(pattern: str, suffix: str, port: int | None) -> bool:
    """Return whether a wildcard over `suffix` would open something that the pattern names."""
    own, own_port = split_port(pattern)
    same_port = own_port is None or port is None or own_port == port
    return same_port and own.removeprefix("*.").endswith(f".{suffix}")


def _among(patterns: Sequence[str], name: str) -> bool:
    return any(fnmatch.fnmatchcase(name.lower(), pattern.lower()) for pattern in patterns)


@dataclass(frozen=True, slots=True)
class Adopted:
    """A version of the policy, from 1; version 0 is the one that allows everything and nobody made."""

    version: int
    policy: Policy
    at: datetime | None = None
    by_id: str = ""
    by_name: str = ""


class Policies(Protocol):
    """The policy in the database; every version is kept."""

    async def current(self) -> Adopted:
        """Return the policy that holds now."""
        ...

    async def adopt(self, policy: Policy, after: int, at: datetime, by: Principal) -> Adopted:
        """Make a policy the next version; FailedPrecondition when the one that holds is not number `after` any more."""
        ...

    async def versions(self, limit: int = 100) -> tuple[Adopted, ...]:
        """Return the versions, newest first."""
        ...


class NoPolicies:
    """Everything is allowed, and that cannot be changed."""

    async def current(self) -> Adopted:
        """Return the policy that allows everything."""
        return Adopted(0, Policy())

    async def adopt(self, policy: Policy, after: int, at: datetime, by: Principal) -> Adopted:
        """Refuse."""
        raise FailedPrecondition("there is no policy to be changed here")

    async def versions(self, limit: int = 100) -> tuple[Adopted, ...]:
        """Return nothing."""
        return ()


@dataclass(frozen=True, slots=True)
class Used:
    """What one person uses: turns that run now, tokens since midnight UTC, bytes of the disk of this runner."""

    running: int = 0
    tokens: int = 0
    disk: int = 0


class Using(Protocol):
    """Tells what people use."""

    async def used(self, person: str) -> Used:
        """Return what a person uses now."""
        ...

    async def refresh(self) -> Policy:
        """Let a changed policy hold here at once, and return it."""
        ...


class NoUse:
    """Nobody uses anything."""

    async def used(self, person: str) -> Used:
        """Return nothing."""
        return Used()

    async def refresh(self) -> Policy:
        """Return the policy that allows everything."""
        return Policy()


# --- as JSON ----------------------------------------------------------------------------------------------------

LISTS = ("agents", "models", "repositories", "hosts", "denied_hosts", "denied_commands")
CAPS = tuple(one.name for one in fields(Caps))
NAMES = (*LISTS, "sharing", "sight", "caps", "caps_of")


def to_json(policy: Policy) -> dict[str, Any]:
    """Return a policy as JSON."""
    caps_of = {who: _caps_json(caps) for who, caps in sorted(policy.caps_of.items())}
    lists = {name: list(getattr(policy, name)) for name in LISTS}
    return {
        **lists,
        "sharing": policy.sharing,
        "sight": policy.sight,
        "caps": _caps_json(policy.caps),
        "caps_of": caps_of,
    }


def of_json(given: Mapping[str, Any], before: Policy = Policy()) -> Policy:
    """Return `before` with what is given changed; InvalidArgument names what cannot be."""
    if unknown := [name for name in given if name not in NAMES]:
        raise InvalidArgument(f"there is no such part of a policy; there are {', '.join(NAMES)}", field=unknown[0])
    changes: dict[str, Any] = {}
    for name, value in given.items():
        match name:
            case "sharing":
                changes[name] = _choice(value, SHARING, name)
            case "sight":
                changes[name] = _choice(value, SIGHT, name)
            case "caps":
                changes[name] = _caps(value, name)
            case "caps_of":
                changes[name] = _caps_of(value)
            case _:
                changes[name] = _list(value, name)
    return replace(before, **changes)


def _caps_json(caps: Caps) -> dict[str, int]:
    return {name: getattr(caps, name) for name in CAPS}


def _choice(value: object, choices: Sequence[str], field: str) -> str:
    if value not in choices:
        raise InvalidArgument(" or ".join(choices), field=field)
    return cast("str", value)


def _list(value: object, field: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise InvalidArgument("a list of texts is needed", field=field)
    entries = cast("Sequence[object]", value)
    if len(entries) > MOST:
        raise InvalidArgument(f"at most {MOST} entries", field=field)
    found = tuple(_entry(one, f"{field}[{n}]") for n, one in enumerate(entries))
    shape: Callable[[str], str] = host_pattern if field.endswith("hosts") else str
    return tuple(dict.fromkeys(map(shape, found)))


def _entry(value: object, field: str) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > LONGEST or not value.isprintable():
        raise InvalidArgument(f"a text of 1 to {LONGEST} printable characters is needed", field=field)
    return value.strip()


def _caps(value: object, field: str) -> Caps:
    if not isinstance(value, Mapping):
        raise InvalidArgument(f"an object with any of {', '.join(CAPS)} is needed", field=field)
    given = cast("Mapping[str, object]", value)
    for name, number in given.items():
        if name not in CAPS:
            raise InvalidArgument(f"there is no such cap; there are {', '.join(CAPS)}", field=f"{field}.{name}")
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= HIGHEST:
            raise InvalidArgument("a whole number from 0 on is needed; 0 is no cap", field=f"{field}.{name}")
    return Caps(**cast("Mapping[str, int]", given))


def _caps_of(value: object) -> Mapping[str, Caps]:
    if not isinstance(value, Mapping) or len(cast("Mapping[str, object]", value)) > MOST:
        raise InvalidArgument(f"an object with caps by the ids of at most {MOST} people is needed", field="caps_of")
    people = cast("Mapping[str, object]", value)
    return {who.lower(): _caps(caps, f"caps_of.{who}") for who, caps in people.items()}
