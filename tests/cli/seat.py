"""A person's terminal with the command line in it, over a real server."""

import os
import pty
import select
import subprocess
import sys
import time

from tests.server import HostlerProcess

PATIENCE = 60.0


def command(server: HostlerProcess, *words: str) -> tuple[list[str], dict[str, str]]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HOSTLER_")}
    return [sys.executable, "-m", "hostler", *words], {**kept, "HOSTLER_DATA_DIR": str(server.folder), "TERM": "xterm"}


class Seat:
    """A person's terminal with the command line in it."""

    def __init__(self, server: HostlerProcess, *words: str, group: tuple[str, ...] = ("env",)) -> None:
        argv, env = command(server, *group, *words)
        self.ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            argv, env=env, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)
        self.shown = b""

    def until(self, mark: bytes) -> bytes:
        end = time.monotonic() + PATIENCE
        while mark not in self.shown:
            assert time.monotonic() < end, self.shown
            if select.select([self.ours], [], [], 0.1)[0]:
                try:
                    self.shown += os.read(self.ours, 65536)
                except OSError:
                    break
        assert mark in self.shown, self.shown
        return self.shown

    def type(self, text: bytes) -> None:
        os.write(self.ours, text)

    def rest(self) -> bytes:
        """Return what is shown until the end."""
        while True:
            try:
                if not (more := os.read(self.ours, 65536)):
                    return self.shown
            except OSError:
                return self.shown
            self.shown += more

    def ended(self) -> int:
        code = self.process.wait(PATIENCE)
        return code
