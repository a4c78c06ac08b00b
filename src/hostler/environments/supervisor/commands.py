"""Commands that end: run once per operation id, joined while they run, answered from disk afterwards."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import time
from typing import Any

from .fences import Fences, Refused
from .keepers import Spec
from .outputs import Bell, Feed, Pump, Recording, existing, fresh
from .processes import Child, Processes, SpawnFailed
from .requests import Call, Key

KEEP = 64 << 20
CAP_LIMIT = 1 << 20
DRAIN_SECONDS = 0.2
MOST_FED = 1 << 20
"""Bytes of standard input that may wait for a command that does not read."""
FEED_SECONDS = 5.0
"""How long a part of the input waits for room before it is answered with what was taken."""

CANCELLED = {"kind": "cancelled"}
FORGOTTEN = {"kind": "unknown", "reason": "it ended, but so many have since that its result is not kept"}
REMEMBERED = 1000
"""Finished commands whose results are kept."""
INHERITED = dict(os.environ)
"""The variables that every command has; read once, for each look into the environment decodes it."""


def spec_of(call: Call, workspace: str, memory: int) -> Spec:
    """Return what to execute, read from a request."""
    env = {**INHERITED, **call.table("env")}
    read_only = call.header.get("read_only") is True
    cwd = os.path.join(workspace, call.get("cwd", str))
    return Spec(call.words("argv") or ["true"], cwd, env, memory, read_only=read_only)


def outcome_of(status: int | None) -> dict[str, Any]:
    """Return how a leader ended, as JSON."""
    if status is None:
        return {"kind": "unknown", "reason": "the command's keeper was killed from inside"}
    if os.WIFSIGNALED(status):
        return {"kind": "signalled", "signal": os.WTERMSIG(status)}
    return {"kind": "exited", "code": os.WEXITSTATUS(status)}


class Input:
    """The standard input of a command, in parts that come while it runs; each is taken once, by its offset."""

    def __init__(self, body: bytes, last: bool) -> None:
        self._waiting = bytearray(body)
        self._last = last
        self._bell = Bell()
        self.taken = len(body)

    async def take(self, offset: int, data: bytes, last: bool) -> None:
        """Take what is new of a part, as far as there is room within some seconds."""
        if not 0 <= offset <= self.taken:
            raise Refused("bad", "offset: behind what has come")
        data = data[self.taken - offset :]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FEED_SECONDS):
                while data and len(self._waiting) >= MOST_FED:
                    await self._bell.wait()
        part = data[: max(0, MOST_FED - len(self._waiting))]
        self._waiting += part
        self.taken += len(part)
        self._last = self._last or (last and len(part) == len(data))
        self._bell.ring()

    async def give(self, feed: Feed) -> None:
        """Write all that comes into the command's pipe, then close it."""
        try:
            with contextlib.suppress(OSError):
                while True:
                    part, self._waiting = bytes(self._waiting), bytearray()
                    self._bell.ring()
                    if part:
                        await feed.write(part)
                    elif self._last:
                        return
                    else:
                        await self._bell.wait()
        finally:
            feed.close()


class Running:
    """One command under way, and its daemons after it has ended."""

    def __init__(self, key: Key, folder: str, merge: bool, cap: int, input: Input | None) -> None:
        self.key = key
        self.input = input
        self.folder = folder
        self.out = Recording(os.path.join(folder, "out"), KEEP, cap // 2)
        self.err = None if merge else Recording(os.path.join(folder, "err"), KEEP, cap // 2)
        self.child: Child | None = None
        loop = asyncio.get_running_loop()
        self._stop: asyncio.Future[None] = loop.create_future()
        self.result: asyncio.Future[dict[str, Any]] = loop.create_future()

    def cancel(self) -> None:
        """Have it killed."""
        if not self._stop.done():
            self._stop.set_result(None)

    async def run(self, processes: Processes, spec: Spec, timeout: float) -> None:
        """Run to the end, whatever the end is, and publish the result."""
        began = time.monotonic()
        try:
            outcome = await self._run(processes, spec, timeout)
        except SpawnFailed as error:
            outcome = {"kind": "exited", "code": 127}
            self.out.feed(f"{error}\n".encode())
        except OSError as error:
            outcome = {"kind": "unknown", "reason": f"the supervisor could not run it: {error.strerror}"}
        for recording in filter(None, (self.out, self.err)):
            recording.seal()
            if self.child is None:
                recording.finish()
        result = {"outcome": outcome, "seconds": time.monotonic() - began, "out": _cut(self.out), "err": _cut(self.err)}
        save(self.folder, result)
        self.result.set_result(result)

    async def _run(self, processes: Processes, spec: Spec, timeout: float) -> dict[str, Any]:
        child, pumps, feed = self._start(processes, spec)
        feeding = asyncio.ensure_future(self.input.give(feed)) if feed and self.input else None
        try:
            await asyncio.wait({child.ended, self._stop}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if self._stop.done():
                await processes.kill([child])
                return CANCELLED
            if not child.ended.done():
                await processes.kill([child])
                await _drain(pumps)
                return {"kind": "timed_out"}
            status = child.ended.result()
            await _drain(pumps)
            return CANCELLED if self._stop.done() else outcome_of(status)
        finally:
            if feeding:
                feeding.cancel()

    def _start(self, processes: Processes, spec: Spec) -> tuple[Child, list[Pump], Feed | None]:
        """Open the pipes and start; the far ends are closed here again."""
        ours: list[int] = []
        theirs: list[int] = []

        def pipe(inward: bool) -> int:
            read, write = os.pipe()
            ours.append(write if inward else read)
            theirs.append(read if inward else write)
            return theirs[-1]

        source = pipe(inward=True) if self.input else os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        if not self.input:
            theirs.append(source)
        out = pipe(inward=False)
        err = out if self.err is None else pipe(inward=False)
        try:
            child = self.child = processes.start(self.key.execution, spec, (source, out, err))
        except SpawnFailed:
            for descriptor in ours:
                os.close(descriptor)
            raise
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        feed = Feed(ours.pop(0)) if self.input else None
        return (
            child,
            [Pump(descriptor, into) for descriptor, into in zip(ours, filter(None, (self.out, self.err)), strict=True)],
            feed,
        )


async def _drain(pumps: list[Pump]) -> None:
    if open_still := [pump for pump in pumps if not pump.finished.is_set()]:
        await asyncio.gather(*(pump.drain(DRAIN_SECONDS) for pump in open_still))


def _cut(recording: Recording | None) -> dict[str, Any]:
    if recording is None:
        return {"head": "", "tail": "", "total": 0, "kept": 0}
    return {
        "head": base64.b64encode(recording.head).decode(),
        "tail": base64.b64encode(recording.tail).decode(),
        "total": recording.total,
        "kept": recording.kept,
    }


def save(folder: str, result: dict[str, Any]) -> None:
    """Journal a result; a disk that is full costs the replay, not the answer."""
    with contextlib.suppress(OSError):
        with open(fresh(os.path.join(folder, "result.part")), "wb", buffering=0) as file:
            file.write(json.dumps(result).encode())
        os.replace(os.path.join(folder, "result.part"), os.path.join(folder, "result.json"))


def load(folder: str) -> dict[str, Any]:
    """Return a journalled result."""
    try:
        with open(existing(os.path.join(folder, "result.json"))) as file:
            return json.load(file)
    except (OSError, ValueError):
        return {"outcome": {"kind": "unknown", "reason": "its stored result was removed from inside"}}


class Commands:
    """All commands of this environment, by operation."""

    def __init__(self, processes: Processes, fences: Fences, root: str, workspace: str, memory: int) -> None:
        self._processes = processes
        self._fences = fences
        self._root = root
        self._workspace = workspace
        self._memory = memory
        self._running: dict[Key, Running] = {}
        self._finished: dict[Key, None] = {}
        self._forgotten: set[Key] = set()
        self._given: dict[Key, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def busy(self) -> bool:
        """Say whether a command has not ended yet."""
        return bool(self._running)

    async def exec(self, call: Call) -> None:
        """Run, join or replay; stream the output from an offset, then send the result."""
        key = call.key
        self._fences.check(key.execution, call.get("fence", int), call.get("incarnation", str))
        self._same(key, call)
        if key in self._finished:
            await self._replay(key, call)
        elif key in self._forgotten:
            await call.send({"type": "result", "outcome": FORGOTTEN, "replayed": True})
        elif self._fences.buried(*key):
            await call.send({"type": "result", "outcome": CANCELLED, "replayed": True})
        else:
            running = self._running.get(key) or self._begin(key, call)
            await self._follow(running, call)

    def _same(self, key: Key, call: Call) -> None:
        """Refuse an id that was given before with another command, where the caller wants to be told."""
        if "given" in call.header and self._given.get(key, call.header["given"]) != call.header["given"]:
            raise Refused("file", "this operation was given with another command", problem="exists")

    async def feed(self, call: Call) -> None:
        """Take a part of a running command's standard input."""
        key = call.key
        self._fences.check(key.execution, call.get("fence", int), call.get("incarnation", str))
        running = self._running.get(key)
        if running is None or running.input is None:
            if running is None and key not in self._finished and key not in self._forgotten:
                raise Refused("file", "no such command is running", problem="not_found")
            await call.send({"type": "fed", "taken": -1})
            return
        taking = asyncio.ensure_future(running.input.take(call.get("offset", int), call.body, call.get("last", bool)))
        await asyncio.wait({taking, running.result}, return_when=asyncio.FIRST_COMPLETED)
        if taking.done():
            taking.result()
        taking.cancel()
        await call.send({"type": "fed", "taken": -1 if running.result.done() else running.input.taken})

    def _begin(self, key: Key, call: Call) -> Running:
        folder = key.folder(self._root)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        cap = min(call.get("output_cap", int), CAP_LIMIT)
        spec = spec_of(call, self._workspace, self._memory)
        more = call.header.get("more_input") is True
        given = Input(call.body, not more) if call.body or more else None
        running = self._running[key] = Running(key, folder, call.get("merge", bool), cap, given)
        if "given" in call.header:
            self._given[key] = call.get("given", str)
        task = asyncio.ensure_future(self._run(running, spec, call.get("timeout", float)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return running

    async def _run(self, running: Running, spec: Spec, timeout: float) -> None:
        await running.run(self._processes, spec, timeout)
        self._finished[running.key] = None
        del self._running[running.key]
        if len(self._finished) > REMEMBERED:
            self._forget(next(iter(self._finished)))

    def _forget(self, key: Key) -> None:
        """Let go of the oldest result, so that results do not fill the disk; its command never runs again."""
        del self._finished[key]
        self._given.pop(key, None)
        self._forgotten.add(key)
        folder = key.folder(self._root)
        with contextlib.suppress(OSError):
            for name in os.listdir(folder):
                os.unlink(os.path.join(folder, name))
            os.rmdir(folder)

    async def _follow(self, running: Running, call: Call) -> None:
        if call.get("stream", bool):
            offset = call.get("offset", int)

            async def show(name: str, recording: Recording) -> None:
                async for at, data in recording.follow(offset):
                    await call.send({"type": "output", "stream": name, "offset": at}, data)

            streams = [("out", running.out)] + ([("err", running.err)] if running.err else [])
            await asyncio.gather(*(show(name, recording) for name, recording in streams))
        result = await asyncio.shield(running.result)
        await call.send({"type": "result", **result})

    async def _replay(self, key: Key, call: Call) -> None:
        folder = key.folder(self._root)
        result = load(folder)
        if call.get("stream", bool):
            for name in ("out", "err"):
                await _show_file(os.path.join(folder, name), name, call)
        await call.send({**result, "type": "result", "replayed": True})

    async def cancel(self, key: Key) -> None:
        """Kill the operation's tree if it runs; it can never start afterwards."""
        self._fences.bury(*key)
        running = self._running.get(key)
        if running:
            running.cancel()
            await asyncio.shield(running.result)

    def cancel_all(self, execution: str) -> None:
        """Let every command of the execution end as cancelled; its processes are killed by the caller."""
        for running in self._running.values():
            if running.key.execution == execution:
                self._fences.bury(*running.key)
                running.cancel()

    async def settled(self, execution: str) -> None:
        """Return when no command of the execution is under way."""
        results = [running.result for running in self._running.values() if running.key.execution == execution]
        if results:
            await asyncio.wait(results)


async def _show_file(path: str, name: str, call: Call) -> None:
    offset = call.get("offset", int)
    with contextlib.suppress(OSError):
        file = existing(path)
        try:
            while offset < KEEP and (data := os.pread(file, 256 << 10, offset)):
                await call.send({"type": "output", "stream": name, "offset": offset}, data)
                offset += len(data)
        finally:
            os.close(file)
