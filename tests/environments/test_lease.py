"""What an owner asks of a supervisor after his lease begins nothing, and may be asked for again in a later one."""

import time
from pathlib import Path

import pytest

from hostler.core.errors import Fenced
from hostler.core.machines import Command, Operation
from hostler.core.providers import Handle
from hostler.environments.folders import FolderProvider
from hostler.environments.local import local_provider

COUNT = Command(("sh", "-c", "echo ran >> counter"), timeout=20)


@pytest.fixture
def provider(root: Path) -> FolderProvider:
    return local_provider(root)


@pytest.mark.sandbox
async def test_a_command_that_arrives_after_the_lease_is_refused_and_runs_once_in_the_next(
    provider: FolderProvider, handle: Handle
) -> None:
    end = time.clock_gettime(time.CLOCK_BOOTTIME) + 60
    provider.lease_end = lambda: end
    machine = provider.machine(handle)
    incarnation = await machine.register("execution", 1)
    operation = Operation("execution", 1, "count")
    end = time.clock_gettime(time.CLOCK_BOOTTIME)
    with pytest.raises(Fenced, match="lease"):
        await machine.exec(operation, COUNT, incarnation=incarnation)
    with pytest.raises(Fenced, match="lease"):
        await machine.write(operation, "file", b"late", incarnation=incarnation)
    assert {one.name for one in await machine.list()}.isdisjoint({"counter", "file"})
    end += 60
    for _ in range(2):
        await machine.exec(operation, COUNT, incarnation=incarnation)
    assert (await machine.read("counter")).data == b"ran\n"
