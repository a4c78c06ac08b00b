"""A provider that sends exactly what a test says, and keeps what it was sent."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Answer = Callable[["Got"], list[bytes]]


@dataclass(slots=True)
class Got:
    """One request."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Raw:
    """The provider; `environ` leads every family to it."""

    port: int
    key: str
    requests: list[Got] = field(default_factory=list[Got])

    def environ(self) -> dict[str, str]:
        url = f"http://127.0.0.1:{self.port}"
        keys = {"ANTHROPIC_API_KEY": self.key, "OPENAI_API_KEY": self.key}
        return {**keys, "ANTHROPIC_BASE_URL": url, "OPENAI_BASE_URL": f"{url}/v1"}


@asynccontextmanager
async def raw(answer: Answer, key: str = "sk-real-key-of-the-operator") -> AsyncIterator[Raw]:
    """Yield a provider that writes the pieces one by one, each in a packet of its own."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().rstrip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        got = Got(first, headers, await reader.readexactly(int(headers.get("content-length", "0"))))
        found.requests.append(got)
        for piece in answer(got):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=1 << 20)
    found = Raw(server.sockets[0].getsockname()[1], key)
    async with server:
        yield found


def head(kind: str, *more: str, status: int = 200) -> bytes:
    """Return the head of an answer that ends with the connection."""
    lines = (f"HTTP/1.1 {status} OK", f"Content-Type: {kind}", "Connection: close", *more, "", "")
    return "\r\n".join(lines).encode()
