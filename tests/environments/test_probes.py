"""From inside an environment: what is attacked is held as far as the environment reports it, and no report says more.

Each attack also runs without a sandbox, where it must succeed: that shows that the attack is one. docs/security.md
names the test of each probe.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hostler.core.errors import EnvironmentError_
from hostler.core.machines import Command, Exited, FileProblem
from hostler.core.providers import EnvSpec, Handle, Limits, NetworkPolicy, Protection
from hostler.environments import processes
from hostler.environments.disk import DiskWatch
from hostler.environments.egress import Egress
from hostler.environments.folders import FolderProvider
from hostler.environments.local import local_provider
from hostler.environments.plain import plain_provider
from hostler.testing.environments_suite import Work, text
from tests.environments.attacks import ATTACKS, HEAD

MARK = "a-key-that-stays-outside"
MIB = 1 << 20
PRIVILEGED = ("mount", "ptrace", "new namespaces", "the metadata address")
"""What also fails without a sandbox where the tests themselves may not do it."""


@dataclass
class Outside:
    """What is there to be reached, and the provider under attack."""

    provider: FolderProvider
    targets: dict[str, Any]

    async def attacker(self, limits: Limits | None = None) -> Work:
        network = NetworkPolicy(open=True)
        handle = await self.provider.create(EnvSpec("attacker", limits=limits or Limits(), network=network))
        await self.provider.start(handle)
        return await Work.begin(self.provider.machine(handle))

    async def held(self, limit: str) -> Protection:
        report = await self.provider.observe(Handle(self.provider.name, "attacker"))
        return next(one for one in report.protections if one.limit == limit)


@pytest.fixture
def planted(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Files, a process, sockets and a variable of this process, all marked."""
    monkeypatch.setenv("HOSTLER_TEST_KEY", MARK)
    for name in ("server.secret", "hostler.db"):
        (root / name).write_text(MARK)
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)", MARK], env={"KEY": MARK})
    abstract = f"hostler-probe-{os.getpid()}-{root.name}"
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as local,
        socket.socket(socket.AF_UNIX) as filed,
    ):
        local.bind(f"\0{abstract}")
        filed.bind(str(root / "server.sock"))
        for one in (local, filed):
            one.listen()
        yield {
            "mark": MARK,
            "root": str(root),
            "file": str(root / "server.secret"),
            "database": str(root / "hostler.db"),
            "theirs": str(root / "other" / "files" / "work" / "theirs.txt"),
            "pid": sleeper.pid,
            "started": processes.started(sleeper.pid),
            "port": tcp.getsockname()[1],
            "abstract": abstract,
            "socket": str(root / "server.sock"),
        }
    sleeper.kill()
    sleeper.wait()


@pytest.fixture
async def around(root: Path, planted: dict[str, Any]) -> AsyncIterator[Callable[[str], Outside]]:
    """Gives a provider of a kind, with another environment beside the attacker's."""
    made: list[FolderProvider] = []
    egress = Egress()

    def choose(kind: str) -> Outside:
        made.append(local_provider(root, ways=egress) if kind == "local" else plain_provider(root))
        return Outside(made[-1], planted)

    yield choose
    for provider in made:
        async for handle in provider.list():
            await provider.delete(handle)
    await egress.close_all()


async def attack(outside: Outside, source: str) -> str:
    """Run an attack; return what it reached."""
    other = await outside.provider.create(EnvSpec("other"))
    await outside.provider.start(other)
    theirs = await Work.begin(outside.provider.machine(other))
    await theirs.run(f"echo {MARK} > theirs.txt")
    neighbour = await theirs.begin_run(f"echo ready; sleep 1000 {MARK} || sleep 1000", "neighbour").ready()
    work = await outside.attacker()
    python = "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable
    command = Command((python, "-I", "-c", HEAD + source), env={"TARGETS": json.dumps(outside.targets)}, timeout=60.0)
    result = await work.run(command)
    assert result.outcome == Exited(0), text(result)
    await theirs.machine.kill_group("work", 2)
    await neighbour.result
    return text(result).strip()


@pytest.mark.sandbox
@pytest.mark.parametrize("name", ATTACKS)
async def test_what_is_attacked_is_held_and_reported_so(around: Callable[[str], Outside], name: str) -> None:
    limit, source = ATTACKS[name]
    outside = around("local")
    assert await attack(outside, source) == ""
    assert (await outside.held(limit)).holds


@pytest.mark.parametrize("name", [name for name in ATTACKS if name not in PRIVILEGED])
async def test_without_a_sandbox_the_attack_succeeds_and_nothing_is_reported_as_held(
    around: Callable[[str], Outside], name: str
) -> None:
    limit, source = ATTACKS[name]
    outside = around("none")
    assert await attack(outside, source) != ""
    assert not (await outside.held(limit)).holds


@pytest.mark.sandbox
async def test_a_fork_bomb_is_held_as_reported_and_others_go_on(around: Callable[[str], Outside]) -> None:
    outside = around("local")
    work = await outside.attacker(Limits(processes=64))
    other = await outside.provider.create(EnvSpec("other", limits=Limits(processes=64)))
    await outside.provider.start(other)
    theirs = await Work.begin(outside.provider.machine(other))
    bomb = "import os\nwhile True:\n    try: os.fork()\n    except OSError: print('held', flush=True)"
    running = await work.begin_run(Command(("/usr/bin/python3", "-c", bomb), timeout=60.0), "bomb", "held").ready()
    assert (await outside.held("processes")).holds
    assert text(await theirs.run("echo fine")) == "fine\n"
    await work.machine.kill_group("work", 2)
    await running.result


@pytest.mark.sandbox
async def test_a_memory_bomb_is_held_as_reported(around: Callable[[str], Outside]) -> None:
    outside = around("local")
    work = await outside.attacker(Limits(memory_bytes=256 * MIB))
    eater = (
        "import os, sys, time\n"
        "pids = []\n"
        "for number in range(8):\n"
        "    read, write = os.pipe()\n"
        "    if (pid := os.fork()) == 0:\n"
        "        kept = bytearray(b'x') * (64 << 20); os.write(write, b'1'); time.sleep(1000)\n"
        "    os.close(write); pids.append(pid)\n"
        "    os.read(read, 1)\n"
        "print(sum(int(open(f'/proc/{pid}/statm').read().split()[1]) for pid in pids) * os.sysconf('SC_PAGE_SIZE'))\n"
    )
    result = await work.run(Command(("/usr/bin/python3", "-c", eater), timeout=60.0))
    resident = int(text(result)) if result.outcome == Exited(0) else 0
    one = await work.run(Command(("/usr/bin/python3", "-c", "bytearray(b'x') * (512 << 20)"), timeout=60.0))
    assert one.outcome != Exited(0)  # One process alone is always held.
    held = await outside.held("memory")
    assert resident <= 256 * MIB if held.holds else "each process" in held.means


@pytest.mark.sandbox
async def test_filling_the_disk_is_held_or_told_to_whoever_stops_it(
    around: Callable[[str], Outside], root: Path
) -> None:
    outside = around("local")
    work = await outside.attacker(Limits(disk_bytes=32 * MIB))
    watch = DiskWatch(root)
    await watch.look()
    result = await work.run("for i in $(seq 16); do head -c 4194304 /dev/zero > f$i || exit 3; done")
    held = await outside.held("disk")
    if held.holds:
        assert result.outcome == Exited(3)
        return
    assert "watched" in held.means
    async with asyncio.timeout(90):
        while not (found := await watch.look()):
            pass
    assert [one.environment for one in found] == ["attacker"]


@pytest.mark.sandbox
async def test_nothing_is_left_of_daemons_after_a_stop(around: Callable[[str], Outside]) -> None:
    outside = around("local")
    work = await outside.attacker()
    mark = f"8{os.getpid()}77"
    daemon = (
        f"setsid setsid sh -c 'trap \"\" TERM HUP INT; (sleep {mark} & sleep {mark}) & sleep {mark}' >/dev/null 2>&1 &"
    )
    await work.run(f"env -i /bin/sh -c '{daemon}' & ({daemon}); sleep 0.1")
    assert alive(mark)
    await outside.provider.stop(Handle(outside.provider.name, "attacker"))
    assert not alive(mark)


def alive(mark: str) -> list[str]:
    """Return the processes of this machine that have a mark on their command line."""
    found: list[str] = []
    for one in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            said = one.read_bytes()
        except OSError:
            continue
        if mark.encode() in said.split(b"\0"):
            found.append(one.parent.name)
    return found


@pytest.mark.sandbox
async def test_planted_links_and_absolute_paths_lead_to_nothing_outside_by_any_file_operation(
    around: Callable[[str], Outside], root: Path
) -> None:
    outside = around("local")
    work = await outside.attacker()
    machine, incarnation, secret = work.machine, work.incarnation, outside.targets["file"]
    await work.run(
        f"ln -s {secret} link; ln -s {root} folder; ln -s /proc/1/root{secret} deep; ln -s /proc/self/fd/3 fd"
    )
    await work.run("git init -q . && git add -A && git -c user.name=a -c user.email=a@b commit -qm first")
    await work.run(f"rm link && ln -s {secret}.other link; mkdir -p d && ln -s / d/top")
    paths = ("link", "deep", "fd", "folder/server.secret", secret, f"../../../../{secret}", f"d/top{secret}")
    said: list[object] = []
    for path in paths:
        for call in (
            machine.read(path),
            machine.stat(path),
            machine.list(path),
            machine.find(path, "*", kind="any"),
            machine.edit(work.operation(), path, MARK, "changed", incarnation=incarnation),
            *(
                machine.write(work.operation(), path, b"changed", incarnation=incarnation, how=how)
                for how in ("create", "truncate", "replace", "append")
            ),
        ):
            try:
                said.append(await call)
            except (FileProblem, EnvironmentError_) as problem:
                said.append(str(problem))
    said += [await machine.git_diff(), await machine.git_status(), await machine.list("d", depth=9)]
    said.append(await machine.find(".", "server", kind="any"))
    assert MARK not in repr(said)
    assert "hostler.db" not in repr(said)
    assert Path(secret).read_text() == MARK
    assert sorted(one.name for one in root.glob("server*")) == ["server.secret", "server.sock"]


@pytest.mark.sandbox
async def test_planted_links_and_absolute_paths_lead_to_no_process_by_any_file_operation(
    around: Callable[[str], Outside],
) -> None:
    work = await around("local").attacker()
    machine, incarnation = work.machine, work.incarnation
    await work.run("ln -s /proc/self/environ link; ln -s /proc/self folder")
    for path in ("/proc/self/environ", "/proc/1/environ", "link", "folder/environ", "folder/task/../environ"):
        for call in (
            machine.read(path),
            machine.edit(work.operation(), path, "PATH", "changed", incarnation=incarnation),
            machine.write(work.operation(), path, b"changed", incarnation=incarnation, how="append"),
        ):
            with pytest.raises(FileProblem) as refused:
                await call
            assert refused.value.kind == "permission", path


@pytest.mark.sandbox
async def test_who_comes_too_late_changes_nothing(around: Callable[[str], Outside]) -> None:
    work = await around("local").attacker()
    terminal = await work.machine.pty(
        work.operation("tty"), Command(("/bin/sh",)), incarnation=work.incarnation, rows=9, cols=9
    )
    await work.machine.register("work", 2)
    changes = (
        work.run("touch late"),
        work.machine.write(work.operation(), "late", b"", incarnation=work.incarnation, how="append"),
        work.machine.edit(work.operation(), "late", "a", "b", incarnation=work.incarnation),
        work.machine.feed(work.operation(), 0, b"x", last=True, incarnation=work.incarnation),
        work.machine.join(work.operation("tty"), incarnation=work.incarnation),
        work.machine.cancel(work.operation("tty")),
        work.machine.kill_group("work", 1),
        terminal.write(b"touch late\n"),
        terminal.resize(1, 1),
        terminal.kill(),
    )
    for refused in await asyncio.gather(*changes, return_exceptions=True):
        assert type(refused).__name__ == "Fenced", refused
    assert not await work.exists("late")
    terminal.close()
