"""Calls under way: who may cut them, and the one end that each gets in the log."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog

from hostler.core.ambient import Ambient
from hostler.core.conversation import Usage
from hostler.core.errors import HostlerError, StaleFence
from hostler.models.gateway.ledger import Call, Ledger, NoLiveTurn
from hostler.models.gateway.meters import Meter

log = structlog.get_logger(__name__)
PAUSES = (0.2, 0.5, 1.0, 3.0)
"""Seconds between the tries to record an end that the database did not take."""
UNCOUNTED = "the provider did not say what the call used"


class Unrecorded(Exception):
    """The end of a call is not in the log by our doing, so the answer gets none either."""


@dataclass(slots=True)
class Flight:
    """One call that was begun; `sent` guesses how many tokens it sent."""

    call: Call
    meter: Meter
    sent: Callable[[], int]
    ledger: Ledger
    ambient: Ambient
    _end: asyncio.Future[None] | None = None

    @property
    def ended(self) -> bool:
        """Say whether its end is recorded, or being recorded."""
        return self._end is not None

    def estimate(self) -> Usage:
        """Return what it has used so far, as far as that is known."""
        return self.meter.estimate(self.sent())

    async def finish(self) -> None:
        """Record the end of a call that came to its end; raises Unrecorded when somebody else did."""
        meter = self.meter
        if meter.failure:
            await self.cut(f"the provider failed: {meter.failure}")
        elif (usage := meter.usage) is None:
            await self.cut(UNCOUNTED)
        else:
            await self._once(lambda: self.ledger.finish(self.call, usage, meter.finish))

    async def cut(self, reason: str, estimate: Usage | None = None) -> None:
        """Record the end of a call that was cut; without an estimate, by what has passed."""
        used = self.estimate() if estimate is None else estimate
        await self._once(lambda: self.ledger.cut(self.call, used, reason))

    async def _once(self, record: Callable[[], Awaitable[None]]) -> None:
        """Record, also when whoever asked is cancelled meanwhile: what was begun must end."""
        if self._end is None:
            self._end = asyncio.ensure_future(self._record(record))
            await asyncio.shield(self._end)
        else:
            await asyncio.wait({self._end})

    async def _record(self, record: Callable[[], Awaitable[None]]) -> None:
        for pause in (*PAUSES, None):
            try:
                return await record()
            except (NoLiveTurn, StaleFence) as problem:
                raise Unrecorded(problem.message) from problem
            except HostlerError as problem:
                log.warning("the end of a model call was not recorded", call=self.call.id, problem=problem.message)
                if pause is None:
                    raise Unrecorded(problem.message) from problem
                await self.ambient.until(self.ambient.now() + timedelta(seconds=pause))


@dataclass(slots=True)
class Carried:
    """One request on its way; `flight` is its call once that was begun, `why` the reason when it is cut."""

    flight: Flight | None = None
    why: str = "the connection was closed"
    task: asyncio.Task[None] | None = None

    def cut(self, why: str) -> None:
        """Cut it, without waiting for its end."""
        self.why = why
        if self.task:
            self.task.cancel()


class Flights:
    """The requests on their way of every execution."""

    def __init__(self) -> None:
        self._carried: dict[str, list[Carried]] = {}

    async def carry(self, execution: str, work: Callable[[Carried], Awaitable[None]], left: Awaitable[str]) -> None:
        """Do the work until it ends, is cut, or `left` says why nobody wants it any more."""
        carried = Carried()

        async def worked() -> None:
            await work(carried)

        task, leaving = asyncio.create_task(worked()), asyncio.ensure_future(left)
        carried.task = task
        of_execution = self._carried.setdefault(execution, [])
        of_execution.append(carried)
        try:
            await asyncio.wait({task, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                carried.cut(leaving.result())
        finally:
            leaving.cancel()
            task.cancel()
            await asyncio.wait({task, leaving})
            of_execution.remove(carried)
            if not of_execution:
                self._carried.pop(execution, None)
        if task.cancelled():
            raise ConnectionError("the call was cut")
        task.result()

    def estimates(self, execution: str) -> dict[str, Usage]:
        """Return what the calls under way have used so far, as far as it is known, by call."""
        flights = (carried.flight for carried in self._carried.get(execution, ()))
        return {flight.call.id: flight.estimate() for flight in flights if flight}

    def cut_now(self, execution: str, why: str) -> list[asyncio.Task[None]]:
        """Cut every call of an execution; return what is to be awaited for their ends."""
        carried = list(self._carried.get(execution, ()))
        for one in carried:
            one.cut(why)
        return [one.task for one in carried if one.task]

    async def cut(self, execution: str, why: str) -> None:
        """Cut every call of an execution and return when all have ended."""
        if tasks := self.cut_now(execution, why):
            await asyncio.wait(tasks)

    async def close(self) -> None:
        """Cut every call there is."""
        await asyncio.gather(*(self.cut(execution, "the server stops") for execution in list(self._carried)))
