"""Commands that end: run once per operation id, joined while they run, answered from disk afterwards."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import time
from typing import Any

from .fences import Fences
from .keepers import Spec
from .outputs import Feed, Pump, Recording, existing, fresh
from .processes import Child, Processes, SpawnFailed
from .requests import Call, Key

KEEP = 64 << 20
CAP_LIMIT = 1 << 20
DRAIN_SECONDS = 0.2

CANCELLED = {"kind": "cancelled"}


def spec_of(call: Call, workspace: str, memory: int) -> Spec:
    """Return what to execute, read from a request."""
    env = {**os.environ, **call.table("env")}
    return Spec(call.words("argv") or ["true"], os.path.join(workspace, call.get("cwd", str)), env, memory)


def outcome_of(status: int | None) -> dict[str, Any]:
    """Return how a leader ended, as JSON."""
    if status is None:
        return {"kind": "unknown", "reason": "the command's keeper was killed from inside"}
    if os.WIFSIGNALED(status):
        return {"kind": "signalled", "signal": os.WTERMSIG(status)}
    return {"kind": "exited", "code": os.WEXITSTATUS(status)}


class Running:
    """One command under way, and its daemons after it has ended."""

    def __init__(self, key: Key, folder: str, merge: bool, cap: int) -> None:
        self.key = key
        self.folder = folder
        self.out = Recording(os.path.join(folder, "out"), KEEP, cap // 2)
        self.err = None if merge else Recording(os.path.join(folder, "err"), KEEP, cap // 2)
        self.child: Child | None = None
        self.cancelled = asyncio.Event()
        self.result: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

    async def run(self, processes: Processes, spec: Spec, stdin: bytes, timeout: float) -> None:
        """Run to the end, whatever the end is, and publish the result."""
        began = time.monotonic()
        try:
            outcome = await self._run(processes, spec, stdin, timeout)
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

    async def _run(self, processes: Processes, spec: Spec, stdin: bytes, timeout: float) -> dict[str, Any]:
        child, pumps, feed = self._start(processes, spec, stdin)
        feeding = asyncio.ensure_future(_feed(feed, stdin)) if feed else None
        stop = asyncio.ensure_future(self.cancelled.wait())
        try:
            await asyncio.wait({child.ended, stop}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if self.cancelled.is_set():
                await processes.kill([child])
                return CANCELLED
            if not child.ended.done():
                await processes.kill([child])
                await _drain(pumps)
                return {"kind": "timed_out"}
            status = child.ended.result()
            await _drain(pumps)
            return CANCELLED if self.cancelled.is_set() else outcome_of(status)
        finally:
            stop.cancel()
            if feeding:
                feeding.cancel()

    def _start(self, processes: Processes, spec: Spec, stdin: bytes) -> tuple[Child, list[Pump], Feed | None]:
        """Open the pipes and start; the far ends are closed here again."""
        ours: list[int] = []
        theirs: list[int] = []

        def pipe(inward: bool) -> int:
            read, write = os.pipe()
            ours.append(write if inward else read)
            theirs.append(read if inward else write)
            return theirs[-1]

        source = pipe(inward=True) if stdin else os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        if not stdin:
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
        feed = Feed(ours.pop(0)) if stdin else None
        return (
            child,
            [Pump(descriptor, into) for descriptor, into in zip(ours, filter(None, (self.out, self.err)), strict=True)],
            feed,
        )


async def _feed(feed: Feed, data: bytes) -> None:
    try:
        with contextlib.suppress(OSError):
            await feed.write(data)
    finally:
        feed.close()


async def _drain(pumps: list[Pump]) -> None:
    await asyncio.gather(*(pump.drain(DRAIN_SECONDS) for pump in pumps))


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
        with open(fresh(os.path.join(folder, "result.part")), "w") as file:
            json.dump(result, file)
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
        self._finished: set[Key] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def busy(self) -> bool:
        """Say whether a command has not ended yet."""
        return bool(self._running)

    async def exec(self, call: Call) -> None:
        """Run, join or replay; stream the output from an offset, then send the result."""
        key = call.key
        self._fences.check(key.execution, call.get("fence", int), call.get("incarnation", str))
        if key in self._finished:
            await self._replay(key, call)
        elif self._fences.buried(*key):
            await call.send({"type": "result", "outcome": CANCELLED, "replayed": True})
        else:
            running = self._running.get(key) or self._begin(key, call)
            await self._follow(running, call)

    def _begin(self, key: Key, call: Call) -> Running:
        folder = key.folder(self._root)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        cap = min(call.get("output_cap", int), CAP_LIMIT)
        spec = spec_of(call, self._workspace, self._memory)
        running = self._running[key] = Running(key, folder, call.get("merge", bool), cap)
        task = asyncio.ensure_future(self._run(running, spec, call.body, call.get("timeout", float)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return running

    async def _run(self, running: Running, spec: Spec, stdin: bytes, timeout: float) -> None:
        await running.run(self._processes, spec, stdin, timeout)
        self._finished.add(running.key)
        del self._running[running.key]

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
            running.cancelled.set()
            await asyncio.shield(running.result)

    def cancel_all(self, execution: str) -> None:
        """Let every command of the execution end as cancelled; its processes are killed by the caller."""
        for running in self._running.values():
            if running.key.execution == execution:
                self._fences.bury(*running.key)
                running.cancelled.set()

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
