# ruff: noqa: D102 a test's name is its sentence
"""What every dispatcher must do: inherit `DispatchSuite` in a test module that gives the fixture `station`.

One that carries nudges between processes inherits `SharedDispatchSuite`.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from datetime import timedelta

import pytest_asyncio

from hostler.core.ambient import SystemAmbient
from hostler.core.ports import Dispatch

AMBIENT = SystemAmbient()
PATIENCE = 30
SOON, LATER = timedelta(milliseconds=300), timedelta(days=1)
HERE, THERE = "runner-here", "runner-there"
MANY = 50

Maker = Callable[[str], Dispatch]
"""Returns the dispatcher of a new process of a runner."""


@dataclass(slots=True)
class Desk:
    """A process as its dispatcher sees it: it notes what it is told to look at."""

    dispatch: Dispatch
    told: list[str] = field(default_factory=list[str])
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])

    def look(self, execution: str) -> None:
        """Note an execution."""
        self.told.append(execution)
        task = asyncio.create_task(self._tell())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def until(self, *executions: str) -> None:
        """Return when it was told of all of these."""
        async with asyncio.timeout(PATIENCE), self._changed:
            await self._changed.wait_for(lambda: set(executions) <= set(self.told))

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


class Station:
    """Makes processes, and stops those that still run in the end."""

    def __init__(self, maker: Maker) -> None:
        self._maker = maker
        self._running: list[Desk] = []

    async def started(self, runner: str = HERE) -> Desk:
        """Return a process whose dispatcher delivers."""
        desk = self.idle(runner)
        self._running.append(desk)
        await desk.dispatch.start(desk.look)
        return desk

    def idle(self, runner: str = HERE) -> Desk:
        """Return a process whose dispatcher was not started."""
        return Desk(self._maker(runner))

    async def stopped(self, desk: Desk) -> None:
        """Stop a process."""
        self._running.remove(desk)
        await desk.dispatch.stop()

    async def close(self) -> None:
        """Stop all."""
        for desk in list(self._running):
            await self.stopped(desk)


class DispatchSuite:
    """The promises of `Dispatch`."""

    @pytest_asyncio.fixture
    async def station(self, maker: Maker) -> AsyncGenerator[Station]:
        station = Station(maker)
        yield station
        await station.close()

    async def test_a_nudge_is_delivered(self, station: Station) -> None:
        desk = await station.started()
        await desk.dispatch.nudge("a", HERE)
        await desk.until("a")

    async def test_a_nudge_for_a_time_is_delivered_then_and_not_before(self, station: Station) -> None:
        desk = await station.started()
        at = AMBIENT.now() + SOON
        await desk.dispatch.nudge("later", HERE, at)
        await desk.dispatch.nudge("now", HERE)
        await desk.until("now")
        assert AMBIENT.now() >= at or "later" not in desk.told
        await desk.until("later")
        assert AMBIENT.now() >= at - timedelta(milliseconds=50)

    async def test_a_time_that_is_over_means_now(self, station: Station) -> None:
        desk = await station.started()
        await desk.dispatch.nudge("a", HERE, AMBIENT.now() - LATER)
        await desk.until("a")

    async def test_a_nudge_that_was_delivered_does_not_keep_the_next_one_away(self, station: Station) -> None:
        desk = await station.started()
        for _ in range(3):
            await desk.dispatch.nudge("a", HERE)
            await desk.until("a")
            desk.told.clear()

    async def test_many_nudges_at_once_all_arrive(self, station: Station) -> None:
        desk, names = await station.started(), [f"e{n}" for n in range(MANY)]
        await asyncio.gather(*(desk.dispatch.nudge(name, HERE) for name in names for _ in range(2)))
        await desk.until(*names)

    async def test_a_nudge_before_the_start_may_be_lost_and_harms_nobody(self, station: Station) -> None:
        await station.idle().dispatch.nudge("early", HERE)
        desk = await station.started()
        await desk.dispatch.nudge("a", HERE)
        await desk.until("a")

    async def test_after_a_stop_nothing_is_delivered_and_a_nudge_harms_nobody(self, station: Station) -> None:
        desk = await station.started()
        await desk.dispatch.nudge("soon", HERE, AMBIENT.now() + SOON)
        await desk.dispatch.nudge("far", HERE, AMBIENT.now() + LATER)
        await station.stopped(desk)
        before = list(desk.told)
        await desk.dispatch.nudge("late", HERE)
        other = await station.started()
        await other.dispatch.nudge("a", HERE, AMBIENT.now() + 2 * SOON)
        await other.until("a")
        assert desk.told == before

    async def test_a_stop_without_a_start_and_a_second_one_do_nothing(self, station: Station) -> None:
        await station.idle().dispatch.stop()
        desk = await station.started()
        await station.stopped(desk)
        await desk.dispatch.stop()


class SharedDispatchSuite(DispatchSuite):
    """What holds besides where there are several processes."""

    async def test_a_nudge_goes_to_its_runner_and_nobody_else(self, station: Station) -> None:
        here, there = await station.started(), await station.started(THERE)
        for name in ("a", "b"):
            await here.dispatch.nudge(name, THERE)
        await there.until("a", "b")
        await there.dispatch.nudge("c", HERE)
        await here.until("c")
        assert (here.told, sorted(set(there.told))) == (["c"], ["a", "b"])

    async def test_many_nudges_to_another_runner_all_arrive(self, station: Station) -> None:
        here, there = await station.started(), await station.started(THERE)
        names = [f"e{n}" for n in range(MANY)]
        await asyncio.gather(*(here.dispatch.nudge(name, THERE) for name in names for _ in range(2)))
        await there.until(*names)

    async def test_a_nudge_for_a_time_reaches_another_runner_then(self, station: Station) -> None:
        here, there = await station.started(), await station.started(THERE)
        at = AMBIENT.now() + SOON
        await here.dispatch.nudge("later", THERE, at)
        await there.until("later")
        assert AMBIENT.now() >= at - timedelta(milliseconds=50)

    async def test_a_nudge_to_a_runner_that_is_away_waits_for_it(self, station: Station) -> None:
        here = await station.started()
        await here.dispatch.nudge("a", THERE)
        await here.dispatch.nudge("b", THERE, AMBIENT.now() + SOON)
        await station.stopped(here)
        there = await station.started(THERE)
        await there.until("a", "b")

    async def test_what_waits_for_its_time_or_for_somebody_gone_keeps_nothing_back(self, station: Station) -> None:
        here, there = await station.started(), await station.started(THERE)
        await here.dispatch.nudge("a", THERE, AMBIENT.now() + LATER)
        await here.dispatch.nudge("a", "runner-gone")
        await here.dispatch.nudge("a", THERE)
        await there.until("a")

    async def test_what_waited_when_a_process_stopped_is_delivered_to_the_next_one(self, station: Station) -> None:
        here, there = await station.started(), await station.started(THERE)
        await here.dispatch.nudge("a", THERE, AMBIENT.now() + SOON)
        await station.stopped(here)
        await station.stopped(there)
        again = await station.started(THERE)
        await again.until("a")
