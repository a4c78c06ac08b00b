"""The provider whose environments are folders on this machine; how each is walled in is another object's business."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol, TypeVar

from hostler.core.ambient import Ambient, SystemAmbient
from hostler.core.errors import EnvironmentError_, EnvironmentFailed, MachineLost
from hostler.core.machines import Machine
from hostler.core.providers import Channel, EnvSpec, Finding, Handle, NetworkPolicy, Observed, Preflight, Protection
from hostler.environments import launching, processes
from hostler.environments.channel import LeasedWay, UnixChannel
from hostler.environments.machine import SupervisorMachine
from hostler.environments.places import Launch, Place, Record, free_uid, place, places, remove

READY_SECONDS = 20.0
PATIENCE = 5.0
"""Seconds in which a running supervisor must answer; after that `start` replaces it."""

T = TypeVar("T")


class Walls(Protocol):
    """How an environment is closed off: which program runs its supervisor, under which uid, with which limits."""

    name: str
    uids: range | None
    """From which each environment gets one of its own; None: all have the server's."""

    async def preflight(self) -> Preflight:
        """Try whether it can be done here."""
        ...

    def furnish(self, place: Place, record: Record) -> None:
        """Write the files that the inside needs; repeated at every start."""
        ...

    def program(self, place: Place, record: Record, incarnation: str, listener: int) -> launching.Program:
        """Return what to execute; `listener` is the descriptor of the listening socket."""
        ...

    def protections(self, record: Record) -> tuple[Protection, ...]:
        """Say what holds, and by which means."""
        ...

    def clear(self, place: Place) -> None:
        """Take away what lies outside of the environment's folder, once nothing runs."""
        ...


class Ways(Protocol):
    """What leads out of environments: serves the sockets in an environment's folder while this server lives."""

    async def open(self, environment: str, folder: Path, uid: int, policy: NetworkPolicy) -> None:
        """Serve; may be repeated."""
        ...

    async def close(self, environment: str) -> None:
        """Serve no more."""
        ...


class FolderProvider:
    """A `Provider` on this machine; see the protocol for the promises."""

    def __init__(
        self,
        root: Path,
        walls: Walls,
        ways: Ways | None = None,
        *,
        patience: float = PATIENCE,
        ambient: Ambient | None = None,
    ) -> None:
        self.name = walls.name
        self._root = root.resolve()
        self._walls = walls
        self._ways = ways
        self._patience = patience
        self._ambient = ambient or SystemAmbient()
        self.before_creation: Callable[[EnvSpec], Awaitable[EnvSpec]] | None = None
        """Adds to what is asked for, before an environment is made."""
        self.lease_end: Callable[[], float] | None = None
        """Until when this process may ask for changes inside; None: for as long as it lives."""
        self._locks: dict[str, asyncio.Lock] = {}
        self._born: set[int] = set()

    async def preflight(self) -> Preflight:
        """Try what the walls need, and whether the environments' own uids can reach their folders."""
        closed = closed_parent(self._root) if self._walls.uids else None
        return Preflight("unusable", (_closed(closed),)) if closed else await self._walls.preflight()

    async def create(self, spec: EnvSpec) -> Handle:
        """Make the folders; other settings than before count from the next start on, but the uid stays."""
        where = place(self._root, spec.id)
        if self.before_creation and where.record() is None:
            spec = await self.before_creation(spec)

        def make() -> None:
            self._root.mkdir(parents=True, exist_ok=True)
            known = where.record()
            if known is None:
                uids = self._walls.uids
                if uids and (closed := closed_parent(self._root)):
                    raise EnvironmentFailed(f"{_closed(closed).problem} {_closed(closed).fix}")
                uid = free_uid(self._root, spec.id, uids) if uids else -1
                where.make(Record.of(spec, uid))
            else:
                # What the workspace borrows from stays as long as the environment, whatever is asked for later.
                changed = replace(Record.of(spec, known.uid), mirror=known.mirror)
                if known != changed and not launching.alive(where.launch()):
                    where.make(changed)

        async with self._locks.setdefault(" ", asyncio.Lock()):  # Choosing a uid is one at a time.
            await self._alone(spec.id, lambda: _in_thread(make))
        return Handle(self.name, spec.id)

    async def start(self, handle: Handle) -> None:
        """Return when the supervisor answers."""
        await self._alone(handle.environment, lambda: self._start(handle))

    async def stop(self, handle: Handle) -> None:
        """End every process; files stay."""
        await self._alone(handle.environment, lambda: self._stop(place(self._root, handle.environment)))

    async def delete(self, handle: Handle) -> None:
        """Leave nothing."""
        where = place(self._root, handle.environment)

        async def gone() -> None:
            await self._stop(where)
            await _in_thread(lambda: remove(where.folder))

        await self._alone(handle.environment, gone)
        self._locks.pop(handle.environment, None)

    async def observe(self, handle: Handle) -> Observed:
        """Say what is there."""
        where = place(self._root, handle.environment)
        record, launch = where.record(), where.launch()
        self._reap()
        if record is None:
            return Observed("absent")
        protections = self._walls.protections(record)
        if launch is None or not launching.alive(launch):
            return Observed("stopped", None, protections)
        return Observed("running", launch.incarnation, protections)

    async def list(self) -> AsyncIterator[Handle]:
        """Yield every environment that left a folder here."""
        for where in places(self._root):
            yield Handle(self.name, where.folder.name)

    async def connect(self, handle: Handle) -> Channel:
        """Open a stream to the supervisor."""
        try:
            return await UnixChannel.open(place(self._root, handle.environment).socket)
        except OSError as error:
            raise MachineLost("The environment does not run.") from error

    def machine(self, handle: Handle) -> Machine:
        """Return the machine inside."""
        if self.lease_end is None:
            return SupervisorMachine(lambda: self.connect(handle))
        return SupervisorMachine(LeasedWay(lambda: self.connect(handle), self.lease_end))

    async def _alone(self, environment: str, change: Callable[[], Awaitable[T]]) -> T:
        """Make one change at a time, each to its end, also when its caller is cancelled meanwhile."""

        async def locked() -> T:
            async with self._locks.setdefault(environment, asyncio.Lock()):
                return await change()

        return await asyncio.shield(asyncio.ensure_future(locked()))

    async def _start(self, handle: Handle) -> None:
        where = place(self._root, handle.environment)
        record = where.record()
        if record is None:
            raise EnvironmentFailed("The environment was never made, or is deleted.")
        await _in_thread(lambda: self._walls.furnish(where, record))
        if self._ways:
            await self._ways.open(record.id, where.net, record.uid, record.network)
        launch = where.launch()
        if launching.alive(launch) and await self._answers(handle, launch, self._patience):
            return
        await self._end(where)
        launch = await _in_thread(lambda: self._launch(where, record))
        if not await self._answers(handle, launch, READY_SECONDS):
            await self._end(where)
            raise EnvironmentFailed(f"The environment's supervisor did not start: {launching.said(where)}")

    def _launch(self, where: Place, record: Record) -> Launch:
        incarnation = self._ambient.new_id()
        with launching.listen(where) as listener:
            program = self._walls.program(where, record, incarnation, listener.fileno())
            return launching.launch(where, program, listener.fileno(), incarnation, self._born.add)

    async def _answers(self, handle: Handle, launch: Launch | None, seconds: float) -> bool:
        with contextlib.suppress(EnvironmentError_, TimeoutError):
            async with asyncio.timeout(seconds):
                return launch is not None and await self.machine(handle).ping() == launch.incarnation
        return False

    async def _stop(self, where: Place) -> None:
        await self._end(where)
        if self._ways:
            await self._ways.close(where.folder.name)

    async def _end(self, where: Place) -> None:
        """End what a launch left, complete or not; without a launch nothing can run."""
        launch = where.launch()
        if launch is None:
            return
        if launch.boot == processes.boot_id():
            await _in_thread(lambda: self._kill(where, launch))
        await _in_thread(lambda: self._walls.clear(where))
        where.write_launch(None)
        where.socket.unlink(missing_ok=True)

    def _kill(self, where: Place, launch: Launch) -> None:
        if launch.pid > 0:
            # The first process of a process namespace takes all others with it.
            processes.end(processes.Seen(launch.pid, launch.started))
        if not processes.end_labelled(where.folder):
            raise EnvironmentFailed("Some processes of the environment could not be ended.")
        self._reap()

    def _reap(self) -> None:
        for pid in list(self._born):
            try:
                ended, _ = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                ended = pid
            if ended:
                self._born.discard(pid)


def closed_parent(root: Path) -> Path | None:
    """Return the first folder on the way to the root that other users may not pass; None when all are open."""
    for folder in reversed((root, *root.parents)):
        if folder.exists() and not folder.stat().st_mode & 0o001:
            return folder
    return None


def _closed(folder: Path) -> Finding:
    fix = f"Choose a data folder elsewhere, such as /var/lib/hostler, or allow passing: chmod o+x {folder}"
    return Finding(f"Environments have user ids of their own, and {folder} lets nobody but its owner pass.", fix)


async def _in_thread(call: Callable[[], T]) -> T:
    return await asyncio.to_thread(call)
