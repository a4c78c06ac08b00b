"""Writes an environment's log: Hostler's own words, and what setup commands say, without secrets."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from hostler.core.ambient import Ambient
from hostler.core.environment_log import EnvironmentLogs
from hostler.core.redaction import Redactor

MOST_OUTPUT = 1 << 20
"""Bytes of one command's output that are kept."""
LONGEST_LINE = 16 << 10
"""Bytes without an end of line that are kept without waiting for it."""
Told = Callable[[bytes], Awaitable[None]]


class Journal:
    """Writes to the logs."""

    def __init__(self, logs: EnvironmentLogs, redactor: Redactor, ambient: Ambient) -> None:
        self._logs = logs
        self._redactor = redactor
        self._ambient = ambient

    def masked(self, text: str) -> str:
        """Return a text without secrets."""
        return self._redactor.text(text)

    async def say(self, environment: str, text: str) -> None:
        """Keep a sentence of Hostler's own."""
        await self._logs.say(environment, self._redactor.text(text), self._ambient.now())

    async def kept(self, environment: str, step: str) -> int:
        """Return how many bytes of a step's output are in the log already."""
        return await self._logs.upto(environment, step)

    @asynccontextmanager
    async def output(self, environment: str, step: str, start: int) -> AsyncGenerator[Told]:
        """Yield what is told a step's output from byte `start` on; all of it is kept when the block ends well.

        It is written while the last write goes on, never faster, so that a command that says much is not slowed down.
        """
        tape = _Tape(start)
        writing = asyncio.ensure_future(self._write(environment, step, tape))
        try:
            yield tape.told
            tape.ended = True
            tape.some.set()
            await writing
        finally:
            writing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await writing

    async def _write(self, environment: str, step: str, tape: "_Tape") -> None:
        ended = False
        while not ended:
            await tape.some.wait()
            tape.some.clear()
            ended = tape.ended
            if text := tape.take(self._redactor):
                await self._logs.output(environment, step, tape.upto, text, self._ambient.now())


class _Tape:
    """Output that came in and is not kept yet."""

    def __init__(self, start: int) -> None:
        self.upto = start
        self.held = b""
        self.some = asyncio.Event()
        self.ended = False
        self._over = start > MOST_OUTPUT

    async def told(self, data: bytes) -> None:
        """Note output, as far as there is room for it."""
        room = max(0, MOST_OUTPUT - self.upto - len(self.held))
        self._over = self._over or len(data) > room
        if room:
            self.held += data[:room]
            self.some.set()

    def take(self, redactor: Redactor) -> str:
        """Return what can be shown for good: whole lines, and no beginning of what could still become a secret."""
        end = len(self.held) if self.ended or len(self.held) > LONGEST_LINE else self.held.rfind(b"\n") + 1
        text = self.held[:end].decode("utf-8", "surrogateescape")
        whole = self.ended and not self._over
        raw = (text if whole else text[: redactor.safe_end(text)]).encode("utf-8", "surrogateescape")
        self.held = self.held[len(raw) :]
        self.upto += len(raw)
        shown = redactor.text(raw.decode(errors="replace")).replace("\0", "\N{SYMBOL FOR NULL}")
        return shown + self._rest() if self.ended else shown

    def _rest(self) -> str:
        """Let go of what may not be shown at the end of what is kept, and return what is said instead."""
        self.held = b""
        if not self._over or self.upto > MOST_OUTPUT:
            return ""
        self.upto = MOST_OUTPUT + 1
        return f"\n[more than {MOST_OUTPUT >> 20} MiB of output; the rest is not kept here]\n"
