"""What goes on while nobody looks, seen from the server: attached processes and terminals."""

from collections.abc import AsyncIterator
from typing import Self

from hostler.core.errors import MachineLost
from hostler.core.machines import Outcome
from hostler.environments import answers
from hostler.environments.channel import Connect, Exchange, need
from hostler.environments.supervisor.frames import Header

OPEN_SECONDS = 20.0
SEND_SECONDS = 120.0
PAST_THE_END = 1 << 60


class AttachedProcess:
    """A long-lived process inside; see `Attached` for the promises."""

    def __init__(self, connect: Connect, change: Header, request: Header, exchange: Exchange) -> None:
        self._connect = connect
        self._change = change
        self._request = request
        self._exchange = exchange

    @classmethod
    async def open(cls, connect: Connect, change: Header, request: Header) -> Self:
        """Start or rejoin; returns when the supervisor has it."""
        exchange = await Exchange(connect, request, seconds=None).__aenter__()
        attached = cls(connect, change, request, exchange)
        try:
            await exchange.answer(OPEN_SECONDS)
        except BaseException:
            attached.close()
            raise
        return attached

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """Yield (offset, bytes) until the process ends."""
        async for header, body in self._exchange.answers():
            if header.get("type") == "ended":
                return
            yield need(header, "offset", int), body

    async def send(self, message: str, data: bytes) -> bool:
        """Write a message whole, once per id; False: it was written before."""
        header = {**self._change, "call": "deliver", "message": message}
        async with Exchange(self._connect, header, data, seconds=SEND_SECONDS) as exchange:
            return not need((await exchange.answer())[0], "repeated", bool)

    async def wait(self) -> Outcome:
        """Return how the process ended; looks on a stream of its own, so output need not be read for it."""
        async with Exchange(self._connect, {**self._request, "offset": PAST_THE_END}, seconds=None) as exchange:
            async for header, _ in exchange.answers():
                if header.get("type") == "ended":
                    return answers.outcome(header)
        raise MachineLost

    async def errors(self) -> bytes:
        """Return the tail of its standard error."""
        async with Exchange(self._connect, {**self._change, "call": "errors"}, seconds=OPEN_SECONDS) as exchange:
            return (await exchange.answer())[1]

    async def kill(self) -> None:
        """Kill the process and everything it started."""
        await _do(self._connect, {**self._change, "call": "cancel"})

    def close(self) -> None:
        """Stop looking; the process goes on."""
        self._exchange.close()


class Terminal:
    """A terminal inside; see `Pty` for the promises."""

    def __init__(self, connect: Connect, change: Header, exchange: Exchange) -> None:
        self._connect = connect
        self._change = change
        self._exchange = exchange
        self.history = b""
        self.size = (0, 0)
        self.outcome: Outcome | None = None

    @classmethod
    async def open(cls, connect: Connect, change: Header, request: Header) -> Self:
        """Open or rejoin; returns when the supervisor has it."""
        exchange = await Exchange(connect, request, seconds=None).__aenter__()
        terminal = cls(connect, change, exchange)
        try:
            await terminal._begin()
        except BaseException:
            terminal.close()
            raise
        return terminal

    async def _begin(self) -> None:
        header, self.history = await self._exchange.answer(OPEN_SECONDS)
        if header.get("type") == "ended":
            self.outcome = answers.outcome(header)
        else:
            self.size = need(header, "rows", int) & 0xFFFF, need(header, "cols", int) & 0xFFFF

    async def output(self) -> AsyncIterator[bytes]:
        """Yield the ring buffer, then what comes, until the terminal ends."""
        if self.history:
            yield self.history
        async for data in self.news():
            yield data

    async def news(self) -> AsyncIterator[bytes]:
        """Yield what is shown after the history, until the terminal ends."""
        while self.outcome is None:
            header, body = await self._exchange.answer()
            if header.get("type") == "ended":
                self.outcome = answers.outcome(header)
            else:
                yield body

    async def write(self, data: bytes) -> None:
        """Type `data`."""
        await _do(self._connect, {**self._change, "call": "pty_type"}, data)

    async def resize(self, rows: int, cols: int) -> None:
        """Change the size in characters."""
        await _do(self._connect, {**self._change, "call": "pty_resize", "rows": rows, "cols": cols})

    async def kill(self) -> None:
        """End the terminal and all that runs in it."""
        await _do(self._connect, {**self._change, "call": "cancel"})

    def close(self) -> None:
        """Stop looking; the terminal goes on."""
        self._exchange.close()


async def _do(connect: Connect, header: Header, body: bytes = b"") -> None:
    async with Exchange(connect, header, body, seconds=OPEN_SECONDS) as exchange:
        await exchange.answer()
