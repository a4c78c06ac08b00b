"""Signing in with what somebody else knows of a person: an OpenID Connect provider, or a proxy in front of us."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import IPv4Network, IPv6Network
from typing import Protocol

from hostler.core.roles import Role

ATTEMPT = timedelta(minutes=10)
"""How long somebody may take to sign in elsewhere."""


@dataclass(frozen=True, slots=True)
class Accounts:
    """What becomes of somebody who signs in for the first time, and of his role."""

    create: bool = True
    """Whether there will be an account for whoever comes; otherwise only for those who have one."""
    role: Role = "run"
    domains: tuple[str, ...] = ()
    """Where addresses must be of, when any is named."""
    role_claim: str = ""
    """What the role is read from at every sign-in; the account's own when it is empty."""
    roles: Mapping[str, Role] = field(default_factory=dict[str, Role])
    """Roles by the values of that claim; who has none of them is not let in."""


@dataclass(frozen=True, slots=True)
class Provider:
    """An OpenID Connect provider and what we are there."""

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    name: str = ""
    scopes: tuple[str, ...] = ("openid", "email", "profile")
    accounts: Accounts = field(default_factory=Accounts)


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy that says in a header who somebody is, and where it is believed to be."""

    header: str
    addresses: tuple[IPv4Network | IPv6Network, ...]
    accounts: Accounts = field(default_factory=Accounts)


@dataclass(frozen=True, slots=True)
class Outside:
    """The ways in beside tokens."""

    provider: Provider | None = None
    proxy: Proxy | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What somebody else says of a person; `email` only when it was checked there."""

    subject: str
    name: str
    email: str = ""
    values: tuple[str, ...] = ()
    """Of the claim that roles are read from."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """Somebody who was sent elsewhere to sign in; the secrets of the state and of his browser as sha256."""

    sha256: str
    browser: str
    nonce: str
    verifier: str
    path: str
    expires_at: datetime


class Attempts(Protocol):
    """Those who are signing in elsewhere."""

    async def add(self, attempt: Attempt, now: datetime) -> None:
        """Keep one and forget those that have expired."""
        ...

    async def take(self, sha256: str) -> Attempt | None:
        """Return one, expired or not, and forget it: of any number of callers at once, one gets it."""
        ...


class NoAttempts:
    """Nobody signs in elsewhere."""

    async def add(self, attempt: Attempt, now: datetime) -> None:
        """Forget it."""

    async def take(self, sha256: str) -> Attempt | None:
        """Return nothing."""
        return None
