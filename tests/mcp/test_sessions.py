"""Connections to MCP servers: on a process inside an environment, and on HTTP."""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from hostler.core.machines import Command, Machine, Operation
from hostler.core.mcp_client import McpFailed, McpSession, Site, Streams
from hostler.core.mcp_servers import McpServer
from hostler.core.providers import EnvSpec
from hostler.environments.plain import plain_provider
from hostler.mcp.connector import Connector
from hostler.testing import mcp_fake
from hostler.testing.mcp_suite import Opened, SessionSuite
from tests.environments.places import discard

FAKE = str(Path(mcp_fake.__file__))


async def direct(environment: str, host: str, port: int) -> Streams:
    return await asyncio.open_connection(host, port)


class Opening:
    """Opens connections, and closes them at the end."""

    def __init__(self, server: McpServer, site: Site) -> None:
        self.server = server
        self.site = site
        self.sessions: list[McpSession] = []

    async def __call__(self) -> McpSession:
        session = await Connector(direct).connect(self.server, self.site)
        self.sessions.append(session)
        return session

    async def close(self) -> None:
        for session in self.sessions:
            await session.close()


@pytest.fixture
def root() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="h", dir="/tmp"))
    folder.chmod(0o711)
    yield folder
    discard(folder)


@pytest.fixture
async def site(root: Path) -> AsyncIterator[Site]:
    provider = plain_provider(root)
    handle = await provider.create(EnvSpec("env"))
    await provider.start(handle)
    machine: Machine = provider.machine(handle)
    incarnation = await machine.register("run", 1)
    yield Site("env", machine, Operation("run", 1, "mcp-fake-1-1"), incarnation)
    await provider.delete(handle)


@pytest.fixture
async def inside(site: Site) -> AsyncIterator[Opening]:
    opening = Opening(McpServer("fake", command=sys.executable, args=(FAKE,), env={"FAKE_SECRET": "s"}), site)
    yield opening
    await opening.close()


class TestInside(SessionSuite):
    @pytest.fixture
    def opened(self, inside: Opening) -> Opened:
        return inside

    async def test_it_goes_on_under_the_fence_of_a_new_turn(self, inside: Opening, site: Site) -> None:
        session = await inside()
        await site.machine.register("run", 5)
        await session.move(Operation("run", 5, "mcp-fake-1-1"))
        assert (await session.call("echo", {"text": "still"}, 30)).text == "still"
        assert (await session.call("secret", {}, 30)).text == "s"

    async def test_an_end_tells_the_exit_code(self, inside: Opening) -> None:
        session = await inside()
        with pytest.raises(McpFailed, match="exit code 3"):
            await session.call("die", {}, 30)
        async with asyncio.timeout(30):
            await session.gone.wait()
        assert "exit code 3" in session.why

    async def test_a_closed_connection_leaves_no_process(self, inside: Opening, site: Site) -> None:
        session = await inside()
        await session.close()
        line = await site.machine.attach(site.operation, _command(), incarnation=site.incarnation)
        async with asyncio.timeout(30):
            await line.wait()
        line.close()

    async def test_a_program_that_is_not_there_or_says_nothing_sensible_is_refused(self, site: Site) -> None:
        for number, words in enumerate((("/nowhere",), ("/bin/echo", "hello"), ("/bin/false",))):
            server = McpServer("bad", command=words[0], args=words[1:])
            there = Site("env", site.machine, Operation("run", 1, f"mcp-bad-1-{number}"), site.incarnation)
            with pytest.raises(McpFailed):
                await Connector(direct).connect(server, there)


def _command() -> Command:
    return Command(("true",))


class TestReached(SessionSuite):
    @pytest.fixture
    async def opened(self, site: Site) -> AsyncIterator[Opened]:
        process = await asyncio.create_subprocess_exec(sys.executable, FAKE, "0", stdout=asyncio.subprocess.PIPE)
        assert process.stdout is not None
        port = int(await process.stdout.readline())
        opening = Opening(McpServer("fake", url=f"http://127.0.0.1:{port}/mcp", headers={"X-Token": "t"}), site)
        yield opening
        await opening.close()
        if process.returncode is None:
            process.kill()
        await process.wait()

    async def test_a_server_that_nobody_serves_is_refused_with_the_reason(self, site: Site) -> None:
        async def refused(environment: str, host: str, port: int) -> Streams:
            raise McpFailed(f"{host}:{port} is not on this environment's list of allowed hosts")

        server = McpServer("far", url="https://mcp.example/mcp")
        with pytest.raises(McpFailed, match="list of allowed hosts"):
            await Connector(refused).connect(server, site)
        with pytest.raises(McpFailed):
            await Connector(direct).connect(McpServer("far", url="http://127.0.0.1:9/mcp"), site)
