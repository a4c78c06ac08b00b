"""Sign-ins, links and shares in memory, for the API's tests."""

from dataclasses import replace
from datetime import datetime

from hostler.core.admission import Link, Share, SignIn
from hostler.core.outside import Attempt
from hostler.core.ports import ApiToken, Executions
from hostler.testing.desk import MemoryTokens


class MemorySignIns:
    """Sign-ins and links in memory; they go with their API token."""

    def __init__(self, tokens: MemoryTokens) -> None:
        self._tokens = tokens
        self.kept: dict[str, SignIn] = {}
        self.links: dict[str, Link] = {}

    async def add(self, sign_in: SignIn) -> None:
        """Keep a sign-in."""
        self.kept[sign_in.sha256] = sign_in

    async def by_sha256(self, sha256: str) -> tuple[SignIn, ApiToken] | None:
        """Return a sign-in and its API token."""
        sign_in = self.kept.get(sha256)
        token = next((one for one in self._tokens.kept if sign_in and one.id == sign_in.token_id), None)
        return (sign_in, token) if sign_in and token else None

    async def used(self, sign_in: str, at: datetime) -> None:
        """Note when a sign-in was used."""
        self.kept = {key: replace(one, used_at=at) if one.id == sign_in else one for key, one in self.kept.items()}

    async def remove(self, sha256: str) -> bool:
        """Forget a sign-in."""
        return self.kept.pop(sha256, None) is not None

    async def add_link(self, link: Link, now: datetime) -> None:
        """Keep a link."""
        self.links[link.sha256] = link

    async def take_link(self, sha256: str) -> Link | None:
        """Return a link and forget it."""
        link = self.links.pop(sha256, None)
        return link if link and any(one.id == link.token_id for one in self._tokens.kept) else None


class MemoryShares:
    """Shares in memory; they go with their execution."""

    def __init__(self, executions: Executions) -> None:
        self._executions = executions
        self.kept: dict[str, Share] = {}

    async def add(self, share: Share) -> None:
        """Keep a share."""
        self.kept[share.id] = share

    async def by_sha256(self, sha256: str) -> Share | None:
        """Return the share with this hash, unless its execution is deleted."""
        share = next((one for one in self.kept.values() if one.sha256 == sha256), None)
        row = await self._executions.row(share.execution_id) if share else None
        return share if row and row.deleted_at is None else None

    async def find(self, execution: str) -> tuple[Share, ...]:
        """Return the shares of an execution, newest first."""
        mine = (one for one in self.kept.values() if one.execution_id == execution)
        return tuple(sorted(mine, key=lambda one: one.id, reverse=True))

    async def revoke(self, execution: str, share: str) -> bool:
        """Remove a share."""
        found = self.kept.get(share)
        return found is not None and found.execution_id == execution and self.kept.pop(share, None) is not None


class MemoryAttempts:
    """Those who are signing in elsewhere, in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, Attempt] = {}

    async def add(self, attempt: Attempt, now: datetime) -> None:
        """Keep one."""
        self.kept[attempt.sha256] = attempt

    async def take(self, sha256: str) -> Attempt | None:
        """Return one and forget it."""
        return self.kept.pop(sha256, None)
