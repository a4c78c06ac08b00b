"""What `hostler top` reads in the background: all executions, and the conversation of one. Both find a server again.

Threads write here and the screen looks now and then whether a version has changed, so nothing waits for the network.
"""

import threading
import time
from typing import Literal

from hostler.cli.client import EVENTS, Client, Reply
from hostler.cli.glance import Glance, glance
from hostler.cli.openness import Openness
from hostler.cli.paper import Rows
from hostler.cli.places import Server
from hostler.cli.problems import Problem
from hostler.cli.story import Story
from hostler.cli.stream import PAUSES, QUIET, Conversation

SETTLE = 0.3
"""Seconds between two looks at all executions, however much happens."""
LOOK_AGAIN = 15.0
"""Seconds after which all executions are looked at although nothing was told."""
ROWS = 400
"""Rows of a conversation that are kept."""
WATCHED = {
    "organization": True,
    "resourceTypeFilters": [{"resourceType": "RESOURCE_TYPE_AGENT_EXECUTION"}],
}
Line = Literal["connecting", "live", "offline"]


class Feed:
    """Keeps the latest glance; the server's events say when to look again."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._stopping = threading.Event()
        self._news = threading.Event()
        self._reply: Reply | None = None
        self.version = 0
        self.glance = Glance()
        self.line: Line = "connecting"
        self.why = ""
        self.since = time.time()
        """When the line last changed."""
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._look, self._listen)]

    @property
    def server(self) -> Server:
        """Return where the server was found last."""
        return self._client.server

    def start(self) -> None:
        """Begin to read."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the reading and wait for it."""
        self._stopping.set()
        self._news.set()
        if self._reply is not None:
            self._reply.abort()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(5)

    def look_again(self) -> None:
        """Ask for a new look, because something was done here."""
        self._news.set()

    def _look(self) -> None:
        """Look at all executions when there is news, and now and then without."""
        failures = 0
        while not self._stopping.is_set():
            self._news.clear()
            try:
                self.glance = glance(self._client, time.time())
                self._tell("live")
                failures = 0
            except Problem as problem:
                self._tell("offline", problem.message)
                self._stopping.wait(PAUSES[min(failures, len(PAUSES) - 1)])
                self._find_again()
                failures += 1
                continue
            self._stopping.wait(SETTLE)
            self._news.wait(LOOK_AGAIN)

    def _listen(self) -> None:
        """Hear the server's events; a line that breaks is a reason to look at once."""
        failures = 0
        while not self._stopping.is_set():
            try:
                path = f"/api/{EVENTS}/WatchEvents"
                headers = {"Accept": "application/jsonl"}
                with self._client.open("POST", path, WATCHED, headers=headers, timeout=QUIET) as reply:
                    self._reply = reply
                    if self._stopping.is_set():
                        return
                    failures = 0
                    self._news.set()
                    for _ in reply.lines():
                        self._news.set()
            except Problem:
                pass
            self._reply = None
            self._news.set()
            self._stopping.wait(PAUSES[min(failures, len(PAUSES) - 1)])
            failures += 1

    def _find_again(self) -> None:
        try:
            self._client.find_again()
        except Problem as problem:
            self._tell("offline", problem.message)

    def _tell(self, line: Line, why: str = "") -> None:
        if line != self.line:
            self.since = time.time()
        self.line, self.why = line, why
        self.version += 1


class Peek:
    """The last rows of one conversation, live."""

    def __init__(self, client: Client, execution: str, width: int) -> None:
        self.execution = execution
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._paper = Rows(width, ROWS)
        self._story = Story(paper=self._paper, execution=execution[:13])
        self._conversation = Conversation(
            client, execution, lost=self._lost, back=self._back, follow=True, pause=self._pause
        )
        self.version = 0
        self.why = ""
        self.dead = False
        """Whether it has given up."""
        self._thread = threading.Thread(target=self._read, daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """End the reading, without waiting for it."""
        self._stopping.set()
        self._conversation.stop()

    def join(self) -> None:
        """Wait for the end of the reading."""
        self._thread.join(5)

    @property
    def line(self) -> Line:
        """Return how the connection stands."""
        if self._conversation.connected:
            return "live"
        return "offline" if self.why else "connecting"

    @property
    def open(self) -> Openness:
        """Return what the conversation leaves open for a person."""
        return self._story.open

    def last(self, count: int) -> list[tuple[str, tuple[str, ...]]]:
        """Return the last rows, each with its styles."""
        with self._lock:
            return self._paper.rows[-count:] if count > 0 else []

    def _read(self) -> None:
        try:
            for frame in self._conversation:
                with self._lock:
                    self._story.tell(frame)
                self.version += 1
        except Problem as problem:
            if not self._stopping.is_set():
                self.dead = True
                self._lost(problem.message)

    def _pause(self, seconds: float) -> None:
        self._stopping.wait(seconds)

    def _lost(self, why: str) -> None:
        self.why = why
        self.version += 1

    def _back(self) -> None:
        self.why = ""
        self.version += 1
