"""Git with credentials that stay outside: a real host over TLS, a real sandbox, the real git inside it."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from hostler.core.ambient import SystemAmbient
from hostler.core.errors import EnvironmentFailed
from hostler.core.hosts import HostToken
from hostler.core.machines import Exited, Operation
from hostler.core.providers import EnvSpec, Handle, NetworkPolicy, RemoteRepository
from hostler.core.redaction import Redactor
from hostler.environments.content import NotAuthenticated, Site, bring
from hostler.environments.credentials import GitLogins
from hostler.environments.egress import Egress
from hostler.environments.folders import FolderProvider
from hostler.environments.git_http import GitRefusal, GitWay, git_request
from hostler.environments.local import local_provider
from hostler.testing.environments_suite import Work, text
from tests.environments.git_hub import BASIC, SECRET, USER, Seen, certificate, hub
from tests.environments.git_server import git

sandbox = pytest.mark.sandbox
AMBIENT = SystemAmbient()
SUBJECT = "ann"
ASK = "/ann/shop.git/info/refs?service=git-upload-pack"


def token(host: str, subject: str = SUBJECT, **changes: object) -> HostToken:
    now = AMBIENT.now()
    body = {"id": f"token-{host}-{subject}", "runner": "r", "host": host, "subject_id": subject}
    body |= {"subject_kind": "user", "source": "pat", "scopes": (), "integration_id": "", "sealed": ""}
    return HostToken(**{**body, "created_at": now, "updated_at": now, "expires_at": None, **changes})  # type: ignore[arg-type]


@dataclass
class Town:
    """A code host with a private repository, and what knows its credential."""

    port: int
    seen: list[Seen]
    repository: Path
    logins: GitLogins
    hidden: Redactor
    trust: ssl.SSLContext
    other_seen: list[Seen]

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, path: str = "shop.git") -> str:
        return f"https://{self.host}/{path}"

    def know(self, secret: str = f"{USER}:{SECRET}", **changes: object) -> None:
        self.logins.put(token(self.host, **changes), secret)


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def town(root: Path, signed: tuple[Path, Path]) -> Iterator[Town]:
    hidden = Redactor()
    logins = GitLogins(b"k" * 32, AMBIENT, hidden.add)
    first = root / "first"
    first.mkdir()
    git(first, "init", "-q")
    (first / "one.txt").write_text("one\n")
    git(first, "add", ".")
    git(first, "commit", "-qm", "one")
    served = root / "served"
    served.mkdir()
    git(root, "clone", "-q", "--bare", str(first), str(served / "shop.git"))
    git(served / "shop.git", "config", "http.receivepack", "true")
    trust = ssl.create_default_context(cafile=str(signed[0]))
    with hub(served, *signed) as (other, other_seen):
        with hub(served, *signed, elsewhere=f"https://127.0.0.1:{other}") as (port, seen):
            yield Town(port, seen, served / "shop.git", logins, hidden, trust, other_seen)


@dataclass
class Inside:
    """An environment of the subject, and its way out."""

    town: Town
    egress: Egress
    provider: FolderProvider
    handle: Handle
    work: Work
    folder: Path

    async def clone(self, path: str = "shop.git") -> str:
        """Bring the repository in as an environment's content; return its commit."""
        network = NetworkPolicy(private=(self.town.host,))
        machine = self.work.machine
        owner = f"content-{path.replace('/', '-')}"
        site = Site(machine, Operation(owner, 1, "c"), await machine.register(owner, 1), network)
        return str((await bring(site, RemoteRepository(self.town.url(path)))).base)

    async def says(self, command: str) -> str:
        result = await self.work.run(f"{command} 2>&1")
        return text(result)

    async def done(self, command: str) -> str:
        result = await self.work.run(f"{command} 2>&1")
        assert result.outcome == Exited(0), text(result)
        return text(result)


@pytest.fixture
async def inside(town: Town, root: Path) -> AsyncIterator[Inside]:
    async def subject_of(environment: str) -> str:
        return SUBJECT

    egress = Egress(git=GitWay(town.logins, town.trust), subject_of=subject_of)
    town.logins.on_change = egress.changed
    town.know()
    provider = local_provider(root / "environments", ways=egress)
    handle = await provider.create(EnvSpec("env", network=NetworkPolicy(private=(town.host,))))
    await provider.start(handle)
    work = await Work.begin(provider.machine(handle))
    yield Inside(town, egress, provider, handle, work, root / "environments" / "env")
    await provider.delete(handle)
    await egress.close_all()


@sandbox
async def test_clone_fetch_and_push_work_with_a_credential_that_is_outside(inside: Inside) -> None:
    town = inside.town
    assert await inside.clone() == git(town.repository, "rev-parse", "main")
    await inside.done(
        "echo two > two.txt && git add . && git commit -qm two && git push -q origin HEAD:refs/heads/side"
    )
    assert git(town.repository, "log", "-1", "--format=%s", "side") == "two"
    git(town.repository, "branch", "-f", "other", "side")
    await inside.done("git fetch -q origin other && git log -1 --format=%s FETCH_HEAD | grep -x two")
    await inside.done(f"git clone -q {town.url('shop')}.git /tmp/again && test -f /tmp/again/one.txt")
    assert {fields.get("authorization") for _, fields in town.seen} == {f"Basic {BASIC}"}


@sandbox
async def test_a_push_that_is_larger_than_one_buffer_arrives_whole(inside: Inside) -> None:
    await inside.clone()
    await inside.done("head -c 3000000 /dev/urandom > big && sha256sum big > sum && git add . && git commit -qm big")
    await inside.done("git -c http.postBuffer=65536 push -q origin HEAD:refs/heads/big")
    names = git(inside.town.repository, "ls-tree", "--name-only", "big")
    assert "big" in names
    assert any(fields.get("transfer-encoding") == "chunked" for _, fields in inside.town.seen)
    git(inside.town.repository, "fsck", "--strict")


@sandbox
async def test_the_secret_is_nowhere_inside(inside: Inside) -> None:
    await inside.clone()
    await inside.done("git commit -q --allow-empty -m x; GIT_TRACE=1 GIT_CURL_VERBOSE=1 git push origin HEAD:x > trace")
    for path in ("echo/shop.git", "forbidden/shop.git", "away/shop.git", "nowhere.git"):
        await inside.says(f"GIT_CURL_VERBOSE=1 git ls-remote {inside.town.url(path)} > /tmp/{path.partition('/')[0]}")
    url = f"http://127.0.0.1.hostler.invalid:{inside.town.port}/shop.git"
    said = await inside.says(f"curl -sv '{url}/info/refs?service=git-upload-pack' 2>&1")
    said += await inside.says("env; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline; git config --list --show-origin")
    said += await inside.says("cat /etc/gitconfig /run/hostler/net/gitconfig")
    assert "service=git-upload-pack" in said
    marks = (SECRET, BASIC, SECRET[:12], BASIC[8:28])
    assert [mark for mark in marks if mark in said] == []
    for mark in marks:
        look = f"grep -rals -D skip -- '{mark[:-1]}[{mark[-1]}]' /workspace /home /tmp /run /etc"
        assert (await inside.says(look)).strip() == ""
    # The same from outside: everything that is kept of the environment, recorded outputs included.
    kept = [file for file in inside.folder.rglob("*") if file.is_file()]
    assert len(kept) > 10
    assert [file for file in kept if any(mark.encode() in file.read_bytes() for mark in marks)] == []


@sandbox
async def test_without_a_credential_the_failure_says_what_to_do(inside: Inside) -> None:
    inside.town.logins.drop(token(inside.town.host).id)
    assert "insteadOf" not in await inside.done("cat /run/hostler/net/gitconfig")
    network = f"http://127.0.0.1.hostler.invalid:{inside.town.port}/shop.git"
    said = await inside.says(f"git ls-remote {network}")
    assert "not authenticated" in said
    assert f"hostler secret set {inside.town.host}" in said
    assert inside.town.logins.closed(inside.town.host) == {f"{inside.town.host}/shop"}
    inside.town.know()
    assert inside.town.logins.closed(inside.town.host) == frozenset()
    assert "refs/heads/main" in await inside.done(f"git ls-remote {inside.town.url()}")


@sandbox
async def test_a_refused_credential_is_told_and_a_new_one_is_used_at_once(inside: Inside) -> None:
    known = token(inside.town.host).id
    inside.town.know("wrong-password-1")
    with pytest.raises(NotAuthenticated, match=f"not authenticated: {inside.town.host} refused the credential"):
        await inside.clone()
    assert not inside.town.logins.usable(known)
    inside.town.know()
    assert inside.town.logins.usable(known)
    assert "refs/heads/main" in await inside.done(f"git ls-remote {inside.town.url()}")


@sandbox
async def test_an_expired_credential_is_not_used(inside: Inside) -> None:
    inside.town.know(expires_at=AMBIENT.now() - timedelta(seconds=1))
    assert "not authenticated" in await inside.says(f"git ls-remote {inside.town.url()}")
    assert "authorization" not in inside.town.seen[-1][1]


@sandbox
async def test_a_repository_that_is_open_needs_no_credential(inside: Inside) -> None:
    inside.town.logins.drop(token(inside.town.host).id)
    address = f"http://127.0.0.1.hostler.invalid:{inside.town.port}/open/shop.git"
    assert "refs/heads/main" in await inside.done(f"git ls-remote {address}")
    assert "authorization" not in inside.town.seen[-1][1]


@sandbox
async def test_a_redirect_is_followed_within_the_host_only(
    inside: Inside,
) -> None:
    assert "refs/heads/main" in await inside.done(f"git ls-remote {inside.town.url('moved/shop.git')}")
    said = await inside.says(f"git ls-remote {inside.town.url('away/shop.git')}")
    assert "leads elsewhere to 127.0.0.1" in said
    assert inside.town.other_seen == []


@sandbox
async def test_what_is_not_gits_answer_stays_outside(inside: Inside) -> None:
    assert "something that is not git" in await inside.says(f"git ls-remote {inside.town.url('echo/shop.git')}")
    said = await inside.says(f"git ls-remote {inside.town.url('forbidden/shop.git')}")
    assert "the credential does not allow this" in said
    assert "there is no repository" in await inside.says(f"git ls-remote {inside.town.url('nowhere.git')}")


@sandbox
async def test_a_host_that_is_not_allowed_gets_nothing(inside: Inside, root: Path) -> None:
    handle = await inside.provider.create(EnvSpec("closed", network=NetworkPolicy(allow=("elsewhere.test",))))
    await inside.provider.start(handle)
    work = await Work.begin(inside.provider.machine(handle))
    said = text(await work.run(f"git ls-remote {inside.town.url()} 2>&1"))
    assert "not on this environment's list of allowed hosts" in said
    assert inside.town.seen == []


@sandbox
async def test_a_host_that_cannot_prove_its_name_gets_no_credential(town: Town, inside: Inside) -> None:
    async def subject_of(environment: str) -> str:
        return SUBJECT

    egress = Egress(git=GitWay(town.logins), subject_of=subject_of)
    provider = local_provider(inside.folder.parent, ways=egress)
    handle = await provider.create(EnvSpec("strict", network=NetworkPolicy(private=(town.host,))))
    await provider.start(handle)
    said = text(await (await Work.begin(provider.machine(handle))).run(f"git ls-remote {town.url()} 2>&1"))
    assert "certificate" in said
    assert town.seen == []
    await provider.delete(handle)


@sandbox
async def test_another_persons_environment_has_no_part_in_a_credential(town: Town, inside: Inside) -> None:
    async def bob(environment: str) -> str:
        return "bob"

    egress = Egress(git=GitWay(town.logins, town.trust), subject_of=bob)
    provider = local_provider(inside.folder.parent, ways=egress)
    handle = await provider.create(EnvSpec("bobs", network=NetworkPolicy(private=(town.host,))))
    await provider.start(handle)
    work = await Work.begin(provider.machine(handle))
    address = f"http://127.0.0.1.hostler.invalid:{town.port}/shop.git"
    assert "not authenticated" in text(await work.run(f"git ls-remote {address} 2>&1"))
    assert [fields for _, fields in town.seen if "authorization" in fields] == []
    await provider.delete(handle)


@sandbox
async def test_a_failed_clone_names_the_host(inside: Inside) -> None:
    inside.town.logins.drop(token(inside.town.host).id)
    with pytest.raises(EnvironmentFailed, match=r"127\.0\.0\.1"):
        await inside.clone()


async def test_a_host_that_hangs_up_ends_the_request(town: Town, root: Path) -> None:
    async def nobody_there(host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", mute)

    ended: asyncio.Queue[None] = asyncio.Queue()

    async def mutter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        await closed(writer)
        ended.put_nowait(None)

    server = await asyncio.start_server(mutter, "127.0.0.1", 0)
    mute = server.sockets[0].getsockname()[1]
    way = GitWay(town.logins, town.trust)
    request = git_request("GET", f"http://127.0.0.1.hostler.invalid:{mute}{ASK}", [])
    near = await asyncio.open_connection("127.0.0.1", mute)
    with pytest.raises(GitRefusal, match="encrypted"):
        await way.serve(SUBJECT, near, request, nobody_there)
    await closed(near[1])
    for _ in range(2):
        await ended.get()
    server.close()


async def closed(writer: asyncio.StreamWriter) -> None:
    """Close a connection and wait until it is."""
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def test_a_host_that_never_hangs_up_holds_nothing_once_git_has(town: Town, signed: tuple[Path, Path]) -> None:
    gone = asyncio.Event()
    answer = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-advertisement\r\nContent-Length: 2\r\n\r\nok"
    )

    async def linger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await reader.read()
        await closed(writer)
        gone.set()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*signed)
    server = await asyncio.start_server(linger, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    egress = Egress(git=GitWay(town.logins, town.trust))
    net = town.repository.parent
    await egress.open("env", net, -1, NetworkPolicy(private=(f"127.0.0.1:{port}",)))
    reader, writer = await asyncio.open_unix_connection(str(net / "egress.sock"))
    writer.write(f"GET http://127.0.0.1.hostler.invalid:{port}{ASK} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"connection: close" in head
    assert await reader.readexactly(2) == b"ok"
    await closed(writer)
    async with asyncio.timeout(20):
        await gone.wait()
    await egress.close_all()
    server.close()


async def test_a_request_inside_a_request_goes_nowhere(town: Town) -> None:
    town.know()
    egress = Egress(git=GitWay(town.logins, town.trust), subject_of=_ann)
    net = town.repository.parent
    await egress.open("env", net, -1, NetworkPolicy(private=(town.host,)))
    reader, writer = await asyncio.open_unix_connection(str(net / "egress.sock"))
    address = f"http://127.0.0.1.hostler.invalid:{town.port}/shop.git/git-upload-pack"
    first = f"POST {address} HTTP/1.1\r\nContent-Length: 4\r\n\r\n0000"
    writer.write(f"{first}GET /echo/me HTTP/1.1\r\nHost: {town.host}\r\n\r\n".encode())
    assert (await reader.read()).startswith(b"HTTP/1.1 ")
    assert [path for path, _ in town.seen] == ["/shop.git/git-upload-pack"]
    await closed(writer)
    await egress.close_all()


@pytest.mark.parametrize("size", ["-1", "+4", "0x4", "0_4", ""])
async def test_a_chunk_whose_size_a_host_could_read_in_another_way_is_not_passed_on(
    town: Town, signed: tuple[Path, Path], size: str
) -> None:
    body: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        with contextlib.suppress(OSError):
            body.set_result(await reader.read())
        await closed(writer)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*signed)
    server = await asyncio.start_server(listen, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    egress = Egress(git=GitWay(town.logins, town.trust))
    net = town.repository.parent
    await egress.open("env", net, -1, NetworkPolicy(private=(f"127.0.0.1:{port}",)))
    _, writer = await asyncio.open_unix_connection(str(net / "egress.sock"))
    address = f"http://127.0.0.1.hostler.invalid:{port}/shop.git/git-upload-pack"
    writer.write(f"POST {address} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{size}\r\n0000\r\n".encode())
    await writer.drain()
    writer.write_eof()
    async with asyncio.timeout(20):
        assert await body == b""
    await closed(writer)
    await egress.close_all()
    server.close()


async def _ann(environment: str) -> str:
    return SUBJECT
