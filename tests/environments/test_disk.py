"""What environments take of the disk is watched: who passes the limit is reported, however the bytes are hidden."""

import asyncio
from pathlib import Path

import pytest

from hostler.core.providers import EnvSpec, Handle, Limits
from hostler.environments.disk import AGAIN, DiskWatch, taken
from hostler.environments.folders import FolderProvider
from hostler.environments.local import local_provider
from hostler.testing.environments_suite import Work

pytestmark = pytest.mark.sandbox
MIB = 1 << 20
FILLS = {
    "many files": "for i in $(seq 12); do head -c 4194304 /dev/zero > f$i; done",
    "its home": "for i in $(seq 12); do head -c 4194304 /dev/zero > ~/f$i; done",
    "the supervisor's folder": "for i in $(seq 12); do head -c 4194304 /dev/zero > /run/hostler/state/f$i; done",
    "deep folders": "for i in $(seq 300); do mkdir deeper-and-deeper-$i && cd deeper-and-deeper-$i; done;"
    " for i in $(seq 12); do head -c 4194304 /dev/zero > f$i; done",
    "files without content": "mkdir many; seq -f many/%g 9000 | xargs touch",
    "files without a name": "for i in $(seq 12); do exec 9> gone$i; rm gone$i; head -c 4194304 /dev/zero >&9;"
    " sleep 1000 & done >/dev/null 2>&1",
    "mapped files without a name": 'setsid python3 -c "'
    "import mmap, os, time\n"
    "kept = []\n"
    "for i in range(12):\n"
    "    file = os.open('gone', os.O_RDWR | os.O_CREAT); os.unlink('gone'); os.truncate(file, 4 << 20)\n"
    "    kept.append(mmap.mmap(file, 4 << 20)); os.close(file); kept[-1].write(b'x' * (4 << 20))\n"
    "open('done', 'w'); time.sleep(1000)"
    '" >/dev/null 2>&1 & while [ ! -e done ]; do sleep 0.05; done',
}


@pytest.fixture
def provider(root: Path) -> FolderProvider:
    return local_provider(root)


async def filling(provider: FolderProvider, name: str = "full") -> Work:
    handle = await provider.create(EnvSpec(name, limits=Limits(disk_bytes=32 * MIB)))
    await provider.start(handle)
    return await Work.begin(provider.machine(handle))


async def reported(watch: DiskWatch) -> list[str]:
    """Return who is reported first; a file system tells what it has left a moment after it was written."""
    async with asyncio.timeout(90):
        while not (found := await watch.look()):
            pass
    return [one.environment for one in found]


@pytest.mark.parametrize("fill", FILLS)
async def test_who_passes_the_limit_is_reported(
    provider: FolderProvider, handle: Handle, root: Path, fill: str
) -> None:
    work = await filling(provider)
    watch = DiskWatch(root)
    assert await watch.look() == []
    await work.run(FILLS[fill])
    assert await reported(watch) == ["full"]


async def test_one_that_was_stopped_may_be_tidied_up_but_not_filled_further(
    provider: FolderProvider, handle: Handle, root: Path
) -> None:
    work = await filling(provider)
    watch = DiskWatch(root)
    await work.run(FILLS["many files"])
    assert await reported(watch) == ["full"]
    full = Handle(provider.name, "full")
    await provider.stop(full)
    assert await watch.look() == []
    await provider.start(full)
    work = await Work.begin(provider.machine(full))
    await work.run("rm f1")
    assert await watch.look() == []
    await work.run(f"for i in $(seq {AGAIN // (4 * MIB) + 4}); do head -c 4194304 /dev/zero > g$i; done", "more")
    assert await reported(watch) == ["full"]


async def test_a_folder_that_is_not_there_takes_nothing(provider: FolderProvider, handle: Handle, root: Path) -> None:
    await filling(provider)
    assert taken(root / "full" / "files") < 32 * MIB
    assert taken(root / "none") == 0
