import asyncio
import contextlib
import socket
from pathlib import Path

import pytest

from hostler.environments.supervisor import forward


async def listening(path: Path) -> tuple[asyncio.AbstractServer, int]:
    server = await forward.listen(0, str(path))
    return server, server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]


async def serve(path: Path, got: list[bytes]) -> asyncio.Server:
    """Answer whatever comes with its own first line, as soon as that is whole."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while line := await reader.readuntil(b"\n"):
                got.append(line)
                writer.write(b"heard " + line)
        got.append(b"the end")
        writer.close()

    path.unlink(missing_ok=True)
    return await asyncio.start_unix_server(connected, path, limit=16 << 20)


async def until_carried(count: int) -> None:
    """Return when so many connections are carried, or wait for the server."""
    while sum(getattr(task.get_coro(), "__name__", "") == "carry" for task in asyncio.all_tasks()) != count:
        await asyncio.sleep(0.01)


async def test_a_connection_waits_for_the_server_and_loses_nothing(root: Path) -> None:
    way, port = await listening(root / "s")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    line = b"x" * (3 << 20) + b"\n"
    writer.write(line[: 2 << 20])
    writer.write(line[2 << 20 :])
    got: list[bytes] = []
    server = await serve(root / "s", got)
    assert await reader.readexactly(6) == b"heard "
    await reader.readexactly(len(line))
    assert got == [line]
    writer.write(b"more\n")
    assert await reader.readline() == b"heard more\n"
    writer.close()
    await until_carried(0)
    assert got[-1] == b"the end"
    server.close()
    way.close()


@pytest.mark.parametrize("said", [b"", b"a request\n"])
async def test_a_connection_that_is_closed_while_it_waits_never_arrives(root: Path, said: bytes) -> None:
    way, port = await listening(root / "s")
    _, gone = await asyncio.open_connection("127.0.0.1", port)
    gone.write(said)
    await until_carried(1)
    gone.close()
    await until_carried(0)
    got: list[bytes] = []
    server = await serve(root / "s", got)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"stays\n")
    assert await reader.readline() == b"heard stays\n"
    writer.close()
    await until_carried(0)
    assert got == [b"stays\n", b"the end"]
    server.close()
    way.close()


async def test_a_connection_whose_server_dies_with_a_request_unread_is_closed(root: Path) -> None:
    """The kernel tells of that as a reset, and whoever asked must hear of it to ask the next server."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "s"))
        listener.listen()
        listener.setblocking(False)
        way, port = await listening(root / "s")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        far, _ = await loop.sock_accept(listener)
        writer.write(b"a request\n")
        with far:
            arrived = asyncio.Event()
            loop.add_reader(far, arrived.set)
            await arrived.wait()
            loop.remove_reader(far)
        async with asyncio.timeout(20):
            assert await reader.read() == b""
        await until_carried(0)
        writer.close()
        way.close()
