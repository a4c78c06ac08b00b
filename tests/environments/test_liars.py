"""A supervisor that lies or floods: the server neither crashes, nor hangs, nor grows without bound."""

import asyncio
import json
import re
import tracemalloc
from collections.abc import Callable, Coroutine, Iterator
from itertools import repeat
from typing import Any

import pytest

from hostler.core.errors import EnvironmentError_, MachineLost
from hostler.core.machines import Command, Operation
from hostler.environments.channel import BODY_LIMIT, Exchange
from hostler.environments.machine import MOST_OUTPUT, SupervisorMachine
from hostler.environments.supervisor import frames

OPERATION = Operation("work", 1, "op")
MIB = 1 << 20


class Stream:
    """The other end of a channel: says what it was made to say, then ends, or says nothing more for ever."""

    def __init__(self, said: Iterator[bytes], *, silent: bool = False) -> None:
        self._said = said
        self._silent = silent
        self._buffer = bytearray()
        self.read = 0

    async def read_exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            part = next(self._said, None)
            if part is None:
                if self._silent:
                    await asyncio.Event().wait()
                raise EOFError
            self._buffer += part
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        self.read += size
        return data

    async def write(self, data: bytes) -> None:
        pass

    def close(self) -> None:
        pass


def machine(said: Callable[[], Iterator[bytes]], *, silent: bool = False) -> SupervisorMachine:
    async def connect() -> Stream:
        return Stream(said(), silent=silent)

    return SupervisorMachine(connect)


async def drained(terminal: Any) -> None:
    async for _ in terminal.output():
        pass


async def watched(one: SupervisorMachine) -> None:
    async for _ in one.watch():
        pass


async def attached(one: SupervisorMachine) -> None:
    process = await one.attach(OPERATION, Command(("true",)), incarnation="i")
    await process.errors()
    await process.send("m", b"x")
    async for _ in process.output():
        pass
    await process.wait()


CALLS: dict[str, Callable[[SupervisorMachine], Coroutine[Any, Any, object]]] = {
    "ping": lambda one: one.ping(),
    "register": lambda one: one.register("work", 1),
    "exec": lambda one: one.exec(OPERATION, Command(("true",)), incarnation="i"),
    "feed": lambda one: one.feed(OPERATION, 0, b"x", last=True, incarnation="i"),
    "cancel": lambda one: one.cancel(OPERATION),
    "kill_group": lambda one: one.kill_group("work", 1),
    "output": lambda one: one.output("work", "op", "out"),
    "read": lambda one: one.read("a"),
    "write": lambda one: one.write(OPERATION, "a", b"", incarnation="i"),
    "edit": lambda one: one.edit(OPERATION, "a", "b", "c", incarnation="i"),
    "list": lambda one: one.list("a"),
    "find": lambda one: one.find("a", "b"),
    "stat": lambda one: one.stat("a"),
    "git_status": lambda one: one.git_status(),
    "git_diff": lambda one: one.git_diff(),
    "terminals": lambda one: one.terminals("work"),
    "watch": watched,
    "attach": attached,
}


async def pty(one: SupervisorMachine) -> None:
    await drained(await one.pty(OPERATION, Command(("sh",)), incarnation="i", rows=1, cols=1))


CALLS["pty"] = pty
ODD: list[Any] = [
    None,
    True,
    -1,
    1 << 70,
    1e308,
    "x",
    "\ud800",
    [],
    [[]],
    [None],
    [{}],
    {},
    {"kind": []},
    {"a": {"b": 1}},
]
NAMES = re.findall(
    r"\w+",
    "incarnation outcome seconds out err taken size existed line lines occurrences entries entry cut terminals rows"
    " cols changes git lost offset stream replayed repeated kind message problem",
)
TYPES = re.findall(
    r"\w+", "result output ended error entries part written edited refused cancelled opened attached changes sent"
)


def lies() -> Iterator[bytes]:
    """Yield frames with every odd value in every field of every kind of answer."""
    kinds: list[Any] = [*TYPES, 5, None, []]
    for kind in kinds:
        for value in ODD:
            yield frame({"type": kind} | dict.fromkeys(NAMES, value))
    yield frame({})


def frame(header: object, body: bytes = b"x") -> bytes:
    text = json.dumps(header).encode()
    return frames.LENGTHS.pack(len(text), len(body)) + text + body


NOISE = {
    "nothing": b"",
    "half a frame": b"\0\0",
    "no JSON": frames.LENGTHS.pack(3, 0) + b"{]}",
    "no object": frames.LENGTHS.pack(2, 0) + b"[]",
    "nested": frames.LENGTHS.pack(200_000, 0) + b"[" * 200_000,
    "a huge header": frames.LENGTHS.pack(0xFFFFFFFF, 0),
    "a huge body": frames.LENGTHS.pack(2, 0xFFFFFFFF) + b"{}",
    "not Unicode": frames.LENGTHS.pack(2, 0) + b"\xff\xfe",
}


@pytest.mark.parametrize("call", CALLS)
async def test_whatever_is_answered_is_an_answer_or_an_error_of_the_environment(call: str) -> None:
    for lie in [*lies(), *NOISE.values()]:
        try:
            answer = await CALLS[call](machine(lambda lie=lie: iter([lie])))
        except EnvironmentError_ as problem:
            str(problem).encode()
        else:
            repr(answer).encode()


@pytest.mark.parametrize("call", CALLS)
async def test_a_frame_that_says_it_is_huge_is_not_waited_for(call: str) -> None:
    for name in ("a huge header", "a huge body"):
        with pytest.raises(MachineLost):
            await CALLS[call](machine(lambda name=name: iter([NOISE[name]]), silent=True))


async def test_silence_is_waited_for_only_so_long() -> None:
    for said in (b"", b"\0\0", frame({"type": "output"}), frame({"type": "result"})[:-1]):

        async def connect(said: bytes = said) -> Stream:
            return Stream(iter([said]), silent=True)

        async with asyncio.timeout(10):
            with pytest.raises(MachineLost):
                async with Exchange(connect, {"call": "exec"}, seconds=0.05) as exchange:
                    async for _ in exchange.answers():
                        pass


async def test_a_drip_of_answers_costs_from_the_same_seconds() -> None:
    def dripping() -> Iterator[bytes]:
        return repeat(frame({"type": "output", "stream": "out"}, b""))

    class Slow(Stream):
        async def read_exactly(self, size: int) -> bytes:
            await asyncio.sleep(0.001)
            return await super().read_exactly(size)

    async def connect() -> Slow:
        return Slow(dripping())

    async with asyncio.timeout(20):
        with pytest.raises(MachineLost):
            async with Exchange(connect, {"call": "exec"}, seconds=0.1) as exchange:
                async for _ in exchange.answers():
                    pass


async def test_endless_output_is_cut_off_and_does_not_gather() -> None:
    piece = frame({"type": "output", "stream": "out", "offset": 0}, b"x" * (4 * MIB))
    seen = 0

    async def show(_stream: str, data: bytes) -> None:
        nonlocal seen
        seen += len(data)

    tracemalloc.start()
    try:
        endless = machine(lambda: repeat(piece))
        with pytest.raises(MachineLost):
            await endless.exec(OPERATION, Command(("yes",)), incarnation="i", on_output=show)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert seen <= MOST_OUTPUT
    assert most < 2 * BODY_LIMIT


async def test_a_terminal_that_never_stops_is_read_no_faster_than_it_is_shown() -> None:
    stream = Stream(iter([frame({"type": "opened", "rows": 1, "cols": 1}), *([frame({"type": "output"})] * 1000)]))

    async def connect() -> Stream:
        return stream

    terminal = await SupervisorMachine(connect).pty(OPERATION, Command(("yes",)), incarnation="i", rows=1, cols=1)
    shown = terminal.output()
    await anext(shown)
    await anext(shown)
    assert stream.read < 200
    terminal.close()


async def test_more_entries_than_were_asked_for_are_not_taken() -> None:
    entry = {"path": "a", "kind": "file", "size": 1, "mode": 1, "modified": 1.0}
    many = machine(lambda: iter([frame({"type": "entries", "entries": [entry] * 5000, "cut": False})]))
    assert len(await many.list("a", limit=10)) == 10
    assert len((await many.find("a", "b", limit=10)).entries) == 10
