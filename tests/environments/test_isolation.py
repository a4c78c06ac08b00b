"""What hostile code inside a sandbox must not reach; each probe is the attack itself."""

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostler.core.machines import Command, Exited, FileProblem
from hostler.core.providers import EnvSpec, Handle, Limits
from hostler.environments.folders import FolderProvider
from hostler.environments.local import local_provider
from hostler.testing.environments_suite import Work, text

pytestmark = pytest.mark.sandbox


@pytest.fixture
def provider(root: Path) -> FolderProvider:
    return local_provider(root)


async def python(work: Work, source: str) -> str:
    result = await work.run(Command(("/usr/bin/python3", "-I", "-c", source), timeout=30.0))
    assert result.outcome == Exited(0), text(result)
    return text(result).strip()


@pytest.fixture
def listening() -> Iterator[tuple[int, str]]:
    """A listener on the host's loopback, and an abstract socket."""
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as local:
        name = f"hostler-test-{os.getpid()}-{threading.get_ident()}"
        local.bind(f"\0{name}")
        local.listen()
        yield tcp.getsockname()[1], name


async def test_privileges_are_gone_and_cannot_come_back(work: Work) -> None:
    status = text(await work.run("cat /proc/self/status"))
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert {fields[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert (fields["NoNewPrivs"], fields["Seccomp"]) == ("1", "2")
    assert "setuid" not in text(await work.run("cp /usr/bin/id myid; chmod 4755 myid; ./myid -u")).lower()
    assert text(await work.run("./myid -u")) == "1000\n"


async def test_files_of_the_host_and_of_other_environments_are_not_there(
    work: Work, provider: FolderProvider, root: Path
) -> None:
    other = await provider.create(EnvSpec("other"))
    await provider.start(other)
    theirs = await Work.begin(provider.machine(other))
    await theirs.run("echo secret > mine.txt")
    (root / "server.secret").write_text("secret")
    for path in (
        "/etc/shadow",
        str(root),
        f"{root}/other/files/work/mine.txt",
        f"{root}/server.secret",
        "/root",
        "/var",
    ):
        assert (await work.run(Command(("ls", path)))).outcome != Exited(0), path
    found = text(await work.run("find / -xdev -name 'launch.json' -o -xdev -name 's' -type s 2>/dev/null"))
    assert found == ""


async def test_planted_links_lead_to_nothing_outside(work: Work) -> None:
    secret = Path("/tmp") / f"hostler-secret-{os.getpid()}"
    secret.write_text("secret")
    try:
        await work.run(f"ln -s {secret} a; ln -s /proc/self/root/{secret} b; ln -s /proc/1/root c; ln -s / d")
        for path in ("a", "b", f"c/{secret}", f"d/{secret}", str(secret), f"../../../../..{secret}"):
            with pytest.raises(FileProblem):
                await work.machine.read(path)
            assert (await work.run(Command(("cat", path)))).outcome != Exited(0)
    finally:
        secret.unlink()


async def test_one_environment_cannot_read_anothers_folder_on_disk(
    work: Work, handle: Handle, provider: FolderProvider, root: Path
) -> None:
    if os.geteuid() == 0:
        uids = set()
        for name in ("second", "third"):
            made = await provider.create(EnvSpec(name))
            uids.add((root / made.environment / "files").stat().st_uid)
        uids.add((root / handle.environment / "files").stat().st_uid)
        assert len(uids) == 3
        assert 0 not in uids
    assert (root / handle.environment / "files").stat().st_mode & 0o077 == 0


async def test_processes_and_variables_of_the_host_are_not_visible(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOSTLER_TEST_SECRET", "hidden-value")
    pids = {int(name) for name in text(await work.run("ls /proc | grep '^[0-9]'")).split()}
    assert os.getpid() not in pids or len(pids) < 12
    assert "hidden-value" not in text(await work.run("env; cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'"))


async def test_the_supervisor_cannot_be_looked_into(work: Work) -> None:
    for path in ("fd", "environ", "maps", "cwd/", "root/"):
        assert (await work.run(f"ls /proc/1/{path} && cat /proc/1/{path}")).outcome != Exited(0), path


async def test_the_supervisor_cannot_be_killed_or_stopped(work: Work) -> None:
    for name in ("KILL", "STOP", "TERM", "INT", "SEGV"):
        await work.run(f"kill -{name} 1")
    assert await work.machine.ping() == work.incarnation


async def test_loopback_and_abstract_sockets_of_the_host_are_not_reachable(
    work: Work, listening: tuple[int, str]
) -> None:
    port, name = listening
    source = f"""
import socket
for family, address in ((socket.AF_INET, ("127.0.0.1", {port})), (socket.AF_UNIX, "\\0{name}"),
                        (socket.AF_INET, ("169.254.169.254", 80)), (socket.AF_INET, ("192.0.2.1", 80))):
    try:
        socket.socket(family).connect(address)
        print("reached", address)
    except OSError:
        pass
"""
    assert await python(work, source) == ""


async def test_kernel_surface_is_closed(work: Work) -> None:
    source = """
import ctypes, errno, os, socket
libc = ctypes.CDLL(None, use_errno=True)
numbers = {"x86_64": dict(io_uring_setup=425, bpf=321, keyctl=250, userfaultfd=323, mount=165, unshare=272, ptrace=101,
                          perf_event_open=298, open_by_handle_at=304, clone3=435),
           "aarch64": dict(io_uring_setup=425, bpf=280, keyctl=219, userfaultfd=282, mount=40, unshare=97, ptrace=117,
                           perf_event_open=241, open_by_handle_at=265, clone3=435)}[os.uname().machine]
for name, number in numbers.items():
    ctypes.set_errno(0)
    result = libc.syscall(number, *[ctypes.c_long(0)] * 6)
    expected = errno.ENOSYS if name == "clone3" else errno.EPERM
    if result != -1 or ctypes.get_errno() != expected:
        print(name, result, ctypes.get_errno())
for flag in (0x10000000, 0x20000000, 0x40000000, 0x00020000):
    if libc.unshare(flag) == 0:
        print("unshared", flag)
    number = {"x86_64": 56, "aarch64": 220}[os.uname().machine]
    pid = libc.syscall(number, ctypes.c_long(flag | 17), *[ctypes.c_long(0)] * 4)
    if pid == 0:
        os._exit(0)
    if pid > 0:
        print("cloned", flag)
for family in (38, 40):
    try:
        socket.socket(family, socket.SOCK_SEQPACKET if family == 38 else socket.SOCK_STREAM)
        print("socket", family)
    except OSError:
        pass
try:
    import fcntl, pty
    fcntl.ioctl(pty.openpty()[1], 0x5412, b"x")
    print("TIOCSTI")
except OSError:
    pass
"""
    assert await python(work, source) == ""


async def test_system_folders_cannot_be_changed(work: Work) -> None:
    for path in (
        "/usr/x",
        "/etc/passwd",
        "/etc/ssl/x",
        "/run/hostler/code/x",
        "/run/hostler/net/x",
        "/proc/sys/kernel/x",
    ):
        assert (await work.run(f"echo x >> {path}")).outcome != Exited(0), path
    assert (await work.run("echo x > /proc/sys/kernel/core_pattern")).outcome != Exited(0)
    assert (await work.run("mknod null c 1 3")).outcome != Exited(0)


async def test_ordinary_programs_find_what_they_expect(work: Work) -> None:
    names = """
import getpass, os, socket
print(getpass.getuser(), socket.gethostbyname('localhost'), os.path.expanduser('~'))
"""
    assert await python(work, names) == "agent 127.0.0.1 /home/agent"
    assert text(await work.run("git init -q x && echo fine; mktemp -d > /dev/null && echo tmp")) == "fine\ntmp\n"
    threads = "import concurrent.futures as c; print(sum(c.ThreadPoolExecutor(8).map(int, '12345')))"
    assert await python(work, threads) == "15"
    pool = """
import multiprocessing
if __name__ == '__main__':
    with multiprocessing.Pool(2) as workers:
        print(sum(workers.map(abs, [-1, -2])))
"""
    assert await python(work, pool) == "3"


async def small(provider: FolderProvider) -> Work:
    limits = Limits(memory_bytes=256 << 20, processes=64, tmp_bytes=16 << 20, disk_bytes=32 << 20)
    handle = await provider.create(EnvSpec("small", limits=limits))
    await provider.start(handle)
    return await Work.begin(provider.machine(handle))


async def test_a_fork_bomb_is_held_and_can_be_killed(provider: FolderProvider, handle: Handle) -> None:
    work = await small(provider)
    bomb = """
import os
while True:
    try:
        os.fork()
    except OSError:
        print('held', flush=True)
"""
    running = await work.begin_run(Command(("/usr/bin/python3", "-c", bomb), timeout=60.0), "bomb", "held").ready()
    assert len([entry for entry in await work.machine.list("/proc", limit=5000) if entry.path.isdigit()]) <= 70
    await work.machine.kill_group("work", 2)
    await running.result
    work.fence = 2
    assert (await work.run("echo alive")).outcome == Exited(0)


async def test_memory_and_temporary_files_are_held(provider: FolderProvider, handle: Handle) -> None:
    work = await small(provider)
    eat = "b = []\nwhile True: b.append(bytearray(b'x') * (16 << 20))"
    assert (await work.run(Command(("/usr/bin/python3", "-c", eat), timeout=60.0))).outcome != Exited(0)
    assert (await work.run("dd if=/dev/zero of=/tmp/fill bs=1M count=64")).outcome != Exited(0)
    assert (await work.run("dd if=/dev/zero of=fill bs=1M count=64")).outcome != Exited(0)
    assert (await work.run("true")).outcome == Exited(0)
