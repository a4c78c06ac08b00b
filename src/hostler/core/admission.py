"""How people get in with a browser: sign-ins, links that open a page once, and shares of one conversation.

Of each only the sha256 of its secret is kept. A sign-in and a link hang on the API token they were made with and end
with it; a share hangs on its execution.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol

from hostler.core.ports import ApiToken

LONGEST = timedelta(days=30)
"""How long a sign-in lasts at most."""
IDLE = timedelta(days=7)
"""How long a sign-in lasts without being used."""
LINK = timedelta(minutes=10)
"""How long a link that signs in can be opened."""
May = Literal["view", "send"]


@dataclass(frozen=True, slots=True)
class SignIn:
    """A browser that showed an API token; its cookie is kept as a sha256."""

    id: str
    sha256: str
    token_id: str
    created_at: datetime
    used_at: datetime

    def holds(self, now: datetime) -> bool:
        """Return whether it is neither too old nor too long unused."""
        return now < self.created_at + LONGEST and now < self.used_at + IDLE


@dataclass(frozen=True, slots=True)
class Link:
    """An address that opens a path of this server once, signed in."""

    sha256: str
    token_id: str
    path: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Share:
    """One conversation, opened to whoever has the address."""

    id: str
    sha256: str
    execution_id: str
    may: May
    name: str
    creator_id: str
    created_at: datetime
    expires_at: datetime

    def holds(self, now: datetime) -> bool:
        """Return whether it has not expired."""
        return now < self.expires_at


class SignIns(Protocol):
    """Sign-ins, and the links that lead to one."""

    async def add(self, sign_in: SignIn) -> None:
        """Keep a sign-in and forget those that are too old; NotFound when its API token is gone."""
        ...

    async def by_sha256(self, sha256: str) -> tuple[SignIn, ApiToken] | None:
        """Return the sign-in with this hash and its API token, expired or not; None when either is gone."""
        ...

    async def used(self, sign_in: str, at: datetime) -> None:
        """Note when a sign-in was used; one that is gone meanwhile is let alone."""
        ...

    async def remove(self, sha256: str) -> bool:
        """Forget a sign-in; return whether it was there."""
        ...

    async def add_link(self, link: Link, now: datetime) -> None:
        """Keep a link and forget those that have expired; NotFound when its API token is gone."""
        ...

    async def take_link(self, sha256: str) -> Link | None:
        """Return a link, expired or not, and forget it: of any number of callers at once, one gets it."""
        ...


class Shares(Protocol):
    """Shares of executions."""

    async def add(self, share: Share) -> None:
        """Keep a share; NotFound when the execution is gone."""
        ...

    async def by_sha256(self, sha256: str) -> Share | None:
        """Return the share with this hash, expired or not; None when its execution is deleted."""
        ...

    async def find(self, execution: str) -> tuple[Share, ...]:
        """Return the shares of an execution, newest first."""
        ...

    async def revoke(self, execution: str, share: str) -> bool:
        """Remove a share of an execution by id; return whether it was there."""
        ...
