"""WatchEvents: the first events, what follows, and keep-alives."""

import json
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

from httpx2 import ReadTimeout

from hostler.conformance.bench import Bench, Failed, check, expect
from hostler.conformance.protocols import NOBODY, WATCH, watching
from hostler.conformance.wire import Json

STATUS, UPDATE, DELETE = (f"RESOURCE_OPERATION_{name}" for name in ("UPDATE_STATUS", "UPDATE", "DELETE"))


class Lines:
    """The lines of a JSON stream, read as the older clients do."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._data = b""
        self.gaps: list[float] = []
        """Seconds between what was received."""

    def raw(self) -> bytes:
        """Return the next line; Failed when the stream ends or falls silent."""
        while b"\n" not in self._data:
            self._data += self.piece()
        line, _, self._data = self._data.partition(b"\n")
        return line

    def piece(self) -> bytes:
        """Return what comes next."""
        since = time.monotonic()
        try:
            piece = next(self._pieces)
        except StopIteration:
            raise Failed(f"the stream ended after {self._data!r}") from None
        except ReadTimeout:
            raise Failed("nothing was received in time, not even a keep-alive") from None
        self.gaps.append(time.monotonic() - since)
        return piece

    def next(self) -> Json:
        """Return the next event."""
        line = self.raw()
        if not line.strip():
            raise Failed("a blank line came, which the 0.x clients take for a broken event")
        try:
            found: Any = json.loads(line)
        except ValueError:
            raise Failed(f"a line is no JSON: {line[:200]!r}") from None
        return found


@contextmanager
def lines(bench: Bench, body: object, patience: float = 0.0) -> Generator[Lines]:
    """Watch as the 0.x clients do."""
    headers = bench.wire.headers({"accept": "application/jsonl", "x-stainless-retry-count": "0"})
    url = bench.wire.address(WATCH)
    seconds = patience or bench.patience
    with bench.wire.http.stream(
        "POST", url, content=json.dumps(body).encode(), headers=headers, timeout=seconds
    ) as got:
        if got.status_code != 200:
            raise Failed(f"a plain JSON request of WatchEvents was answered with HTTP {got.status_code}")
        kind = got.headers.get("content-type", "")
        if "json" not in kind:
            raise Failed(f"the content type of the lines is {kind!r}")
        yield Lines(got.iter_raw())


@check("events.json-lines", "hazard 5")
def json_lines(bench: Bench) -> None:
    """WatchEvents as plain JSON answers one object a line, not enveloped."""
    with lines(bench, watching(bench.idle())) as stream:
        expect(stream.next().get("resourceType"), "RESOURCE_TYPE_AGENT_EXECUTION", "resourceType of the first line")


@check("events.first", "hazard 2")
def first_events(bench: Bench) -> None:
    """Who subscribes is told of every matching resource at once, so that no change is missed."""
    watched = {bench.idle(), bench.once("second", bench.started)}
    with lines(bench, watching(*watched)) as stream:
        told = [stream.next() for _ in watched]
    expect({one.get("resourceId") for one in told}, watched, "who was told of")
    expect({one.get("operation") for one in told}, {STATUS}, "the operation of first events")


@check("events.update", "wire details: UPDATE_STATUS iff only the status changed")
def update(bench: Bench) -> None:
    """A change of the annotations is UPDATE, and no UPDATE_STATUS."""
    execution = bench.idle()
    with lines(bench, watching(execution)) as stream:
        stream.next()
        change = {"agentExecutionId": execution, "metadata": {"annotations": {"seen": bench.run}}}
        answer = bench.wire.post("UpdateAgentExecution", change)
        if answer.status != 200:
            raise Failed(f"UpdateAgentExecution was refused: {answer}")
        event = until(stream, execution, UPDATE)
    expect(event.get("operation"), UPDATE, "the operation")


@check("events.delete", "Stopping, deleting: a DELETE event is sent")
def delete(bench: Bench) -> None:
    """Who watches an execution is told that it was deleted."""
    execution = bench.started()
    with lines(bench, watching(execution)) as stream:
        stream.next()
        bench.call("DeleteAgentExecution", {"agentExecutionId": execution})
        until(stream, execution, DELETE)


@check("events.others-are-not-told", "wire details: WatchEvents' filters")
def filtered(bench: Bench) -> None:
    """Who watches one execution is told of no other one."""
    one, other = bench.idle(), bench.once("second", bench.started)
    with lines(bench, watching(one)) as stream:
        stream.next()
        for execution in (other, one):
            change = {"agentExecutionId": execution, "metadata": {"annotations": {"again": bench.run}}}
            bench.call("UpdateAgentExecution", change)
        expect(stream.next().get("resourceId"), one, "who was told of")


@check("events.keep-alive", "hazard 5")
def keep_alive(bench: Bench) -> None:
    """A quiet stream is kept alive well within 60 seconds, by blanks before the next line and no blank line."""
    with lines(bench, watching(NOBODY)) as stream:
        piece = stream.piece()
        if b"\n" in piece and not piece.strip():
            raise Failed(f"the keep-alive is a blank line, on which the 0.x clients fail: {piece!r}")
        if piece.strip():
            raise Failed(f"something was told of an execution that is not there: {piece!r}")


def until(stream: Lines, execution: str, operation: str) -> Json:
    """Return the first event of an operation; what comes before may be of the status only."""
    for _ in range(20):
        event = stream.next()
        expect(event.get("resourceId"), execution, "who was told of")
        if event.get("operation") in (operation, DELETE):
            return event
    raise Failed(f"no {operation} within 20 events")
