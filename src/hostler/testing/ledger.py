"""A ledger in memory for tests of the gateway: it keeps what was recorded, in order, and can be told to refuse."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from hostler.core.conversation import Usage
from hostler.core.errors import HostlerError
from hostler.models.gateway.ledger import Call, Finish, Grant, NoLiveTurn


@dataclass(frozen=True, slots=True)
class Began:
    """A call began."""

    call: Call


@dataclass(frozen=True, slots=True)
class Finished:
    """A call ended with the provider's count."""

    call: Call
    usage: Usage
    finish: Finish


@dataclass(frozen=True, slots=True)
class WasCut:
    """A call ended without it."""

    call: Call
    estimate: Usage
    reason: str


Entry = Began | Finished | WasCut


@dataclass(slots=True)
class FakeLedger:
    """`grants` are the executions with a live turn; the failures are raised once each, `before` sees every entry."""

    grants: dict[str, Grant] = field(default_factory=dict[str, Grant])
    entries: list[Entry] = field(default_factory=list[Entry])
    failures: list[HostlerError] = field(default_factory=list[HostlerError])
    end_failures: list[HostlerError] = field(default_factory=list[HostlerError])
    before: Callable[[Entry], None] = lambda entry: None
    gate: asyncio.Event | None = None
    """Every end waits for it when it is given."""
    waited: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when an end comes to the gate."""
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def grant(self, execution: str) -> Grant:
        """Return the grant of a live turn."""
        if execution not in self.grants:
            raise NoLiveTurn
        return self.grants[execution]

    async def begin(self, grant: Grant, model: str, path: str) -> Call:
        """Record a beginning at the present fence."""
        if self.failures:
            raise self.failures.pop(0)
        if await self.grant(grant.execution) != grant:
            raise NoLiveTurn
        call = Call(f"call-{len(self.entries)}", grant.execution, grant.fence, model, path)
        await self._add(Began(call))
        return call

    async def finish(self, call: Call, usage: Usage, finish: Finish) -> None:
        """Record an end."""
        await self._end(Finished(call, usage, finish))

    async def cut(self, call: Call, estimate: Usage, reason: str) -> None:
        """Record an end without a count."""
        await self._end(WasCut(call, estimate, reason))

    async def until(self, condition: Callable[[list[Entry]], bool]) -> None:
        """Return when the condition holds of the entries."""
        async with self._changed:
            await self._changed.wait_for(lambda: condition(self.entries))

    async def _end(self, entry: Finished | WasCut) -> None:
        if self.gate:
            self.waited.set()
            await self.gate.wait()
        if self.end_failures:
            raise self.end_failures.pop(0)
        grant = self.grants.get(entry.call.execution)
        if grant is None or grant.fence != entry.call.fence:
            raise NoLiveTurn
        if not any(isinstance(one, Finished | WasCut) and one.call.id == entry.call.id for one in self.entries):
            await self._add(entry)

    async def _add(self, entry: Entry) -> None:
        self.before(entry)
        self.entries.append(entry)
        async with self._changed:
            self._changed.notify_all()
