"""Which executions this process runs: the rows it owns and is not running yet, found by nudges, watches and sweeps."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from structlog.contextvars import bind_contextvars, clear_contextvars

from hostler.core import events as ev
from hostler.core.ambient import Ambient
from hostler.core.errors import Fenced, HostlerError, NotFound, StaleFence
from hostler.core.lease import Lease
from hostler.core.plan import Session, failing
from hostler.core.ports import EVERYTHING, Dispatch, Executions, Position, Row
from hostler.core.state import State, fold
from hostler.engine.effects import Effects
from hostler.engine.slots import FairSlots, uncapped
from hostler.engine.worker import NAP, Tools, Worker, with_cut_text

log = structlog.get_logger(__name__)

MAX_CLAIMS = 5
"""Claims of an execution without progress; above it the execution is stopped."""
SWEEP = 5.0
"""Seconds between two looks at all rows of this runner."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this process is: its runner (machine and data folder) and the runner's incarnation.

    `predecessor` is the incarnation before, where there was one, and `alive_until` its last sign of life.
    """

    runner: str
    incarnation: str
    predecessor: str = ""
    alive_until: datetime | None = None

    def last_seen(self, owner: str, now: datetime) -> datetime | None:
        """Return when an owner was last known to be alive; None when only its log can say."""
        if owner == self.incarnation:
            return now
        return self.alive_until if owner and owner == self.predecessor else None


class Engine:
    """Keeps one worker for every execution of this runner that has something to do."""

    def __init__(
        self,
        identity: Identity,
        executions: Executions,
        effects: Effects,
        dispatch: Dispatch,
        ambient: Ambient,
        *,
        slots: int,
        settle: float,
        most: Callable[[str], int] = uncapped,
        worker: type[Worker] = Worker,
        lease: Lease | None = None,
    ) -> None:
        self._lease = lease
        self._worker = worker
        self._identity = identity
        self._executions = executions
        self._effects = effects
        self._dispatch = dispatch
        self._ambient = ambient
        self.session = Session(identity.incarnation, settle)
        self.slots = FairSlots(slots, most)
        self._tools = Tools(executions, effects, ambient, self.slots, self.session, self._purge, lease)
        self._workers: dict[str, Worker] = {}
        self._naps: dict[str, tuple[int, datetime]] = {}
        """Executions that wait by the clock alone: the last seq that their worker saw, and until when."""
        self._again: set[str] = set()
        self._failed: set[str] = set()
        self._slept: set[str] = set()
        """Executions that were let go because the lease had run out; no fault of theirs."""
        self._terms = 0
        """How often the lease had run out; what was read of a row before is not believed."""
        self._at_work: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    async def open(self) -> None:
        """Adopt what the last incarnation left, then follow nudges and commits."""
        await self._dispatch.start(self.look)
        await self.sweep()
        self._spawn(self._follow())
        self._spawn(self._sweeping())

    async def close(self) -> None:
        """Let go of everything where it stands; the next incarnation goes on from the log."""
        self._closing = True
        await self._dispatch.stop()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=3)

    async def let_go(self) -> None:
        """Let go of every execution, because the lease had run out; each is claimed anew before it goes on."""
        self._terms += 1
        tasks = dict(self._at_work)
        self._slept.update(tasks)
        for task in tasks.values():
            task.cancel()
        if tasks:
            log.warning("the lease had run out; executions are taken anew", executions=len(tasks))
            await asyncio.wait(tasks.values())

    def look(self, execution: str) -> None:
        """Look at an execution: its worker looks again, or gets to work if there is something to do."""
        if self._closing:
            return
        if worker := self._workers.get(execution):
            self._again.add(execution)
            worker.poke()
        else:
            self._spawn(self._consider(execution))

    def waits_for_slot(self, execution: str) -> bool:
        """Return whether its turn is queued behind others here."""
        worker = self._workers.get(execution)
        return worker is not None and worker.waits_for_slot

    def runs(self, execution: str) -> bool:
        """Return whether this process works on it now."""
        return execution in self._workers

    async def takes_up(self, execution: str) -> bool:
        """Return whether a turn of this runner runs, so that it has a worker here soon, if it has none yet."""
        row = await self._executions.row(execution)
        return row is not None and row.runner == self._identity.runner and row.phase == "RUNNING"

    def worker_of(self, execution: str) -> Worker | None:
        """Return the worker of an execution that this process works on now."""
        return self._workers.get(execution)

    def works(self, execution: str) -> bool:
        """Return whether something of it runs in its environment; what only keeps its work, or lingers, gives way."""
        worker = self._workers.get(execution)
        if worker is None:
            return False
        rebuilds = any(one.kind == "devcontainer_rebuild" for one in worker.state.interests.open)
        return rebuilds or worker.state.killing or worker.state.phase not in ("WAITING_FOR_INPUT", "STOPPED")

    def busy(self) -> bool:
        """Return whether this process works on anything, or will when the time has come."""
        return bool(self._workers or self._naps)

    async def sweep(self) -> None:
        """Look at every row of this runner that has something to do now, or soon."""
        rows = await self._executions.busy(self._identity.runner)
        self._naps = {row.id: self._naps[row.id] for row in rows if row.id in self._naps}
        for row in rows:
            if row.id not in self._workers and not self._naps_on(row):
                self.look(row.id)

    def _naps_on(self, row: Row) -> bool:
        """Return whether nothing has happened to an execution since its worker left it to the clock, and will soon."""
        seq, until = self._naps.get(row.id, (0, self._ambient.now()))
        return seq == row.last_seq and (until - self._ambient.now()).total_seconds() > NAP

    async def _sweeping(self) -> None:
        while True:
            await asyncio.sleep(SWEEP)
            with contextlib.suppress(HostlerError):
                await self.sweep()

    async def _follow(self) -> None:
        async with self._executions.watch() as watch:
            while True:
                changed = await watch.changed(SWEEP)
                for execution in set(self._workers) if EVERYTHING in changed else changed:
                    worker = self._workers.get(execution)
                    if worker is not None and self._executions.head(execution) != worker.state.seq:
                        self.look(execution)
                if EVERYTHING in changed:
                    with contextlib.suppress(HostlerError):
                        await self.sweep()

    async def _consider(self, execution: str) -> None:
        """Run a row's worker until it has nothing to do, then look once more if somebody asked meanwhile."""
        clear_contextvars()
        bind_contextvars(execution=execution, runner=self._identity.runner)
        if execution in self._workers or (self._lease is not None and not self._lease.held):
            return
        term = self._terms
        try:
            row = await self._executions.row(execution)
        except HostlerError as problem:  # The next sweep looks again.
            log.warning("an execution could not be looked at", execution=execution, problem=str(problem))
            return
        if term != self._terms:
            self.look(execution)
            return
        if row is None or not row.busy or row.runner != self._identity.runner or execution in self._workers:
            return
        worker = self._worker(execution, row.position, self._tools)
        self._workers[execution] = worker
        task = asyncio.current_task()
        assert task is not None, "workers run in tasks"
        self._at_work[execution] = task
        self._naps.pop(execution, None)
        failed = False
        try:
            await self._run(worker, row)
        except (StaleFence, Fenced, NotFound):
            log.debug("another owner has the execution", execution=execution)
        except HostlerError as problem:
            failed = True
            log.warning("an execution will be tried again", execution=execution, problem=str(problem))
        except Exception:
            failed = True
            log.exception("a worker failed; its execution will be tried again", execution=execution)
        finally:
            (self._failed.add if failed else self._failed.discard)(execution)
            del self._workers[execution], self._at_work[execution]
            if worker.naps_until and not failed:
                self._naps[execution] = (worker.state.seq, worker.naps_until)
            again = execution in self._again
            self._again.discard(execution)
        if again and not failed:
            self.look(execution)

    async def _run(self, worker: Worker, row: Row) -> None:
        """Claim what another incarnation owned, or what failed here before, and go on with it."""
        owned = row.owner == self._identity.incarnation
        slept = row.id in self._slept
        self._slept.discard(row.id)
        if owned and row.attempts == 0 and row.id not in self._failed and not slept:
            await worker.run()
            return
        position = await self._executions.claim(row.id, row.fence, self._identity.incarnation)
        if position is None:
            self._again.add(row.id)
            self._slept.update([row.id] if slept else [])
            return
        waits = row.phase == "PENDING" and row.view.get("hostler", {}).get("needsCredential")
        if row.attempts >= MAX_CLAIMS and row.phase in ("PENDING", "RUNNING") and not waits:
            await self._give_up(row.id, position)
            return
        worker.move(position)
        await worker.run(self._adopted, inherited=not owned, blameless=slept)

    def _adopted(self, state: State) -> ev.TurnAdopted:
        """Return what is said when a turn gets a new owner: the last one is who said so in the log."""
        return ev.TurnAdopted(self._identity.incarnation, self._identity.last_seen(state.session, self._ambient.now()))

    async def _give_up(self, execution: str, position: Position) -> None:
        state = fold(await self._executions.read(execution))
        text = (
            f"Hostler has begun this turn {MAX_CLAIMS + 1} times without any progress and gives it up; its log and "
            "the server's log say where it stood. Send an input to try again."
        )
        self._effects.live.restore(execution)
        decisions = with_cut_text(failing(state, "service", text), self._effects.live.open_blocks(execution), state)
        at = Position(position.fence, state.seq)
        await self._executions.append(
            execution, at, self._ambient.now(), decisions=decisions, new_fence=True, progress=True
        )
        self._effects.live.end(execution)
        self._again.add(execution)

    async def _purge(self, execution: str, state: State) -> None:
        environment = state.environment
        if environment.id:
            await self._effects.places.release(environment.id, execution, owned=environment.owned)
        await self._effects.places.forget_work(execution)
        self._effects.live.end(execution)
        if self._effects.servers is not None:
            await self._effects.servers.close(execution)
        await self._effects.blobs.purge(execution)
        await self._executions.purge(execution)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
