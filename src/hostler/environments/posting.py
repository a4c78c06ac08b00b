"""One POST of the server itself to an address that somebody chose: over checked addresses, following no redirect."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

import h11

from hostler.core.errors import InvalidArgument
from hostler.environments.egress import Refusal

SECONDS = 20.0
"""How long one POST may take, connection and all."""
LARGEST = 64 << 10
"""Bytes of an answer that are read; nothing of it but its status is used."""
LONGEST = 2000
PORTS = {"http": 80, "https": 443}
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Reach = Callable[[str, int], Awaitable[Streams]]
"""Connects to a host and port; raises Refusal."""


@dataclass(frozen=True, slots=True)
class Posted:
    """How a POST went: the status, or 0 and why there is none."""

    status: int
    problem: str = ""

    @property
    def ok(self) -> bool:
        """Return whether it was taken."""
        return 200 <= self.status < 300


def parts_of(url: str) -> SplitResult:
    """Return the parts of an address that can be posted to; InvalidArgument for any other."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InvalidArgument("this is no address", field="url") from None
    if len(url) > LONGEST or not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidArgument(f"at most {LONGEST} printable ASCII characters", field="url")
    if parts.scheme not in PORTS or not parts.hostname or port == 0:
        raise InvalidArgument("https:// or http:// with a host is needed", field="url")
    if parts.username is not None or parts.fragment:
        raise InvalidArgument("a name, a password or a fragment has no place in it", field="url")
    return parts


class Posting:
    """Posts by `reach`, which checks addresses."""

    def __init__(self, reach: Reach, trust: ssl.SSLContext | None = None) -> None:
        self._reach = reach
        self._trust = trust or ssl.create_default_context()

    async def check(self, url: str) -> None:
        """Raise InvalidArgument when an address cannot be posted to, for its form or for where it leads."""
        parts = parts_of(url)
        try:
            async with asyncio.timeout(SECONDS):
                _, writer = await self._reach(parts.hostname or "", parts.port or PORTS[parts.scheme])
        except Refusal as refusal:
            if refusal.status == 403:
                raise InvalidArgument(str(refusal), field="url") from None
        except (OSError, TimeoutError):
            pass
        else:
            writer.transport.abort()

    async def post(self, url: str, body: bytes, headers: Sequence[tuple[str, str]]) -> Posted:
        """Post a body; whatever goes wrong is in the answer."""
        try:
            parts = parts_of(url)
            async with asyncio.timeout(SECONDS):
                streams = await self._reach(parts.hostname or "", parts.port or PORTS[parts.scheme])
                try:
                    if parts.scheme == "https":
                        await streams[1].start_tls(self._trust, server_hostname=parts.hostname)
                    status = await _asked(streams, _request(parts, body, headers), body)
                finally:
                    streams[1].transport.abort()
        except (Refusal, InvalidArgument) as problem:
            return Posted(0, str(problem))
        except TimeoutError:
            return Posted(0, f"no answer in {SECONDS:g} seconds")
        except (OSError, ssl.SSLError, h11.RemoteProtocolError) as problem:
            return Posted(0, f"{type(problem).__name__}: {problem}"[:500])
        return Posted(status, "" if 200 <= status < 300 else f"status {status}")


def _request(parts: SplitResult, body: bytes, headers: Sequence[tuple[str, str]]) -> h11.Request:
    own = [
        ("Host", parts.netloc),
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("User-Agent", "hostler"),
        ("Connection", "close"),
    ]
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return h11.Request(method="POST", target=target, headers=[*own, *headers])


async def _asked(streams: Streams, request: h11.Request, body: bytes) -> int:
    """Send a request and return the status of its answer."""
    reader, writer = streams
    connection = h11.Connection(h11.CLIENT)
    sent = (connection.send(request), connection.send(h11.Data(data=body)), connection.send(h11.EndOfMessage()))
    writer.write(b"".join(part for part in sent if part))
    await writer.drain()
    read = 0
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            data = await reader.read(16 << 10)
            read += len(data)
            connection.receive_data(data)
            if read > LARGEST:
                raise OSError("the answer is too long")
        elif isinstance(event, h11.Response):
            return event.status_code
        elif isinstance(event, h11.ConnectionClosed):
            raise OSError("the connection was closed without an answer")
