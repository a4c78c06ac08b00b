"""A code host of stories: in memory, it outlives servers, and its credentials come and go by hand."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from hostler.core.desk import NewEnvironment
from hostler.core.errors import NotFound
from hostler.core.forges import CredentialNeeded, ForgeUnknown, Missing
from hostler.core.hosts import HostToken, Login
from hostler.core.providers import RemoteRepository, Scratch
from hostler.environments.credentials import Known
from hostler.environments.egress import Target
from hostler.environments.forge_http import Said
from hostler.environments.forges import CodeHosts
from hostler.testing.clock import HandClock
from hostler.testing.forge import ForgeBook

SUBJECT = "creator"


@dataclass(slots=True)
class MemoryForge:
    """The host with its book, the credentials of the one creator, and the environments that were made."""

    book: ForgeBook = field(default_factory=lambda: ForgeBook("github", "hub.test", "token-1234567"))
    credential: str = "token-1234567"
    """What the creator has set; empty: nothing."""
    made: dict[str, NewEnvironment] = field(default_factory=dict[str, NewEnvironment])
    calls: list[str] = field(default_factory=list[str])
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def forges(self) -> CodeHosts:
        """Return the real client of code hosts, on this one."""
        return CodeHosts(self, _permitted, {})

    def set(self, credential: str) -> None:
        """Set the creator's credential."""
        self.credential = credential
        self._news.set()

    async def arrives(self, subject: str, host: str, refused: str) -> None:
        """Return when there is another credential than the one that was refused."""
        while self.credential in ("", refused):
            self._news.clear()
            await self._news.wait()

    async def missing(self, environment: str, host: str) -> Missing:
        """Return what the host waits for."""
        return Missing(host, SUBJECT, self.credential)

    async def known(self, environment: str, host: str) -> Known | None:
        """Return the creator's credential."""
        if not self.credential:
            return None
        at = HandClock().now()
        token = HostToken("token", "runner", host, SUBJECT, "user", "pat", (), "", at, at, None, "sealed")
        return Known(token, Login("x", self.credential))

    async def needed(self, environment: str, host: str, said: str) -> CredentialNeeded:
        """Return the refusal for want of a credential."""
        return CredentialNeeded(said, await self.missing(environment, host))

    async def call(
        self,
        environment: str,
        host: str,
        url: str,
        method: Literal["GET", "POST"] = "GET",
        body: Mapping[str, Any] | None = None,
    ) -> Said:
        """Answer one call."""
        self.calls.append(f"{method} {url}")
        path = url.partition("//")[2].partition("/")[2]
        status, said = self.book.answer(method, f"/{path}", f"Bearer {self.credential}", body)
        if status == 401:
            raise await self.needed(environment, host, f"not authenticated: {host} refused the credential")
        if method == "POST" and self.book.lost_answers:
            self.book.lost_answers -= 1
            raise ForgeUnknown(f"{host} was asked and the answer is not known")
        return Said(status, rows=tuple(said)) if isinstance(said, list) else Said(status, said)  # pyright: ignore[reportUnknownArgumentType]

    async def asked(self, class_name: str, repository: str, project: str, name: str, creator: str) -> NewEnvironment:
        """Return what is asked for."""
        if class_name not in ("", "Regular"):
            raise NotFound(f"there is no class {class_name!r}", field="environment_class")
        return NewEnvironment("class", RemoteRepository(repository) if repository else Scratch(), name=name)

    async def make(self, environment: str, new: NewEnvironment, execution: str) -> None:
        """Make an environment once."""
        self.made.setdefault(environment, new)


async def _permitted(environment: str, target: Target) -> None:
    """Permit every host."""
