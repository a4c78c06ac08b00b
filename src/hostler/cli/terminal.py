"""Our terminal joined to one inside an environment; for systems that have terminals as Linux has them."""

import base64
import contextlib
import json
import os
import select
import signal
import sys
import termios
import threading
import time
import tty
from collections.abc import Generator
from typing import Any

from hostler.cli.chosen import Way
from hostler.cli.problems import Problem, Unreachable
from hostler.cli.stream import PAUSES, TRIES

Json = dict[str, Any]
DETACH = b"\x1d"
"""Ctrl-], as in telnet."""
QUIET = 45.0
"""Seconds without a byte after which a connection counts as broken; the server says something every 15."""
CLEAR = b"\x1b[H\x1b[2J\x1b[3J"
LEFT = -1
"""What a session answers when the person has left and the terminal goes on."""


class Session:
    """Our terminal joined to one inside, until that ends or the person leaves."""

    def __init__(self, way: Way, terminal: str) -> None:
        self._way = way
        self._terminal = terminal
        self._code: int | None = None
        self._problem: Problem | None = None
        self._left = threading.Event()
        self._woken, self._wake = os.pipe()

    def run(self) -> int:
        """Return the exit code of what runs inside, or LEFT."""
        reading = threading.Thread(target=self._read, daemon=True)
        with raw(sys.stdin.fileno()), self._resizing():
            reading.start()
            left = self._type()
            self._left.set()
        if left:
            return LEFT
        reading.join()
        if self._problem is not None:
            raise self._problem
        return self._code or 0

    def _type(self) -> bool:
        """Send what is typed; True once the person leaves, False once it is over."""
        while True:
            ready, _, _ = select.select([sys.stdin.fileno(), self._woken], [], [])
            if self._woken in ready:
                what = os.read(self._woken, 1)
                if what == b"e":
                    return False
                self._resize()
                continue
            typed = os.read(sys.stdin.fileno(), 64 << 10)
            if not typed:
                return True
            before, leave, _ = typed.partition(DETACH)
            if before:
                self._send("WriteTerminal", {"data": base64.b64encode(before).decode()})
            if leave:
                return True

    def _send(self, method: str, body: Json) -> None:
        """Send what was typed or the new size; again while the server is away, until the reader gives up."""
        while self._code is None and self._problem is None:
            try:
                self._way.call(method, {"terminalId": self._terminal, **body})
            except Problem as problem:
                if not isinstance(problem, Unreachable) and problem.code != "unavailable":
                    return
                time.sleep(PAUSES[0])
            else:
                return

    def _resize(self) -> None:
        size = os.get_terminal_size(sys.stdin.fileno())
        if 0 < size.lines <= 1000 and 0 < size.columns <= 1000:
            self._send("ResizeTerminal", {"rows": size.lines, "cols": size.columns})

    @contextlib.contextmanager
    def _resizing(self) -> Generator[None]:
        before = signal.signal(signal.SIGWINCH, lambda _number, _frame: self._tell(b"r"))
        self._tell(b"r")
        try:
            yield
        finally:
            signal.signal(signal.SIGWINCH, before)

    def _tell(self, what: bytes) -> None:
        os.write(self._wake, what)

    def _read(self) -> None:
        """Show what the terminal shows; a connection that breaks is taken up again."""
        try:
            self._code = self._shown()
        except Problem as problem:
            self._problem = problem
        finally:
            self._tell(b"e")

    def _shown(self) -> int:
        failures = 0
        while True:
            try:
                for event in self._events():
                    if "exited" in event:
                        return int(event["exited"].get("exitCode", 0))
                    replay = event.get("replay", {}).get("data", "")
                    data = replay or event.get("data", {}).get("data", "")
                    put((CLEAR if replay and failures else b"") + base64.b64decode(data))
                    failures = 0
                raise Unreachable("the stream broke off")
            except Problem as problem:
                passing = isinstance(problem, Unreachable) or problem.code == "unavailable"
                if self._left.is_set() or not passing or failures >= TRIES:
                    raise
                put(f"\r\n[{problem.message}; reconnecting]\r\n".encode())
                self._left.wait(PAUSES[min(failures, len(PAUSES) - 1)])
                failures += 1
                self._way.client.find_again()

    def _events(self) -> Generator[Json]:
        body = {"terminalId": self._terminal}
        with self._way.client.open("POST", self._way.path("AttachTerminal"), body, timeout=QUIET) as reply:
            for line in reply.lines():
                event: Json = json.loads(line or b"{}")
                yield event


@contextlib.contextmanager
def raw(terminal: int) -> Generator[None]:
    """Hand every key on as it is, and put the terminal back as it was."""
    before = termios.tcgetattr(terminal)
    try:
        tty.setraw(terminal, termios.TCSADRAIN)  # What was typed ahead is kept.
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def put(data: bytes) -> None:
    """Show bytes as they are."""
    view = memoryview(data)
    while view:
        view = view[os.write(sys.stdout.fileno(), view) :]
