"""Credentials for code hosts: what is kept of them, and what others may ask. The secret itself is only ever sealed."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, Protocol
from urllib.parse import urlsplit

TokenSource = Literal["oauth", "pat"]


@dataclass(frozen=True, slots=True)
class HostToken:
    """A credential of one person or service account for one code host; `sealed` is its encrypted text."""

    id: str
    runner: str
    host: str
    """HOST or HOST:PORT, in small letters; without a port, 443 is meant."""
    subject_id: str
    subject_kind: Literal["user", "service_account"]
    source: TokenSource
    scopes: tuple[str, ...]
    integration_id: str
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None
    sealed: str

    def holds(self, now: datetime) -> bool:
        """Return whether it has not expired."""
        return self.expires_at is None or now < self.expires_at

    def changed(self, now: datetime, sealed: str, expires_at: datetime | None, scopes: tuple[str, ...]) -> "HostToken":
        """Return the credential with another secret, time or scopes."""
        return replace(self, sealed=sealed, expires_at=expires_at, scopes=scopes, updated_at=now)


class HostTokens(Protocol):
    """The credentials of this runner."""

    async def save(self, token: HostToken, *, new: bool) -> None:
        """Write a credential; AlreadyExists for a second one of the same subject and host, NotFound when it is gone."""
        ...

    async def get(self, token: str) -> HostToken | None:
        """Return a credential."""
        ...

    async def find(
        self, *, runner: str = "", subject_id: str = "", before: str = "", limit: int = 0
    ) -> tuple[HostToken, ...]:
        """Return credentials, newest first, ids below `before` when given, all of them when `limit` is 0."""
        ...

    async def delete(self, token: str) -> bool:
        """Remove a credential; return whether it was there."""
        ...


@dataclass(frozen=True, slots=True)
class Login:
    """A user name and a secret, as a host takes them."""

    user: str
    secret: str

    def __repr__(self) -> str:
        return f"Login({self.user!r}, ...)"


def host_of(url: str) -> str:
    """Return HOST or HOST:PORT of a URL in small letters, without a user name and without the scheme's own port."""
    parts = urlsplit(url)
    usual = {"http": ":80", "https": ":443"}.get(parts.scheme, "")
    return parts.netloc.rpartition("@")[2].lower().removesuffix(usual)


def login_of(text: str, host: str = "") -> Login:
    """Return user and secret of a credential's text: USER:SECRET, or a token that goes with a host's usual user."""
    user, colon, secret = text.partition(":")
    if colon:
        return Login(user, secret)
    usual = next((name for part, name in USERS.items() if part in host), "x-access-token")
    return Login(usual, text)


USERS = {"gitlab": "oauth2", "bitbucket": "x-token-auth"}
"""The user names that go with tokens, by a part of the host's name; other hosts take any."""


class Logins(Protocol):
    """The credentials in the clear, in the server's memory only; the proxy that leads out of environments uses them."""

    def seal(self, token: str, text: str) -> str:
        """Return the encrypted text of the credential with this id."""
        ...

    def put(self, token: HostToken, text: str) -> None:
        """Use a credential from now on, and mask it wherever it shows; `text` is its secret, or USER:SECRET."""
        ...

    def renew(self, token: HostToken) -> None:
        """Take over what has changed about a credential besides its secret."""
        ...

    def drop(self, token: str) -> None:
        """Use a credential no more."""
        ...

    def usable(self, token: str) -> bool:
        """Return whether a credential can be used: it could be read, and the host did not refuse it last time."""
        ...

    def closed(self, host: str) -> frozenset[str]:
        """Return the repositories of a host that asked for a credential where there was none, by `repository_key`."""
        ...
