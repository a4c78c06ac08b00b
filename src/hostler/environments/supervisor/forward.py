"""The only ways out: local ports whose connections are carried to sockets that the server serves outside."""

from __future__ import annotations

import asyncio
import contextlib

WAIT_SECONDS = 60.0
RETRY_SECONDS = 0.2
CHUNK = 64 << 10


async def listen(port: int, socket_path: str) -> asyncio.AbstractServer:
    """Carry every connection to 127.0.0.1:`port` to the socket; while the server is away, connections wait for it."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await _reach(socket_path)
        except (TimeoutError, OSError):
            writer.close()
            return
        await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
        for end in (writer, far_writer):
            end.close()

    return await asyncio.start_server(carry, "127.0.0.1", port)


async def _reach(path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    loop = asyncio.get_running_loop()
    until = loop.time() + WAIT_SECONDS
    while True:
        try:
            return await asyncio.open_unix_connection(path)
        except OSError:
            if loop.time() > until:
                raise
        await asyncio.sleep(RETRY_SECONDS)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
