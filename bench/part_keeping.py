"""What keeping work costs a turn, and what mirrors and kept setups save: each against the same thing without."""

import asyncio
import itertools
import subprocess
import time
from collections.abc import Awaitable, Iterator
from pathlib import Path

import uvloop
from tests.environments.git_server import git, serving
from tests.server import short_folder

from bench.figures import Figure, in_turns, series
from hostler.core.machines import Command, Exited, Machine, Operation
from hostler.core.providers import EnvSpec, NetworkPolicy, RemoteRepository
from hostler.environments.keeping import KeptWork
from hostler.environments.overlays import Overlays, Site
from hostler.environments.registry import Outside

SMALL, MID = (30, 1, 2_000), (2_000, 60, 8_000)
"""Files, commits, bytes of each file."""
INSTALL = "python3 -m venv .venv && echo '.venv' > .git/info/exclude"
KEY = "0" * 64


def repository(folder: Path, files: int, commits: int, size: int) -> Path:
    """Make a repository with a history that changes some files again and again."""
    folder.mkdir()
    git(folder, "init", "-q")
    for number in range(files):
        place = folder / f"part{number % 40}"
        place.mkdir(exist_ok=True)
        line = f"def function_{number}(value): return value * {number}\n"
        (place / f"file{number}.py").write_text(line * (size // len(line)))
    for commit in range(commits):
        for number in range(0, files, 1 + files // 20):
            with (folder / f"part{number % 40}" / f"file{number}.py").open("a") as file:
                file.write(f"# change {commit}\n")
        git(folder, "add", ".")
        git(folder, "commit", "-qm", f"commit {commit}")
    return folder


class Places:
    """Environments that clone from a server of this machine, with mirrors or without."""

    def __init__(self, root: Path, port: int, mirror_bytes: int) -> None:
        (root / "environments").mkdir(parents=True)
        for folder in (root, root / "environments"):
            folder.chmod(0o711)
        self.outside = Outside("bubblewrap", root / "environments", {}, mirror_bytes=mirror_bytes)
        self._policy = NetworkPolicy((f"127.0.0.1:{port}",), (f"127.0.0.1:{port}",))
        self._port = port
        self._numbers = itertools.count(1)

    async def clone(self, name: str, *, whole: bool = False) -> float:
        """Return how long it takes to bring a repository into a new environment, in ms."""
        machine, spec = await self.started(name, whole=whole)
        since = time.perf_counter()
        await self.outside.bring(machine, spec, 0)
        took = (time.perf_counter() - since) * 1000
        await self.outside.mirrors.settled()
        return took

    async def started(self, name: str, *, whole: bool = False) -> tuple[Machine, EnvSpec]:
        """Return a new environment that is to hold a repository."""
        source = RemoteRepository(f"http://127.0.0.1:{self._port}/{name}/.git", shallow=not whole)
        spec = EnvSpec(f"env-{next(self._numbers)}", network=self._policy, source=source)
        handle = await self.outside.provider.create(spec)
        await self.outside.provider.start(handle)
        return self.outside.machine(handle), spec

    async def close(self) -> None:
        handles = [handle async for handle in self.outside.provider.list()]
        await asyncio.gather(*map(self.outside.provider.delete, handles))
        await self.outside.close()


class Turns:
    """The end of turns in one workspace."""

    def __init__(self, machine: Machine, incarnation: str, base: str, kept: KeptWork) -> None:
        self._machine = machine
        self._incarnation = incarnation
        self._base = base
        self._kept = kept
        self._numbers = itertools.count(1)

    async def run(self, line: str) -> float:
        """Run a command and return how long it took, in ms."""
        operation = Operation("bench", 1, f"op-{next(self._numbers)}")
        since = time.perf_counter()
        result = await self._machine.exec(
            operation, Command(("/bin/sh", "-c", line), timeout=300.0), incarnation=self._incarnation
        )
        assert result.outcome == Exited(0), result
        return (time.perf_counter() - since) * 1000

    async def keep(self, change: str) -> float:
        """Return what keeping takes after a change, in ms."""
        await self.run(change)
        since = time.perf_counter()
        await self._kept.keep(self._machine, "bench", next(self._numbers), self._base, self._base, {})
        return (time.perf_counter() - since) * 1000


async def turns(places: Places, name: str, root: Path) -> Turns:
    machine, spec = await places.started(name)
    workspace = await places.outside.bring(machine, spec, 0)
    incarnation = await machine.register("bench", 1)
    return Turns(machine, incarnation, str(workspace.base), KeptWork(root / "kept" / name, 256 << 20))


async def set_up(places: Places, overlays: Overlays) -> tuple[float, float, float]:
    """Return how long a setup takes, keeping it, and bringing it back elsewhere, in ms."""
    took: list[float] = []
    for again in (False, True):
        machine, spec = await places.started("small")
        await places.outside.bring(machine, spec, 0)
        incarnation = await machine.register("bench", 1)
        site = Site(machine, Operation("bench", 1, "overlay"), incarnation)
        if not again:
            took.append(await Turns(machine, incarnation, "", KeptWork(Path(), 1)).run(INSTALL))
            took.append(await _timed(overlays.keep(KEY, site)))
        else:
            took.append(await _timed(overlays.restore(KEY, site)))
    ran, kept, restored = took
    return ran, kept, restored


async def _timed(work: Awaitable[object]) -> float:
    since = time.perf_counter()
    await work
    return (time.perf_counter() - since) * 1000


def measure() -> Iterator[Figure]:
    with short_folder() as folder, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for name, shape in (("small", SMALL), ("mid", MID)):
            made = repository(folder / name, *shape)
            subprocess.run(["git", "-C", str(made), "repack", "-adq"], check=True)
        with serving(folder, smart=True) as port:
            plain = Places(folder / "without", port, 0)
            mirrored = Places(folder / "with", port, 4 << 30)
            try:
                runner.run(mirrored.clone("mid"))
                yield from _clones(runner, plain, mirrored)
                yield from _turns(runner, plain, folder)
                yield from _setups(runner, plain, folder)
            finally:
                runner.run(plain.close())
                runner.run(mirrored.close())


def _clones(runner: asyncio.Runner, plain: Places, mirrored: Places) -> Iterator[Figure]:
    found = in_turns(
        5,
        {
            "mirror": lambda: runner.run(mirrored.clone("mid")),
            "shallow": lambda: runner.run(plain.clone("mid")),
            "whole": lambda: runner.run(plain.clone("mid", whole=True)),
        },
    )
    ours = "a clone of 2,000 files and 60 commits, history and all, with a mirror"
    yield Figure("keeping", ours, "ms", found["mirror"], found["whole"], "the same without")
    yield Figure("keeping", ours, "ms", found["mirror"], found["shallow"], "without, the last commit only")


def _turns(runner: asyncio.Runner, plain: Places, folder: Path) -> Iterator[Figure]:
    for name, said, target in (("small", "30 files", "30 ms"), ("mid", "2,000 files", "")):
        work = runner.run(turns(plain, name, folder))
        runner.run(work.keep("true"))
        found = in_turns(
            15,
            {
                "changed": lambda work=work: runner.run(work.keep("date +%N >> part0/file0.py")),
                "unchanged": lambda work=work: runner.run(work.keep("true")),
                "exec": lambda work=work: runner.run(work.run("true")),
            },
        )
        what = f"keeping a turn's work outside, a repository of {said}"
        for way, told in (("changed", "one file changed"), ("unchanged", "nothing changed")):
            against = "`true` in the environment"
            yield Figure("keeping", f"{what}, {told}", "ms", found[way], found["exec"], against, target)


def _setups(runner: asyncio.Runner, plain: Places, folder: Path) -> Iterator[Figure]:
    took = [runner.run(set_up(plain, Overlays(folder / f"overlays{number}", 4 << 30))) for number in range(3)]
    ran, kept, restored = (series(values) for values in zip(*took, strict=True))
    against = f"running it: {INSTALL.partition(' &&')[0]}"
    yield Figure("keeping", "a setup that is brought back", "ms", restored, ran, against)
    yield Figure("keeping", "a setup that is kept for the next environment", "ms", kept, ran, against)
