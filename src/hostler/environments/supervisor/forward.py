"""The only ways out: local ports whose connections are carried to sockets that the server serves outside."""

from __future__ import annotations

import asyncio
import contextlib

RETRY_SECONDS = 0.2
CHUNK = 64 << 10
MOST_AHEAD = 1 << 20
"""Bytes that are taken from a connection while the server is away."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def listen(port: int, socket_path: str) -> asyncio.AbstractServer:
    """Carry every connection to 127.0.0.1:`port` to the socket; while the server is away, connections wait for it."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _carry((reader, writer), socket_path)
        finally:
            writer.close()

    return await asyncio.start_server(carry, "127.0.0.1", port)


async def _carry(near: Streams, path: str) -> None:
    """Carry one connection as soon as there is a server; one that is closed meanwhile never reaches it."""
    reaching = asyncio.ensure_future(_reach(path))
    reading = asyncio.ensure_future(near[0].read(CHUNK))
    ahead, ended = bytearray(), False
    while not ended:
        waiting = {reaching, reading} if len(ahead) < MOST_AHEAD else {reaching}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if reaching.done():
            break
        with contextlib.suppress(OSError):
            if data := reading.result():
                ahead += data
                reading = asyncio.ensure_future(near[0].read(CHUNK))
                continue
        ended = True
    if ended:
        reaching.cancel()
        return
    far = reaching.result()
    try:
        await asyncio.gather(_copy(near[0], far[1], bytes(ahead), reading), _copy(far[0], near[1]))
    finally:
        far[1].close()


async def _reach(path: str) -> Streams:
    while True:
        with contextlib.suppress(OSError):
            return await asyncio.open_unix_connection(path)
        await asyncio.sleep(RETRY_SECONDS)


async def _copy(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    ahead: bytes = b"",
    reading: asyncio.Future[bytes] | None = None,
) -> None:
    """Copy until the end, beginning with what was read already and with a read under way.

    Where one side is torn off, as by the death of the server, the other one is closed and waits for nothing more.
    """
    try:
        writer.write(ahead)
        while data := await (reading or reader.read(CHUNK)):
            reading = None
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        writer.close()
