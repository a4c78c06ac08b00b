"""The live conversation: server-sent events, taken up again where they broke off, never silently."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from hostler.cli.client import Client, Reply
from hostler.cli.problems import Problem, Unreachable

QUIET = 45.0
"""Seconds without a byte after which a connection counts as broken; the server says something every 15."""
PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds before each next try; the last one repeats."""
TRIES = 60
"""Tries in a row, about five minutes, after which watching is given up."""
PASSING = ("unavailable", "unauthenticated")
"""Refusals that another try with a new token may mend."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One message of the conversation: its place in the stream, its tag (1 agent, 2 user, 3 message), its JSON."""

    id: str
    tag: int
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event."""

    name: str
    id: str
    data: str


def events(lines: Iterator[bytes]) -> Iterator[Event]:
    """Yield the events of a stream's lines; comments keep the connection alive and are passed over."""
    name, data, last = "", list[str](), ""
    for raw in lines:
        line = raw.decode(errors="replace")
        if not line:
            if data or name:
                yield Event(name or "message", last, "\n".join(data))
            name, data = "", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "event":
                name = value
            case "data":
                data.append(value)
            case "id":
                last = value
            case _:
                pass


class Conversation:
    """Yields the frames of one execution until it is idle.

    `lost` is told why whenever the connection breaks or a try to reconnect fails, `back` when it stands again.
    """

    def __init__(
        self,
        client: Client,
        execution: str,
        *,
        lost: Callable[[str], None],
        back: Callable[[], None] = lambda: None,
        after: str = "",
        follow: bool = False,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._execution = execution
        self._lost = lost
        self._back = back
        self._broken = False
        self._query = {"format": "json"} | ({"after": after} if after else {}) | ({"follow": "1"} if follow else {})
        self._last = ""
        self._pause = pause
        self._failures = 0
        self._ended = False
        self._stopped = False
        self._reply: Reply | None = None
        self.connected = False
        """Whether the stream stands."""

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames, each once; raises Problem when the execution is gone or the server stays away."""
        while not (self._ended or self._stopped):
            try:
                yield from self._connected()
            except Problem as problem:
                self.connected = False
                if not self._stopped:
                    self._again(problem)

    def stop(self) -> None:
        """End the reading, from another thread."""
        self._ended = self._stopped = True
        if self._reply is not None:
            self._reply.abort()

    def _connected(self) -> Iterator[Frame]:
        """Yield what one connection brings."""
        status = self._client.execution(self._execution).get("status", {})
        # The address is the public one; what is behind it is read on the way on which this client reaches the server.
        path = urlsplit(str(status.get("conversationUrls", {}).get("live", ""))).path
        if not path:
            raise Problem("the server offers no live conversation for this execution")
        token = self._token()
        url = f"{path}?{urlencode(self._query)}"
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": self._last} if self._last else {})
        with self._client.open("GET", url, token=token, headers=headers, timeout=QUIET) as reply:
            self._reply, self.connected = reply, True
            if self._broken:
                self._broken = False
                self._back()
            if self._stopped:  # stopped while it was being opened
                return
            for event in events(reply.lines()):
                self._failures = 0
                self._last = event.id or self._last
                if event.name == "block":
                    yield frame(event)
                elif event.name == "end":
                    self._ended = "token_expired" not in event.data
                    if "deleted" in event.data:
                        raise Problem("the execution was deleted", code="not_found")
                    return
        raise Unreachable("the stream broke off")

    def _token(self) -> str | None:
        """Return a token for the conversation; None, the caller's own, where it may only read."""
        asked = {"agentExecutionId": self._execution}
        try:
            return str(self._client.agents("CreateAgentExecutionConversationToken", asked)["token"])
        except Problem as problem:
            if problem.code != "permission_denied":
                raise
            return None

    def _again(self, problem: Problem) -> None:
        """Wait before the next try, or raise when there is no use in one."""
        if self._stopped or (not isinstance(problem, Unreachable) and problem.code not in PASSING):
            raise problem
        if self._failures >= TRIES or (problem.code == "unauthenticated" and self._failures):
            raise problem
        self._broken = True
        self._lost(f"{problem.message}; reconnecting")
        self._pause(PAUSES[min(self._failures, len(PAUSES) - 1)])
        self._failures += 1
        self._client.find_again()


def frame(event: Event) -> Frame:
    """Return an event's frame; raises Problem for what is not JSON with a tag and a body."""
    try:
        data = json.loads(event.data)
        return Frame(event.id, int(data["tag"]), dict(data["body"]))
    except (ValueError, KeyError, TypeError):
        raise Problem("the server does not offer the conversation as JSON: is it older than this command?") from None
