"""HTTP for the short way: whatever a provider sends, and whenever it goes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import httpx2
import pytest

from hostler.models import direct_http
from hostler.models.direct_http import Connection, Connections, Origin

PLAIN = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"


class Provider:
    """Answers each request with the next bytes; None closes the connection."""

    def __init__(self, answers: Sequence[Sequence[bytes | None]]) -> None:
        self.connections = 0
        self.origin = Origin(secure=False, host="127.0.0.1", port=0)
        self._answers = list(answers)
        self.gone = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.ensure_future(self.connected(reader, writer)))

    async def close(self) -> None:
        await asyncio.gather(*self._tasks)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                for piece in self._answers.pop(0):
                    if piece is None:
                        return
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.gone.set()
        finally:
            writer.close()


@asynccontextmanager
async def provider(*answers: Sequence[bytes | None]) -> AsyncIterator[tuple[Provider, Connections]]:
    played = Provider(answers)
    server = await asyncio.start_server(played.accept, "127.0.0.1", 0)
    played.origin = Origin(secure=False, host="127.0.0.1", port=server.sockets[0].getsockname()[1])
    connections = Connections()
    try:
        yield played, connections
    finally:
        connections.close()
        server.close()
        await played.close()
        await server.wait_closed()


async def said(connections: Connections, origin: Origin) -> tuple[int, bytes]:
    """One call: its status and body."""
    connection = await connections.take(origin)
    try:
        connection.ask(b"POST / HTTP/1.1\r\nhost: x\r\n\r\n")
        await connection.answered()
        body = b""
        while piece := await connection.read():
            body += piece
        return connection.status, body
    finally:
        connections.give_back(origin, connection)


@pytest.mark.parametrize(
    "answer",
    [
        [PLAIN],
        [PLAIN[:3], PLAIN[3:30], PLAIN[30:]],
        [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n", b"3\r\nllo\r\n0\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\n\r\nhe", b"llo", None],
        [b"HTTP/1.0 200 OK\r\n\r\nhello", None],
        [b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n", PLAIN],
        [b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN],
    ],
)
async def test_an_answer_is_read_to_its_end_however_it_is_sent(answer: list[bytes | None]) -> None:
    async with provider(answer) as (played, connections):
        assert await said(connections, played.origin) == (200, b"hello")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ([None], httpx2.RemoteProtocolError),
        ([b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello", None], httpx2.RemoteProtocolError),
        ([b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n", None], httpx2.RemoteProtocolError),
        ([b"SSH-2.0-OpenSSH_9.2\r\n"], httpx2.RemoteProtocolError),
        ([b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 100_000], httpx2.RemoteProtocolError),
        ([b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"], httpx2.RemoteProtocolError),
    ],
)
async def test_an_answer_that_is_none_is_an_error(answer: list[bytes | None], error: type[Exception]) -> None:
    async with provider(answer) as (played, connections):
        with pytest.raises(error):
            await said(connections, played.origin)


async def test_a_connection_is_used_again() -> None:
    async with provider([PLAIN], [PLAIN], [PLAIN]) as (played, connections):
        for _ in range(3):
            assert await said(connections, played.origin) == (200, b"hello")
        assert played.connections == 1


async def test_a_connection_that_the_provider_gives_up_is_not() -> None:
    last = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello"
    async with provider([last, None], [PLAIN], [PLAIN]) as (played, connections):
        await said(connections, played.origin)
        assert await said(connections, played.origin) == (200, b"hello")
        assert played.connections == 2


async def test_a_connection_that_is_not_used_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct_http, "IDLE_SECONDS", 0.01)
    async with provider([PLAIN], [PLAIN]) as (played, connections):
        await said(connections, played.origin)
        await played.gone.wait()
        await said(connections, played.origin)
        assert played.connections == 2


async def test_a_provider_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct_http, "SILENCE_SECONDS", 0.05)
    async with provider([b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello"]) as (played, connections):
        with pytest.raises(httpx2.ReadTimeout):
            await said(connections, played.origin)


async def test_what_was_not_read_to_its_end_is_closed() -> None:
    async with provider([b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello"]) as (played, connections):
        connection = await connections.take(played.origin)
        connection.ask(b"POST / HTTP/1.1\r\nhost: x\r\n\r\n")
        await connection.answered()
        connections.give_back(played.origin, connection)
        await played.gone.wait()


async def test_a_long_answer_waits_until_it_is_read() -> None:
    """What was not read stays with the provider, beyond a bound."""
    size = 64 << 20
    head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size
    async with provider([head, *[b"x" * (1 << 20)] * 64]) as (played, connections):
        connection = await connections.take(played.origin)
        connection.ask(b"POST / HTTP/1.1\r\nhost: x\r\n\r\n")
        await connection.answered()
        await asyncio.sleep(0.2)
        assert connection._unread < 4 * direct_http.MOST_UNREAD
        read = 0
        while piece := await connection.read():
            read += len(piece)
        assert read == size


async def test_an_address_that_refuses_is_an_error_and_the_next_one_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    async with provider([PLAIN], [PLAIN]) as (played, connections):

        async def addresses(_: Origin) -> list[str]:
            return ["127.0.0.9", "127.0.0.1"]

        monkeypatch.setattr(direct_http, "_addresses", addresses)
        assert await said(connections, played.origin) == (200, b"hello")
        nobody = Origin(secure=False, host="127.0.0.1", port=9)
        with pytest.raises(httpx2.ConnectError):
            await connections.take(nobody)


async def test_names_are_looked_up() -> None:
    async with provider([PLAIN]) as (played, connections):
        named = Origin(secure=False, host="localhost", port=played.origin.port)
        assert await said(connections, named) == (200, b"hello")
        unknown = Origin(secure=False, host="models.invalid", port=1)
        with pytest.raises(httpx2.ConnectError):
            await connections.take(unknown)


def test_where_a_url_leads() -> None:
    assert Origin.of(httpx2.URL("https://API.example.com/v1")) == Origin(secure=True, host="api.example.com", port=443)
    assert Origin.of(httpx2.URL("http://[::1]:8080/v1")) == Origin(secure=False, host="::1", port=8080)
    assert Connection().closed is False
