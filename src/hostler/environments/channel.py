"""Reaching a supervisor: Unix sockets with paths of any length, and one request with its answers and its deadline."""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from hostler.core.errors import EnvironmentFailed, Fenced, MachineLost, Restarted
from hostler.core.machines import FileProblem, ProcessEnded
from hostler.core.providers import Channel
from hostler.environments.supervisor import frames
from hostler.environments.supervisor.fences import Refused
from hostler.environments.supervisor.requests import field

CONNECT_SECONDS = 5.0
BODY_LIMIT = 48 << 20
PATH_LIMIT = 100
INTEGERS = 1 << 63

T = TypeVar("T")
Connect = Callable[[], Awaitable[Channel]]


class LeasedWay:
    """A way to a supervisor on which changes are asked for only until the owner's lease ends.

    `end` is on the machine's clock that counts sleep; a change that comes later begins nothing, see `Fences.in_time`.
    """

    def __init__(self, connect: Connect, end: Callable[[], float]) -> None:
        self._connect = connect
        self.end = end

    async def __call__(self) -> Channel:
        """Connect."""
        return await self._connect()


@contextlib.contextmanager
def reachable(path: Path) -> Generator[str]:
    """Yield a name for a socket that fits into the 108 bytes that a socket's address may have."""
    if len(os.fsencode(path)) <= PATH_LIMIT:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


class UnixChannel:
    """A byte stream over a connected Unix socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Connect; raises OSError when nobody listens."""
        with reachable(path) as name:
            return cls(*await asyncio.open_unix_connection(name))

    async def read_exactly(self, size: int) -> bytes:
        """Return `size` bytes; raises EOFError when the stream ends first."""
        return await self._reader.readexactly(size)

    async def write(self, data: bytes) -> None:
        """Send all of `data`; raises OSError when the other end is gone."""
        self._writer.write(data)
        await self._writer.drain()

    def close(self) -> None:
        """Close at once; safe to repeat."""
        self._writer.transport.abort()


class Exchange:
    """One request and its answers; waiting for the other end costs from a budget of seconds, so that it always ends."""

    def __init__(self, connect: Connect, header: frames.Header, body: bytes = b"", *, seconds: float | None) -> None:
        self._connect = connect
        if isinstance(connect, LeasedWay) and "fence" in header:
            header = {**header, "until": connect.end()}
        self._request = frames.pack(header, body)
        self._left = seconds
        self._channel: Channel | None = None

    async def __aenter__(self) -> Self:
        """Connect and send; raises MachineLost."""
        self._channel = await _soon(self._connect(), CONNECT_SECONDS)
        try:
            await _soon(self._channel.write(self._request), 30.0)
        except BaseException:
            self._channel.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the stream; what runs inside goes on."""
        self.close()

    def close(self) -> None:
        """Close the stream; safe to repeat."""
        if self._channel:
            self._channel.close()

    async def answer(self, seconds: float | None = None) -> frames.Frame:
        """Return the next answer, within `seconds` if given; raises the supervisor's refusal, or MachineLost."""
        if self._channel is None:
            raise MachineLost
        loop = asyncio.get_running_loop()
        began = loop.time()
        header, body = await _soon(_read(self._channel), self._left if seconds is None else seconds)
        if self._left is not None:
            self._left = max(0.0, self._left - (loop.time() - began))
        if header.get("type") == "error":
            raise _refusal(header)
        return header, body

    async def answers(self) -> AsyncIterator[frames.Frame]:
        """Yield answers for as long as the caller asks."""
        while True:
            yield await self.answer()


async def _soon(waiting: Awaitable[T], seconds: float | None) -> T:
    try:
        async with asyncio.timeout(seconds):
            return await waiting
    except TimeoutError as error:
        raise MachineLost("The environment's supervisor did not answer in time.") from error
    except (EOFError, OSError) as error:
        raise MachineLost("The environment's supervisor has ended.") from error
    except frames.BadFrame as error:
        raise MachineLost(f"The environment's supervisor speaks no sense: {error}.") from error


async def _read(channel: Channel) -> frames.Frame:
    prefix = await channel.read_exactly(frames.LENGTHS.size)
    header, body = frames.lengths(prefix, body_limit=BODY_LIMIT)
    return _storable(frames.parse(await channel.read_exactly(header))), await channel.read_exactly(body)


def _storable(header: frames.Header) -> frames.Header:
    """Return a header whose texts can be encoded; raises BadFrame when a number in it is none."""
    try:
        text = json.dumps(header, ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise frames.BadFrame("a number is none") from error
    return header if text.isascii() else frames.parse(text.encode(errors="replace"))


def _refusal(header: frames.Header) -> Exception:
    message = str(header.get("message", ""))[:2000]
    match header.get("kind"):
        case "lost":
            return Restarted(message)
        case "fenced":
            return Fenced(message)
        case "file":
            return FileProblem(str(header.get("problem", "other"))[:40], message)
        case "ended":
            return ProcessEnded(message)
        case _:
            return EnvironmentFailed(message)


def need(header: frames.Header, name: str, kind: type[T]) -> T:
    """Return a field of an answer; raises MachineLost when the supervisor sent something else."""
    try:
        value = field(header, name, kind)
        if isinstance(value, int) and not -INTEGERS <= value < INTEGERS:
            raise Refused("bad", f"{name}: too large a number")
        return value
    except (Refused, OverflowError) as error:
        raise MachineLost(f"The environment's supervisor speaks no sense: {error}.") from error


def table(header: frames.Header, name: str) -> frames.Header:
    """Return an object of an answer; raises MachineLost when there is none."""
    return cast("frames.Header", need(header, name, dict))


def rows(header: frames.Header, name: str) -> list[frames.Header]:
    """Return the objects in a list of an answer; raises MachineLost when there is no list."""
    return [cast("frames.Header", row) for row in cast("list[Any]", need(header, name, list)) if isinstance(row, dict)]
