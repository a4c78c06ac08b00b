import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hostler.core.machines import Command
from hostler.core.providers import EnvSpec, NetworkPolicy
from hostler.environments.egress import Egress, Target, Upstream
from hostler.environments.local import local_provider
from hostler.testing.environments_suite import Work, text


class Outside:
    """A web server on loopback, names that mean what a test wants, and what was refused."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.names: dict[str, list[list[str]]] = {}
        self.resolved: list[str] = []
        self.requests: list[str] = []
        self.refused: list[tuple[str, str, str]] = []
        self.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

    async def resolve(self, host: str, port: int) -> list[str]:
        """Answer the next addresses of a name; the last ones stay."""
        self.resolved.append(host)
        answers = self.names.get(host) or [[host]]
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def refuse(self, environment: str, target: str, reason: str) -> None:
        self.refused.append((environment, target, reason))


@pytest.fixture
async def outside() -> AsyncIterator[Outside]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        found.requests.append(head)
        writer.write(found.answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    found = Outside(server.sockets[0].getsockname()[1])
    yield found
    server.close()


async def ask(root: Path, request: str, tunnelled: str = "") -> str:
    reader, writer = await asyncio.open_unix_connection(str(root / "egress.sock"))
    writer.write(request.encode())
    answer = b""
    if tunnelled:
        answer = await reader.readuntil(b"\r\n\r\n")
        writer.write(tunnelled.encode())
    answer += await reader.read()
    writer.close()
    return answer.decode()


def connect(target: str) -> str:
    return f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"


def get(url: str) -> str:
    return f"GET {url} HTTP/1.1\r\nHost: x\r\nProxy-Connection: keep-alive\r\n\r\n"


async def opened(outside: Outside, root: Path, policy: NetworkPolicy, upstream: Upstream | None = None) -> Egress:
    egress = Egress(upstream, on_refusal=outside.refuse, resolve=outside.resolve)
    await egress.open("env", root, -1, policy)
    return egress


async def test_an_allowed_host_is_reached_by_both_kinds_of_request(outside: Outside, root: Path) -> None:
    outside.names["web.test"] = [["127.0.0.1"]]
    egress = await opened(outside, root, NetworkPolicy(private=("web.test",)))
    tunnel = await ask(root, connect(f"web.test:{outside.port}"), "GET / HTTP/1.1\r\n\r\n")
    assert tunnel.startswith("HTTP/1.1 200 Connection established")
    assert tunnel.endswith("hello")
    assert (await ask(root, get(f"http://web.test:{outside.port}/a?b=c"))).endswith("hello")
    assert outside.requests[-1].startswith("GET /a?b=c HTTP/1.1\r\nHost: x\r\nConnection: close")
    assert outside.refused == []
    await egress.close_all()


EARLY = b"HTTP/1.1 103 Early Hints\r\nConnection: a\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        (b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nhello", b"HTTP/1.1 200 OK\r\nA: b\r\nConnection: close\r\n\r\nhello"),
        (
            EARLY + b"HTTP/1.1 204 No Content\r\nKeep-Alive: 5\r\nconnection: keep-alive\r\n\r\n",
            EARLY + b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
        ),
        (b"no HTTP", b"no HTTP"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"a" * 200_000, b"HTTP/1.1 200 OK\r\nA: " + b"a" * 200_000),
        (b"", b""),
    ],
)
async def test_a_client_is_told_that_one_request_is_all_whatever_the_site_says(
    outside: Outside, root: Path, sent: bytes, seen: bytes
) -> None:
    outside.names["web.test"] = [["127.0.0.1"]]
    outside.answer = sent
    egress = await opened(outside, root, NetworkPolicy(private=("web.test",)))
    assert (await ask(root, get(f"http://web.test:{outside.port}/"))).encode() == seen
    await egress.close_all()


async def test_a_host_that_is_not_listed_is_refused_unresolved_and_told(outside: Outside, root: Path) -> None:
    egress = await opened(outside, root, NetworkPolicy(allow=("web.test",)))
    answer = await ask(root, connect("evil.test:443"))
    assert answer.startswith("HTTP/1.1 403")
    assert "evil.test:443 is not on this environment's list of allowed hosts" in answer
    assert outside.resolved == []
    assert [(one[0], one[1]) for one in outside.refused] == [("env", "evil.test:443")]
    assert "evil.test" in str(egress.last_refusal("env"))
    await egress.close_all()


NOT_PUBLIC = (
    "127.0.0.1 10.1.2.3 169.254.169.254 ::1 fd00::1 fe80::1 ::ffff:127.0.0.1 0.0.0.0 224.0.0.1 100.64.0.1 2002:7f00:1::"
)
NOT_A_REQUEST = (
    "nonsense\r\n\r\n",
    "GET / HTTP/1.1\r\n\r\n",
    "GET ftp://a/ HTTP/1.1\r\n\r\n",
    "CONNECT web.test HTTP/1.1\r\n\r\n",
    "GET http://a:b/ HTTP/1.1\r\n\r\n",
)


@pytest.mark.parametrize("address", NOT_PUBLIC.split())
async def test_a_name_that_resolves_to_no_public_address_is_refused(outside: Outside, root: Path, address: str) -> None:
    outside.names["web.test"] = [[address]]
    egress = await opened(outside, root, NetworkPolicy(allow=("web.test",)))
    answer = await ask(root, connect("web.test:443"))
    assert answer.startswith("HTTP/1.1 403")
    assert "not a public address" in answer
    await egress.close_all()


async def test_one_private_address_among_public_ones_is_enough_to_refuse(outside: Outside, root: Path) -> None:
    outside.names["web.test"] = [["198.51.101.7", "127.0.0.1"]]
    egress = await opened(outside, root, NetworkPolicy(allow=("web.test",)))
    assert (await ask(root, connect("web.test:443"))).startswith("HTTP/1.1 403")
    await egress.close_all()


async def test_a_name_is_resolved_once_so_it_cannot_change_its_meaning(outside: Outside, root: Path) -> None:
    outside.names["web.test"] = [["127.0.0.1"], ["127.0.0.2"]]
    egress = await opened(outside, root, NetworkPolicy(private=("web.test",)))
    assert (await ask(root, get(f"http://web.test:{outside.port}/"))).endswith("hello")
    assert outside.resolved == ["web.test"]
    await egress.close_all()


async def test_an_open_network_still_refuses_private_addresses_and_other_ports(outside: Outside, root: Path) -> None:
    egress = await opened(outside, root, NetworkPolicy(open=True))
    for target in ("127.0.0.1:80", "[::1]:443", "198.51.101.7:22", f"localhost:{outside.port}"):
        assert (await ask(root, connect(target))).startswith("HTTP/1.1 403"), target
    await egress.close_all()


async def test_an_unknown_name_is_a_bad_gateway_with_a_reason(outside: Outside, root: Path) -> None:
    async def nothing(host: str, port: int) -> list[str]:
        raise OSError("unknown")

    egress = Egress(resolve=nothing)
    await egress.open("env", root, -1, NetworkPolicy(allow=("web.test",)))
    answer = await ask(root, connect("web.test:443"))
    assert answer.startswith("HTTP/1.1 502")
    assert "cannot be resolved" in answer
    await egress.close_all()


@pytest.mark.parametrize("request_text", NOT_A_REQUEST)
async def test_what_is_no_proxy_request_is_a_bad_request(outside: Outside, root: Path, request_text: str) -> None:
    egress = await opened(outside, root, NetworkPolicy(open=True))
    assert (await ask(root, request_text)).startswith("HTTP/1.1 400")
    await egress.close_all()


@pytest.mark.parametrize(
    ("pattern", "host", "port", "matches"),
    [
        ("web.test", "web.test", 443, True),
        ("web.test", "web.test", 8443, False),
        ("web.test:8443", "web.test", 8443, True),
        ("web.test:8443", "web.test", 443, False),
        ("*.web.test", "a.b.web.test", 443, True),
        ("*.web.test", "web.test", 443, True),
        ("*.web.test", "evilweb.test", 443, False),
        ("WEB.test", "web.test", 80, True),
        ("[::1]:80", "::1", 80, True),
    ],
)
def test_patterns_mean_what_they_say(pattern: str, host: str, port: int, matches: bool) -> None:
    assert bool(Target(host, port).matches(pattern, (80, 443))) is matches


async def test_the_servers_own_proxy_is_used_except_where_it_says_not_to(outside: Outside, root: Path) -> None:
    seen: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nthrough")
        await writer.drain()
        writer.close()

    proxy = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = proxy.sockets[0].getsockname()[1]
    outside.names["direct.test"] = [["127.0.0.1"]]
    upstream = Upstream.of({"HTTPS_PROXY": f"http://user:pass@127.0.0.1:{port}", "no_proxy": "localhost,.direct.test"})
    policy = NetworkPolicy(allow=("far.test",), private=("direct.test",))
    egress = await opened(outside, root, policy, upstream)
    assert (await ask(root, connect("far.test:443"))).endswith("through")
    assert seen[0].startswith("CONNECT far.test:443 HTTP/1.1\r\n")
    assert "Proxy-Authorization: Basic dXNlcjpwYXNz" in seen[0]
    assert (await ask(root, get(f"http://direct.test:{outside.port}/"))).endswith("hello")
    assert (await ask(root, connect("other.test:443"))).startswith("HTTP/1.1 403")
    assert len(seen) == 1
    await egress.close_all()
    proxy.close()


@pytest.mark.sandbox
async def test_inside_an_environment_only_listed_hosts_are_reached_also_after_a_new_server(
    outside: Outside, root: Path
) -> None:
    outside.names["web.test"] = [["127.0.0.1"]]
    egress = Egress(on_refusal=outside.refuse, resolve=outside.resolve)
    provider = local_provider(root, ways=egress)
    handle = await provider.create(EnvSpec("env", network=NetworkPolicy(private=("web.test",))))
    await provider.start(handle)
    work = await Work.begin(provider.machine(handle))
    fetch = """
import urllib.request, sys
for url in sys.argv[1:]:
    try:
        print(urllib.request.urlopen(url).read().decode())
    except OSError as error:
        print(error)
"""
    urls = (f"http://web.test:{outside.port}/", "http://evil.test/", "https://evil.test/")
    command = Command(("/usr/bin/python3", "-c", fetch, *urls), timeout=30.0)
    lines = text(await work.run(command)).splitlines()
    assert lines[0] == "hello"
    assert "403" in lines[1]
    assert "403" in lines[2]
    assert [target for _, target, _ in outside.refused] == ["evil.test:80", "evil.test:443"]
    assert (root / "env" / "net" / "egress.sock").stat().st_mode & 0o077 == 0

    await egress.close_all()
    (root / "env" / "net" / "egress.sock").unlink(missing_ok=True)
    waiting = asyncio.ensure_future(work.run(Command(("/usr/bin/python3", "-c", fetch, urls[0]), timeout=30.0)))
    later = local_provider(root, ways=Egress(resolve=outside.resolve))
    await later.start(handle)
    assert text(await waiting) == "hello\n"
    await later.delete(handle)
