"""Promises that hostile code inside an environment, or a lying supervisor, must not be able to break."""

import asyncio
import contextlib
import math
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hostler.core.errors import EnvironmentFailed, MachineLost
from hostler.core.machines import Command, FileProblem, Operation, Unknown
from hostler.core.providers import EnvSpec, NetworkPolicy
from hostler.environments.egress import MOST_CONNECTIONS, Egress, Refusal, Upstream, check_address
from hostler.environments.folders import FolderProvider
from hostler.environments.local import local_provider
from hostler.environments.machine import SupervisorMachine
from hostler.environments.plain import plain_provider
from hostler.environments.supervisor import frames, landlock
from hostler.environments.supervisor.commands import REMEMBERED
from hostler.testing.environments_suite import Work, text

PRIVATE = [
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a00:1",
    "::a00:1",
    "::ffff:0:a00:1",
    "::ffff:10.0.0.1",
    "2002:7f00:1::",
    "fec0::1",
    "fe80::1%eth0",
    "fd00::1",
    "0.0.0.0",
    "100.64.0.1",
    "ff0e::1",
]


@pytest.fixture
def provider(root: Path) -> FolderProvider:
    return local_provider(root)


@pytest.mark.sandbox
async def test_a_command_inherits_nothing_but_its_standard_streams(work: Work) -> None:
    script = "ls -l /proc/self/fd | grep -- '->'"
    first = Command(("bash", "-c", script), stdin=b"said")
    second = Command(("bash", "-c", script), read_only=landlock.enough())
    for command in (script, first, script, second, script):  # One keeper sees to several, one after another.
        listing = text(await work.run(command))
        held = {line.split(" -> ")[0].split()[-1] for line in listing.splitlines()}
        assert held == {"0", "1", "2", "3"}, listing


@pytest.mark.sandbox
async def test_nothing_of_a_command_is_there_for_the_next_that_its_keeper_has(work: Work) -> None:
    told = "ps -o sid= -p $$ | grep -qw $$ && echo leads; echo ${MARK-none}; pwd; umask; ulimit -d; echo $PPID"
    command = Command(("bash", "-c", f"{told}; umask 0; ulimit -d 100000"), cwd="/tmp", env={"MARK": "one"})
    first, second = text(await work.run(command)).splitlines(), text(await work.run(told)).splitlines()
    assert first[:3] == ["leads", "one", "/tmp"]
    assert second == ["leads", "none", "/workspace", *first[3:]]


@pytest.mark.sandbox
async def test_a_daemon_keeps_its_keeper_to_itself(work: Work) -> None:
    first = text(await work.run("setsid sleep 86409 >/dev/null 2>&1 & echo $PPID"))
    second = text(await work.run("echo $PPID"))
    assert first != second
    assert await work.processes("86409") == 1
    await work.machine.kill_group("work", 2)
    assert await work.processes("86409") == 0
    work.fence = 2
    assert text(await work.run("echo $PPID")) in (first, second)


@pytest.mark.parametrize("address", PRIVATE)
def test_a_private_address_stays_private_in_every_spelling(address: str) -> None:
    with pytest.raises(Refusal):
        check_address(address)


@pytest.mark.parametrize("address", ["64:ff9b::808:808", "2606:4700::1111", "8.8.8.8", "::ffff:8.8.8.8"])
def test_a_public_address_is_public(address: str) -> None:
    check_address(address)


HOSTILE_HOSTS = [
    "internal:443\tHTTP/1.1\nX:.far.test:443",
    "internal:443\tHTTP/1.1\rX:.far.test:443",
    "a\0.far.test:443",
    "a\x1b[2J.far.test:443",
    "a/.far.test:443",
    "user@b.far.test:443",
    f"{'a' * 300}.far.test:443",
    "a.far.test:99999",
    "a.far.test:0",
    "a.far.test:4\xb23",
]


@pytest.mark.parametrize("target", HOSTILE_HOSTS)
async def test_a_host_that_is_no_host_is_never_told_to_the_servers_own_proxy(root: Path, target: str) -> None:
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        writer.close()

    proxy = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = proxy.sockets[0].getsockname()[1]
    told: list[str] = []
    egress = Egress(
        Upstream.of({"HTTPS_PROXY": f"http://127.0.0.1:{port}"}),
        on_refusal=lambda _, host, why: told.append(host + why),
    )
    await egress.open("env", root, -1, NetworkPolicy(allow=("*.far.test",), private=("*.far.test",)))
    reader, writer = await asyncio.open_unix_connection(str(root / "egress.sock"))
    writer.write(f"CONNECT {target} HTTP/1.1\r\n\r\n".encode("latin-1"))
    assert (await reader.read()).startswith(b"HTTP/1.1 400")
    assert (heads, told) == ([], [])
    writer.close()
    await egress.close_all()
    proxy.close()


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f.0.0.1", "10.1"])
async def test_an_old_spelling_of_a_private_address_does_not_pass_the_servers_own_proxy(root: Path, host: str) -> None:
    egress = Egress(Upstream.of({"HTTPS_PROXY": "http://127.0.0.1:9"}))
    await egress.open("env", root, -1, NetworkPolicy(open=True))
    reader, writer = await asyncio.open_unix_connection(str(root / "egress.sock"))
    writer.write(f"CONNECT {host}:443 HTTP/1.1\r\n\r\n".encode())
    assert (await reader.read()).startswith(b"HTTP/1.1 403")
    writer.close()
    await egress.close_all()


async def test_one_environment_has_so_many_ways_out_and_no_more_and_they_end_with_it(root: Path) -> None:
    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.add(writer)  # It never closes its side by itself.

    held: set[asyncio.StreamWriter] = set()
    far = await asyncio.start_server(hold, "127.0.0.1", 0)
    port = far.sockets[0].getsockname()[1]
    egress = Egress()
    await egress.open("env", root, -1, NetworkPolicy(private=("127.0.0.1",)))
    begun: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    for _ in range(MOST_CONNECTIONS):
        reader, writer = await asyncio.open_unix_connection(str(root / "egress.sock"))
        writer.write(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\n".encode())
        assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        begun.append((reader, writer))
    reader, writer = await asyncio.open_unix_connection(str(root / "egress.sock"))
    assert (await reader.read()).startswith(b"HTTP/1.1 503")
    writer.close()
    begun[0][1].write_eof()  # Half closed, as when the inside is gone: the far side keeps it open.
    await egress.close("env")
    for reader, writer in begun:
        assert await reader.read() == b""
        writer.close()
    far.close()
    for writer in held:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


class Liar:
    """A supervisor that answers every request with the same bytes."""

    def __init__(self, answer: bytes) -> None:
        self._answer = asyncio.StreamReader()
        self._answer.feed_data(answer)
        self._answer.feed_eof()

    async def read_exactly(self, size: int) -> bytes:
        return await self._answer.readexactly(size)

    async def write(self, data: bytes) -> None:
        pass

    def close(self) -> None:
        pass


def lying(header: str) -> SupervisorMachine:
    async def connect() -> Liar:
        return Liar(frames.LENGTHS.pack(len(header.encode()), 0) + header.encode())

    return SupervisorMachine(connect)


LIES = [
    f'"outcome": {{"kind": "exited", "code": {"9" * 400}}}',
    '"outcome": {"kind": "exited", "code": -1}',
    '"outcome": {"kind": "exited", "code": 4294967296}',
    '"outcome": {"kind": "signalled", "signal": 1e400}',
    '"outcome": {"kind": "exited", "code": 0}, "seconds": NaN',
    f'"outcome": {{"kind": "exited", "code": 0}}, "seconds": {"9" * 400}',
    '"outcome": {"kind": "exited", "code": 0}, "seconds": 1e999',
    '"outcome": {"kind": "unknown", "reason": "\\ud800"}',
]


@pytest.mark.parametrize("lie", LIES)
async def test_a_result_that_could_not_be_stored_is_never_taken_for_one(lie: str) -> None:
    machine = lying(f'{{"type": "result", {lie}}}')
    try:
        result = await machine.exec(Operation("work", 1, "op"), Command(("true",)), incarnation="i")
    except MachineLost:
        return
    assert isinstance(result.outcome, Unknown)
    assert math.isfinite(result.seconds)
    result.outcome.reason.encode()


async def test_an_entry_that_could_not_be_sent_on_is_made_harmless() -> None:
    fields = '"path": "\\ud800", "kind": "file", "size": 1, "mode": -1, "modified": 1e300'
    entry = await lying(f'{{"type": "entry", "entry": {{{fields}}}}}').stat("a")
    entry.path.encode()
    assert 0 <= entry.mode <= 0o7777
    datetime.fromtimestamp(entry.modified, UTC)


@pytest.mark.sandbox
async def test_a_degenerate_request_is_refused_and_not_taken_for_the_end_of_the_machine(work: Work) -> None:
    machine = work.machine
    for path in ("\ud800", "\udcff", "a" * 10_000):
        with pytest.raises((FileProblem, EnvironmentFailed)) as refused:
            await machine.read(path)
        assert not isinstance(refused.value, MachineLost)
    await work.run("echo hello > a")
    with pytest.raises((FileProblem, EnvironmentFailed)) as refused:
        await machine.read("a", offset=1 << 70)
    assert not isinstance(refused.value, MachineLost)


@pytest.mark.parametrize("file", ["launch.json", "record.json"])
async def test_what_cannot_be_read_now_is_not_taken_for_absent(root: Path, file: str) -> None:
    provider = plain_provider(root)
    handle = await provider.create(EnvSpec("env"))
    await provider.start(handle)
    try:
        (root / "env" / file).rename(root / "aside")
        (root / "env" / file).mkdir()  # Any error but its absence: too many open files, a failing disk.
        with pytest.raises(EnvironmentFailed):
            await provider.observe(handle)
        with pytest.raises(EnvironmentFailed):
            await provider.start(handle)
        with pytest.raises(EnvironmentFailed):
            await (provider.delete(handle) if file == "launch.json" else provider.create(EnvSpec("env")))
        assert (root / "env" / "files" / "work").is_dir()
    finally:
        (root / "env" / file).rmdir()
        (root / "aside").rename(root / "env" / file)
        await provider.delete(handle)


async def test_a_deletion_that_a_crash_cut_short_is_finished(root: Path) -> None:
    provider = plain_provider(root)
    handle = await provider.create(EnvSpec("env"))
    (root / "env").rename(root / ".gone-env")
    assert [one async for one in provider.list()] == [handle]
    await provider.delete(handle)
    assert not (root / ".gone-env").exists()
    await provider.create(EnvSpec("env"))
    (root / ".gone-env" / "left").mkdir(parents=True)
    await provider.delete(handle)
    assert [one async for one in provider.list()] == []
    assert not (root / ".gone-env").exists()
    assert not (root / "env").exists()


async def test_files_that_cannot_be_removed_are_an_error_of_the_environment(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = plain_provider(root)
    handle = await provider.create(EnvSpec("env"))
    with monkeypatch.context() as poor, pytest.raises(EnvironmentFailed):
        poor.setenv("PATH", str(root / "nothing"))
        await provider.delete(handle)
    await provider.delete(handle)
    assert [one async for one in provider.list()] == []


PLANTS = {
    "its journal": 'for d in /run/hostler/state/operations/*; do mkfifo "$d/result.part"; done',
    "its output": 'for d in /run/hostler/state/operations/*; do rm -f "$d/out"; mkfifo "$d/out"; done',
    "its result": "(sleep 0.5; for d in /run/hostler/state/operations/*; do rm -f $d/result.json; "
    "mkfifo $d/result.json; done) >/dev/null 2>&1 & sleep 0.1; echo $!",
    "the index": "git init -q . && mkfifo .git/index",
}


@pytest.mark.sandbox
@pytest.mark.parametrize("plant", PLANTS)
async def test_a_pipe_planted_where_the_supervisor_opens_a_file_does_not_freeze_it(work: Work, plant: str) -> None:
    async with asyncio.timeout(15):
        await work.run(PLANTS[plant], "planting")
        await work.run("sleep 0.6")
        shown: list[bytes] = []

        async def show(_: object, data: bytes) -> None:
            shown.append(data)

        with contextlib.suppress(EnvironmentFailed):
            command = Command(("true",))
            operation = work.operation("planting")
            await work.machine.exec(operation, command, incarnation=work.incarnation, on_output=show)
        with contextlib.suppress(EnvironmentFailed, FileProblem):
            await work.machine.git_diff()
        assert text(await work.run("echo alive")) == "alive\n"


async def test_results_are_kept_for_so_many_commands_and_a_forgotten_one_never_runs_again(root: Path) -> None:
    provider = plain_provider(root)
    handle = await provider.create(EnvSpec("env"))
    await provider.start(handle)
    try:
        work = await Work.begin(provider.machine(handle))
        await work.run("echo x >> ran", "first")
        for number in range(0, REMEMBERED, 50):
            await asyncio.gather(*(work.run(Command(("true",)), f"op {number + more}") for more in range(50)))
        kept = len(list((root / "env" / "files" / "state" / "operations").iterdir()))
        again = await work.run("echo x >> ran", "first")
        assert isinstance(again.outcome, Unknown)
        assert (await work.machine.read("ran")).data == b"x\n"
        assert kept == REMEMBERED
    finally:
        await provider.delete(handle)
