import subprocess
import sys
from pathlib import Path

import pytest

from hostler.core.machines import Exited
from hostler.core.providers import EnvSpec, Handle
from hostler.environments.local import local_provider
from hostler.environments.plain import plain_provider
from hostler.testing.environments_suite import Work, text
from tests.environments import first_server


@pytest.mark.crash
@pytest.mark.parametrize("kind", [pytest.param("local", marks=pytest.mark.sandbox), "none"])
async def test_a_command_goes_on_while_the_server_is_dead_and_is_found_by_its_id(kind: str, root: Path) -> None:
    words = [sys.executable, "-m", first_server.__name__, kind, str(root)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as server:
        assert server.stdout is not None
        incarnation = server.stdout.readline().strip()
        server.kill()
    provider = {"local": local_provider, "none": plain_provider}[kind](root)
    handle = Handle(kind, "env")
    assert [found async for found in provider.list()] == [handle]
    assert (await provider.observe(handle)).incarnation == incarnation
    await provider.start(handle)
    work = await Work.begin(provider.machine(handle), fence=2)
    assert work.incarnation == incarnation
    again = await work.begin_run("never run", "long", "begun").ready()
    await work.machine.write(work.operation(), "go", b"", incarnation=incarnation)
    result = await again.result
    assert (result.outcome, text(result)) == (Exited(0), "begun\nonce\ndone\n")
    assert (await work.run("never run", "long")).replayed
    await provider.delete(handle)
    assert [folder.name for folder in root.iterdir() if not folder.name.startswith("supervisor-")] == []


@pytest.mark.crash
@pytest.mark.sandbox
async def test_what_a_killed_server_was_about_to_start_is_ended_by_its_label(root: Path) -> None:
    words = [sys.executable, "-m", first_server.__name__, "local", str(root)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as server:
        assert server.stdout is not None
        server.stdout.readline()
        server.kill()
    provider = local_provider(root)
    # As if it had died between starting the sandbox and writing down its pid.
    launch = root / "env" / "launch.json"
    boot = (Path("/proc/sys/kernel/random/boot_id")).read_text().strip()
    launch.write_text(f'{{"boot": "{boot}", "incarnation": "unknown"}}')
    handle = Handle("local", "env")
    assert (await provider.observe(handle)).state == "stopped"
    machine = provider.machine(handle)
    before = await machine.ping()
    await provider.start(handle)
    assert await machine.ping() != before
    await provider.delete(handle)


@pytest.mark.sandbox
async def test_a_recycled_pid_is_never_killed(root: Path) -> None:
    provider = local_provider(root)
    handle = await provider.create(EnvSpec("env"))
    await provider.start(handle)
    await provider.stop(handle)
    boot = (Path("/proc/sys/kernel/random/boot_id")).read_text().strip()
    with subprocess.Popen(["sleep", "1000"]) as bystander:
        (root / "env" / "launch.json").write_text(
            f'{{"boot": "{boot}", "incarnation": "old", "pid": {bystander.pid}, "started": 1}}'
        )
        await provider.delete(handle)
        assert bystander.poll() is None
        bystander.kill()
