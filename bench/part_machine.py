"""What the sandbox costs: making one, and running a program in it."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import uvloop
from tests.server import short_folder

from bench import bare
from bench.figures import Figure, in_turns
from hostler.core.machines import Command, Exited, Operation
from hostler.core.providers import EnvSpec, Handle
from hostler.environments.folders import FolderProvider
from hostler.environments.local import find_bwrap, local_provider

BARE_SANDBOX = ["--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "true"]
Timed = Callable[[], Awaitable[object]]


async def timed(work: Awaitable[object]) -> float:
    since = time.perf_counter()
    await work
    return (time.perf_counter() - since) * 1000


class Places:
    """Environments that are made for measuring, and removed again between two measurements."""

    def __init__(self, root: Path) -> None:
        self.provider: FolderProvider = local_provider(root / "environments")
        self._numbers = itertools.count(1)
        self._last: Handle | None = None

    async def fresh(self) -> float:
        """Return how long it takes until a new environment answers; the one before is removed first."""
        if self._last:
            await self.provider.delete(self._last)
        return await timed(self._make())

    async def _make(self) -> None:
        self._last = await self.provider.create(EnvSpec(id=f"bench-{next(self._numbers)}"))
        await self.provider.start(self._last)

    async def standing(self) -> Callable[[], Awaitable[float]]:
        """Return what runs `true` in an environment that stands."""
        handle = await self.provider.create(EnvSpec(id="standing"))
        await self.provider.start(handle)
        machine = self.provider.machine(handle)
        incarnation = await machine.register("bench", 1)

        async def run() -> float:
            operation = Operation("bench", 1, f"op-{next(self._numbers)}")
            since = time.perf_counter()
            result = await machine.exec(operation, Command(("true",)), incarnation=incarnation)
            took = (time.perf_counter() - since) * 1000
            assert result.outcome == Exited(0)
            return took

        return run

    async def close(self) -> None:
        async for handle in self.provider.list():
            await self.provider.delete(handle)


def measure() -> Iterator[Figure]:
    bwrap = str(find_bwrap())
    with short_folder() as folder, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        places = Places(folder)
        run = runner.run(places.standing())
        try:
            executed = in_turns(
                40,
                {
                    "ours": lambda: runner.run(run()),
                    "plain": lambda: runner.run(timed(bare.command("true"))),
                    "bwrap": lambda: runner.run(timed(bare.command(bwrap, *BARE_SANDBOX))),
                },
            )
            made = in_turns(
                8,
                {
                    "ours": lambda: runner.run(places.fresh()),
                    "bwrap": lambda: runner.run(timed(bare.command(bwrap, *BARE_SANDBOX))),
                },
            )
        finally:
            runner.run(places.close())
    ours = "`true` in an environment that stands"
    yield Figure("machine", ours, "ms", executed["ours"], executed["plain"], "`true` as a subprocess")
    yield Figure("machine", ours, "ms", executed["ours"], executed["bwrap"], "`true` in a bubblewrap of its own")
    new = "a new environment, until it answers"
    yield Figure("machine", new, "ms", made["ours"], made["bwrap"], "`true` in a bubblewrap of its own")
