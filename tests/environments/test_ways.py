import asyncio
from pathlib import Path

from hostler.core.providers import NetworkPolicy
from hostler.environments.ways import AllWays, SocketWay


async def echo(environment: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(environment.encode() + b": " + line)
        await writer.drain()


async def said(path: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b"hello\n")
    return reader, writer, await reader.readline()


async def test_each_environment_is_served_by_name_on_a_socket_for_its_uid_only(root: Path) -> None:
    way = SocketWay("llm.sock", echo)
    for name in ("one", "two"):
        (root / name).mkdir()
        await way.open(name, root / name, -1, NetworkPolicy())
        await way.open(name, root / name, -1, NetworkPolicy())
        path = root / name / "llm.sock"
        _, writer, line = await said(path)
        assert line == f"{name}: hello\n".encode()
        assert path.stat().st_mode & 0o777 == 0o600
        writer.close()
    await way.close_all()


async def test_a_socket_that_a_dead_server_left_is_replaced(root: Path) -> None:
    first = SocketWay("llm.sock", echo)
    await first.open("env", root, -1, NetworkPolicy())
    second = SocketWay("llm.sock", echo)
    await second.open("env", root, -1, NetworkPolicy())
    _, writer, line = await said(root / "llm.sock")
    assert line == b"env: hello\n"
    writer.close()
    await first.close_all()
    await second.close_all()


async def test_connections_beyond_the_bound_are_closed_and_the_others_go_on(root: Path) -> None:
    way = SocketWay("llm.sock", echo, most=2)
    await way.open("env", root, -1, NetworkPolicy())
    open_ones = [await said(root / "llm.sock") for _ in range(2)]
    reader, refused = await asyncio.open_unix_connection(root / "llm.sock")
    assert await reader.read() == b""
    refused.close()
    open_ones[0][1].write(b"still\n")
    assert await open_ones[0][0].readline() == b"env: still\n"
    for _, writer, _ in open_ones:
        writer.close()
    await way.close_all()


async def test_closing_cuts_what_is_under_way(root: Path) -> None:
    way = SocketWay("llm.sock", echo)
    await way.open("env", root, -1, NetworkPolicy())
    reader, writer, _ = await said(root / "llm.sock")
    await way.close("env")
    assert await reader.read() == b""
    writer.close()


async def test_several_ways_open_and_close_together(root: Path) -> None:
    ways = AllWays((SocketWay("a.sock", echo), SocketWay("b.sock", echo)))
    await ways.open("env", root, -1, NetworkPolicy())
    for name in ("a.sock", "b.sock"):
        _, writer, line = await said(root / name)
        assert line == b"env: hello\n"
        writer.close()
    await ways.close("env")
