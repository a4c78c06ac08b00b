"""The terminal's WebSocket at a real environment: a shell that is typed into, shared, left alone and found again."""

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from hostler.web.terminal import GONE, SIGNED_OUT, STILL
from tests.server import HostlerProcess, short_folder

pytestmark = [pytest.mark.sandbox, pytest.mark.asyncio]
SERVICE = "EnvironmentService"
PATIENCE = 60


@pytest.fixture(scope="module")
def server() -> Iterator[HostlerProcess]:
    with short_folder() as folder:
        data = folder / "data"
        data.mkdir(mode=0o711)
        made = HostlerProcess(data).start()
        yield made
        made.close()


@pytest.fixture(scope="module")
def environment(server: HostlerProcess) -> str:
    return running(server)


def running(server: HostlerProcess) -> str:
    """Return an environment that runs."""
    spec = {"desiredPhase": "ENVIRONMENT_PHASE_RUNNING"}
    made = server.call("CreateEnvironment", {"spec": spec}, SERVICE)["environment"]["id"]
    server.until(lambda: phase(server, made) == "RUNNING")
    return made


def phase(server: HostlerProcess, environment: str) -> str:
    found = server.call("GetEnvironment", {"environmentId": environment}, SERVICE)["environment"]
    return found["status"]["phase"].removeprefix("ENVIRONMENT_PHASE_")


class Looking:
    """A page that shows a terminal."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.shown = b""
        self.told: list[dict[str, Any]] = []

    async def type(self, text: str) -> None:
        await self.socket.send(text.encode())

    async def tell(self, **message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def until(self, mark: bytes) -> None:
        async with asyncio.timeout(PATIENCE):
            while mark not in self.shown:
                await self._next()

    async def hears(self, kind: str) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE):
            while not (found := [one for one in self.told if one["type"] == kind]):
                await self._next()
        return found[-1]

    async def closed(self) -> tuple[int, str]:
        """Return the code and the reason with which the server closes."""
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(ConnectionClosed):
                while True:
                    await self._next()
        assert self.socket.close_code is not None
        return self.socket.close_code, self.socket.close_reason or ""

    async def _next(self) -> None:
        frame = await self.socket.recv()
        if isinstance(frame, bytes):
            self.shown += frame
        else:
            self.told.append(json.loads(frame))


@asynccontextmanager
async def looking(
    server: HostlerProcess, environment: str, terminal: str, query: str = "open=1", **more: Any
) -> AsyncIterator[Looking]:
    headers = more.pop("headers", {"Authorization": f"Bearer {server.token}"})
    url = f"{server.url.replace('http', 'ws', 1)}/environments/{environment}/terminals/{terminal}/socket?{query}"
    async with connect(url, additional_headers=headers, proxy=None, open_timeout=PATIENCE, **more) as socket:
        yield Looking(socket)


async def test_what_is_typed_runs_in_a_terminal_of_the_pages_size(server: HostlerProcess, environment: str) -> None:
    async with looking(server, environment, "terminal-1", "open=1&rows=31&cols=97") as page:
        assert await page.hears("ready") == {"type": "ready", "rows": 31, "cols": 97}
        await page.type("stty size; echo $((6 * 7))-answer\r")
        await page.until(b"42-answer")
        assert b"31 97" in page.shown
        await page.tell(type="resize", rows=20, cols=50)
        await page.type("stty size\r")
        await page.until(b"20 50")
        for nonsense in ("", "{", "[]", '{"type": "resize", "rows": "many", "cols": -1}', '{"type": 7}', "null"):
            await page.socket.send(nonsense)
        await page.tell(type="ping")
        await page.hears("pong")


async def test_two_pages_show_the_same_shell_and_its_end(server: HostlerProcess, environment: str) -> None:
    async with looking(server, environment, "terminal-2") as one:
        await one.type("echo first-$((1 + 1))\r")
        await one.until(b"first-2")
        async with looking(server, environment, "terminal-2", "") as other:
            await other.until(b"first-2")
            await other.type("echo second-$((1 + 2))\r")
            await one.until(b"second-3")
            await other.type("exit 5\r")
            for page in (one, other):
                assert (await page.hears("exited"))["code"] == 5
                assert (await page.closed())[0] == 1000
    async with looking(server, environment, "terminal-2", "") as late:
        await late.until(b"second-3")
        assert (await late.hears("exited"))["code"] == 5
    async with looking(server, environment, "terminal-of-nobody", "") as wrong:
        assert await wrong.closed() == (GONE, "this terminal has ended")


async def test_a_restarted_server_leads_to_the_same_shell(server: HostlerProcess, environment: str) -> None:
    async with looking(server, environment, "terminal-3") as page:
        await page.type("kept=$((40 + 2)); echo noted-$kept\r")
        await page.until(b"noted-42")
        await asyncio.to_thread(server.restart)
    async with looking(server, environment, "terminal-3", "") as again:
        await again.until(b"noted-42")
        await again.type("echo still-$kept\r")
        await again.until(b"still-42")


def sent(server: HostlerProcess, path: str, cookie: str = "", body: Mapping[str, Any] | None = None) -> Any:
    headers = {"Origin": server.url, "Content-Type": "application/json", "Cookie": cookie}
    data = json.dumps(body).encode() if body is not None else b""
    request = urllib.request.Request(server.url + path, data=data, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.headers["Set-Cookie"], answer.read()


async def test_signing_out_ends_the_terminals_of_the_browser(server: HostlerProcess, environment: str) -> None:
    cookie, _ = await asyncio.to_thread(sent, server, "/sign-in", "", {"token": server.token})
    mine = {"headers": {"Cookie": cookie.partition(";")[0]}, "origin": server.url}
    async with looking(server, environment, "terminal-4", **mine) as page:
        await page.type("echo in-$((2 + 2))\r")
        await page.until(b"in-4")
        await asyncio.to_thread(sent, server, "/sign-out", cookie.partition(";")[0])
        assert (await page.closed())[0] == SIGNED_OUT
    with pytest.raises(InvalidStatus):
        async with looking(server, environment, "terminal-4", **mine):
            pass


async def test_a_taken_back_token_ends_its_terminals(server: HostlerProcess, environment: str) -> None:
    made = await asyncio.to_thread(token, server)
    headers = {"Authorization": f"Bearer {made['token']}"}
    async with looking(server, environment, "terminal-5", headers=headers) as page:
        await page.hears("ready")
        revoke = urllib.request.Request(
            f"{server.url}/api/hostler/v1/tokens/{made['id']}",
            headers={"Authorization": f"Bearer {server.token}"},
            method="DELETE",
        )
        await asyncio.to_thread(lambda: urllib.request.urlopen(revoke, timeout=60).close())
        assert (await page.closed())[0] == SIGNED_OUT


def token(server: HostlerProcess, **more: Any) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}
    data = json.dumps({"name": "test", **more}).encode()
    request = urllib.request.Request(f"{server.url}/api/hostler/v1/tokens", data=data, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


async def test_nobody_else_is_let_in(server: HostlerProcess, environment: str) -> None:
    cookie, _ = await asyncio.to_thread(sent, server, "/sign-in", "", {"token": server.token})
    mine = {"Cookie": cookie.partition(";")[0]}
    reader = await asyncio.to_thread(token, server, scope="read")
    for more in (
        {"headers": {}},
        {"headers": mine},
        {"headers": mine, "origin": "https://evil.example"},
        {"headers": {**mine, "Sec-Fetch-Site": "cross-site"}, "origin": server.url},
        {"headers": {"Authorization": "Bearer nonsense"}},
        {"headers": {"Authorization": f"Bearer {reader['token']}"}},
    ):
        with pytest.raises(InvalidStatus) as refused:
            async with looking(server, environment, "terminal-6", **more):
                pass
        assert refused.value.response.status_code == 403
    async with looking(server, environment, "terminal-6", "") as page:
        assert (await page.closed())[0] == GONE


async def test_a_stopped_environment_is_not_started_for_a_terminal(server: HostlerProcess) -> None:
    stopped = await asyncio.to_thread(running, server)
    await asyncio.to_thread(server.call, "StopEnvironment", {"environmentId": stopped}, SERVICE)
    async with looking(server, stopped, "terminal-7") as page:
        code, reason = await page.closed()
    assert code == STILL
    assert "stop" in reason
    assert await asyncio.to_thread(phase, server, stopped) in ("STOPPING", "STOPPED")


async def test_an_id_that_is_none_opens_nothing(server: HostlerProcess, environment: str) -> None:
    for terminal in ("short", "a" * 65, "dots.dots.dots"):
        async with looking(server, environment, terminal) as page:
            assert (await page.closed())[0] == GONE
