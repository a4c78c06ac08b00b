"""Credentials of code hosts in the clear, in this process only: sealed for the store, used by the git proxy.

A secret is encrypted with AES-256-GCM under the key in the data folder, bound to the id of its credential, so that
rows cannot be exchanged for one another.
"""

import asyncio
import os
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from hashlib import sha256

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hostler.core.ambient import Ambient
from hostler.core.hosts import HostToken, Login, login_of

log = structlog.get_logger(__name__)

NONCE = 12
MOST_CLOSED = 1000
"""Repositories that are remembered to have asked for a credential."""


@dataclass(frozen=True, slots=True)
class Known:
    """A credential that can be used."""

    token: HostToken
    login: Login


class GitLogins:
    """Every credential of this runner; implements `hosts.Logins`."""

    def __init__(self, key: bytes, ambient: Ambient, hide: Callable[[Iterable[str]], None]) -> None:
        self._cipher = AESGCM(key)
        self._ambient = ambient
        self._hide = hide
        self._known: dict[str, Known] = {}
        self._refused: set[str] = set()
        self._closed: dict[str, str] = {}
        """Repository key to host."""
        self._waiting: set[asyncio.Future[None]] = set()
        self.on_change: Callable[[str], None] = lambda subject: None
        """Told whose credentials have changed."""

    def seal(self, token: str, text: str) -> str:
        """Return the encrypted text of the credential with this id."""
        nonce = os.urandom(NONCE)
        return b64encode(nonce + self._cipher.encrypt(nonce, text.encode(), token.encode())).decode()

    def load(self, tokens: Iterable[HostToken]) -> None:
        """Use the credentials that the store kept; what this data folder's key does not open stays unused."""
        for token in tokens:
            try:
                raw = b64decode(token.sealed)
                text = self._cipher.decrypt(raw[:NONCE], raw[NONCE:], token.id.encode()).decode()
            except (InvalidTag, ValueError):
                log.warning(
                    "a credential was sealed with another key; set it anew", host=token.host, credential=token.id
                )
                continue
            self.put(token, text)

    def put(self, token: HostToken, text: str) -> None:
        """Use a credential from now on, and mask it wherever it shows."""
        login = login_of(text, token.host)
        self._hide([login.secret, text, f"{login.user}:{login.secret}"])
        self._known[token.id] = Known(token, login)
        self._refused.discard(token.id)
        self._closed = {key: host for key, host in self._closed.items() if host != token.host}
        self.on_change(token.subject_id)
        self._wake()

    def renew(self, token: HostToken) -> None:
        """Take over what has changed about a credential besides its secret."""
        if known := self._known.get(token.id):
            self._known[token.id] = replace(known, token=token)
            self._wake()

    def drop(self, token: str) -> None:
        """Use a credential no more."""
        self._refused.discard(token)
        if known := self._known.pop(token, None):
            self.on_change(known.token.subject_id)

    def usable(self, token: str) -> bool:
        """Return whether a credential could be read, and the host did not refuse it last time."""
        return token in self._known and token not in self._refused

    def closed(self, host: str) -> frozenset[str]:
        """Return the repositories of a host that asked for a credential where there was none."""
        return frozenset(key for key, where in self._closed.items() if where == host)

    def hosts(self, subject: str) -> tuple[str, ...]:
        """Return the hosts that a subject has credentials for."""
        return tuple(sorted(one.token.host for one in self._known.values() if one.token.subject_id == subject))

    def find(self, subject: str, host: str) -> Known | None:
        """Return a subject's credential for a host, HOST or HOST:PORT, unless it has expired."""
        now = self._ambient.now()
        for one in self._known.values():
            if one.token.subject_id == subject and one.token.host == host and one.token.holds(now):
                return one
        return None

    def version(self, subject: str, host: str) -> str:
        """Return which credential a subject has for a host now; another secret is another version. Empty: none."""
        known = self.find(subject, host)
        return f"{known.token.id}:{sha256(known.token.sealed.encode()).hexdigest()[:16]}" if known else ""

    async def arrives(self, subject: str, host: str, refused: str) -> None:
        """Return when a subject has a credential for a host in another version than the one that was refused."""
        while self.version(subject, host) in ("", refused):
            waiting = asyncio.get_running_loop().create_future()
            self._waiting.add(waiting)
            try:
                await waiting
            finally:
                self._waiting.discard(waiting)

    def _wake(self) -> None:
        """Let those look again who wait for a credential."""
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    def note(self, host: str, repository: str, used: Known | None, *, accepted: bool) -> None:
        """Remember what a host said when it was asked for a repository, by its key, with a credential or without."""
        if used is not None:
            (self._refused.discard if accepted else self._refused.add)(used.token.id)
        elif accepted:
            self._closed.pop(repository, None)
        else:
            self._closed[repository] = host
            while len(self._closed) > MOST_CLOSED:
                del self._closed[next(iter(self._closed))]
