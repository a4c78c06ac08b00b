"""How soon what a model says reaches who watches, and how many frames reach five hundred watchers."""

import re
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from bench.figures import Figure, series
from bench.scripts import talkative
from bench.stage import Stage, cpu_of, serving
from bench.ticking import TOKENS

MANY = 500
OTHERS = 100
"""Watchers beside the one whose tokens are timed."""
PACE = 0.01
"""Seconds between two tokens."""
STAMP = re.compile(rb"@(\d{19}) ")
STEPS = 60
BLOCK, END = b"event: block", b"event: end"


def measure() -> Iterator[Figure]:
    with _ticking() as port:
        env = {"OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1", "HOSTLER_MODEL": "openai-chat:ticking"}
        with serving({"unused": talkative(STEPS)}, **env) as stage:
            environment = stage.environment_of(stage.start())
            _delays(stage, environment, 0)  # what is loaded with the first call
            for others, who in ((0, "the only watcher"), (OTHERS, f"one of {OTHERS + 1} watchers")):
                delays = series(_delays(stage, environment, others))
                yield Figure("streams", f"a model's token until {who} has it", "ms", delays, target="p50 3 ms")
                worst = series([delays.at(0.99)])
                yield Figure("streams", f"the same, p99 of {len(delays.values)}", "ms", worst, target="20 ms")
    with serving({"talkative": talkative(STEPS)}) as stage:
        environment = stage.environment_of(stage.start())
        rate, cost = zip(*[_rate(stage, environment) for _ in range(3)], strict=True)
        with _bare() as (url, pid):
            theirs, theirs_cost = zip(*[_drained(url, "x", pid, lambda: None) for _ in range(3)], strict=True)
    against = "a bare ASGI application that sends as many bytes a frame"
    what = f"frames to {MANY} watchers of one execution"
    yield Figure("streams", what, "1/s", series(rate), series(theirs), against, "20,000", better="higher")
    yield Figure(
        "streams", "processor time of the server for 1,000 of them", "ms", series(cost), series(theirs_cost), against
    )


@contextmanager
def _ticking() -> Generator[int]:
    words = [sys.executable, "-m", "bench.ticking", str(PACE)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        try:
            yield int(child.stdout.readline())
        finally:
            child.kill()


@contextmanager
def _bare() -> Generator[tuple[str, int]]:
    words = [sys.executable, "-m", "bench.bare_stream", str(MANY)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        try:
            yield f"http://127.0.0.1:{child.stdout.readline().strip()}", child.pid
        finally:
            child.kill()


def _connected(url: str, token: str, execution: str, query: str = "") -> socket.socket:
    """Open a stream and return when its head has come."""
    port = urlsplit(url).port
    assert port
    line = socket.create_connection(("127.0.0.1", port))
    asked = f"GET /api/executions/{execution}/live?follow=0{query} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}"
    line.sendall(f"{asked}\r\n\r\n".encode())
    return line


def _delays(stage: Stage, environment: str, others: int) -> list[float]:
    """Return how many milliseconds each token of one turn took to one watcher, among others or alone."""
    execution = stage.start(environment)
    watchers = [_connected(stage.server.url, stage.server.token, execution) for _ in range(others)]
    line = _connected(stage.server.url, stage.server.token, execution, "&format=json")
    stage.send(execution, "go")
    seen: dict[bytes, float] = {}
    data = b""
    with _draining(watchers):
        while len(seen) < TOKENS:
            more = line.recv(1 << 16)
            now = time.time_ns()
            data += more
            for found in STAMP.findall(data):
                seen.setdefault(found, (now - int(found)) / 1e6)
            data = data[-40:]
            assert more
    for each in (line, *watchers):
        each.close()
    stage.until(execution, "TurnEnded")
    return list(seen.values())


@contextmanager
def _draining(watchers: list[socket.socket]) -> Generator[None]:
    """Read what others are sent in a process of their own, so that it holds up nobody."""
    code = (
        "import selectors, socket, sys\n"
        "with selectors.DefaultSelector() as some:\n"
        "    for number in map(int, sys.argv[1:]):\n"
        "        some.register(socket.socket(fileno=number), selectors.EVENT_READ)\n"
        "    while some.get_map():\n"
        "        for key, _ in some.select():\n"
        "            if not key.fileobj.recv(1 << 16):\n"
        "                some.unregister(key.fileobj)\n"
    )
    numbers = [each.fileno() for each in watchers]
    with subprocess.Popen([sys.executable, "-c", code, *map(str, numbers)], pass_fds=numbers) as child:
        try:
            yield
        finally:
            child.kill()


def _rate(stage: Stage, environment: str) -> tuple[float, float]:
    """Return how many frames a second reached many watchers in a turn, and the processor time for a thousand."""
    execution = stage.start(environment)
    go = Path(stage.folder / "go")
    with suppress(FileNotFoundError):
        go.unlink()
    stage.send(execution, "go")
    assert stage.server.process
    return _drained(stage.server.url, f"{execution} {stage.server.token}", stage.server.process.pid, go.touch)


def _drained(url: str, what: str, pid: int, go: Callable[[], object]) -> tuple[float, float]:
    """Read all streams to their end, and count what came from `go` on."""
    execution, _, token = what.partition(" ")
    lines = [_connected(url, token or "x", execution) for _ in range(MANY)]
    tails = dict.fromkeys(lines, b"")
    with selectors.DefaultSelector() as some:
        for line in lines:
            while BLOCK not in tails[line]:
                tails[line] += line.recv(1 << 16)
            line.setblocking(False)
            some.register(line, selectors.EVENT_READ)
            tails[line] = b""
        cpu, since, frames = cpu_of(pid), time.perf_counter(), 0
        go()
        while some.get_map():
            for key, _ in some.select():
                line = key.fileobj
                assert isinstance(line, socket.socket)
                data = line.recv(1 << 18)
                frames += (tails[line] + data).count(BLOCK)
                if not data or END in tails[line] + data:
                    some.unregister(line)
                tails[line] = data[-len(BLOCK) + 1 :]
        took, used = time.perf_counter() - since, cpu_of(pid) - cpu
    for line in lines:
        line.close()
    return frames / took, used / frames * 1e6
