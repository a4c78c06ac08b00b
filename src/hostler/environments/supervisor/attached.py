"""Long-lived processes that talk over their standard streams, and outlive whoever talks to them.

Standard output goes to a file and is replayed from any byte offset. Standard input comes as messages with ids, each
written whole and once: a repeated id is answered from the journal.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from .commands import CANCELLED, outcome_of, spec_of
from .fences import Fences, Refused
from .keepers import Spec
from .outputs import Feed, Pump, Recording
from .processes import Child, Processes, SpawnFailed
from .requests import Call, Key

KEEP = 4 << 30
ERROR_TAIL = 64 << 10
DRAIN_SECONDS = 0.5


class Attached:
    """One such process."""

    def __init__(self, folder: str) -> None:
        self.out = Recording(os.path.join(folder, "out"), KEEP)
        self.err = Recording(os.path.join(folder, "err"), 1 << 20, ERROR_TAIL)
        self.ended: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.cancelled = False
        self.child: Child | None = None
        self._feed: Feed | None = None
        self._messages: dict[str, asyncio.Future[None]] = {}

    def start(self, processes: Processes, group: str, spec: Spec) -> asyncio.Task[None]:
        """Start it and watch it to its end."""
        pipes = [os.pipe() for _ in range(3)]
        try:
            child = self.child = processes.start(group, spec, (pipes[0][0], pipes[1][1], pipes[2][1]))
        except SpawnFailed as error:
            for descriptor in (pipes[0][1], pipes[1][0], pipes[2][0]):
                os.close(descriptor)
            for recording in (self.out, self.err):
                recording.seal()
                recording.finish()
            raise Refused("failed", str(error)) from error
        finally:
            for descriptor in (pipes[0][0], pipes[1][1], pipes[2][1]):
                os.close(descriptor)
        self._feed = Feed(pipes[0][1])
        pumps = [Pump(pipes[1][0], self.out), Pump(pipes[2][0], self.err)]
        return asyncio.ensure_future(self._watch(child.ended, pumps))

    async def _watch(self, ended: asyncio.Future[int | None], pumps: list[Pump]) -> None:
        try:
            outcome = outcome_of(await ended)
        except SpawnFailed as error:
            self.err.feed(str(error).encode())
            outcome = {"kind": "exited", "code": 127}
        await asyncio.gather(*(pump.drain(DRAIN_SECONDS) for pump in pumps))
        for recording in (self.out, self.err):
            recording.seal()
        if self._feed:
            self._feed.close()
        self.ended.set_result(CANCELLED if self.cancelled else outcome)

    async def deliver(self, message: str, data: bytes) -> bool:
        """Write a message whole, once per id; return whether it was written, or being written, before."""
        written = self._messages.get(message)
        if written:
            await asyncio.shield(written)
            return True
        written = self._messages[message] = asyncio.ensure_future(self._write(data))
        await asyncio.shield(written)
        return False

    async def _write(self, data: bytes) -> None:
        if self.ended.done() or not self._feed:
            raise Refused("ended", "the process has ended")
        writing = asyncio.ensure_future(self._feed.write(data))
        await asyncio.wait({writing, self.ended}, return_when=asyncio.FIRST_COMPLETED)
        if not writing.done():
            writing.cancel()
            raise Refused("ended", "the process ended before it took the message")
        try:
            writing.result()
        except OSError as error:
            raise Refused("ended", "the process does not read its standard input") from error


class Attachments:
    """All attached processes of this environment, by operation."""

    def __init__(self, processes: Processes, fences: Fences, root: str, workspace: str) -> None:
        self._processes = processes
        self._fences = fences
        self._root = root
        self._workspace = workspace
        self._known: dict[Key, Attached] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def busy(self) -> bool:
        """Say whether one of them runs."""
        return any(not attached.ended.done() for attached in self._known.values())

    async def attach(self, call: Call) -> None:
        """Start or rejoin; send the output from an offset, then how it ended."""
        key = call.key
        self._fences.check(key.execution, call.get("fence", int), call.get("incarnation", str))
        attached = self._known.get(key)
        if attached is None and self._fences.buried(*key):
            await call.send({"type": "attached", "replayed": True})
            await call.send({"type": "ended", "outcome": CANCELLED})
            return
        await call.send({"type": "attached", "replayed": attached is not None})
        attached = self._known.get(key) or self._begin(key, call)
        async for offset, data in attached.out.follow(call.get("offset", int)):
            await call.send({"type": "output", "offset": offset}, data)
        await call.send({"type": "ended", "outcome": await asyncio.shield(attached.ended)})

    def _begin(self, key: Key, call: Call) -> Attached:
        folder = key.folder(self._root)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        attached = Attached(folder)
        task = attached.start(self._processes, key.execution, spec_of(call, self._workspace, 0))
        self._known[key] = attached
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return attached

    def _find(self, call: Call) -> Attached:
        key = call.key
        if key not in self._known:
            raise Refused("lost", "no such process is attached here", incarnation=self._fences.incarnation)
        return self._known[key]

    async def deliver(self, call: Call) -> None:
        """Write one message to the standard input."""
        self._fences.check(call.key.execution, call.get("fence", int), call.get("incarnation", str))
        repeated = await self._find(call).deliver(call.get("message", str), call.body)
        await call.send({"type": "sent", "repeated": repeated})

    async def errors(self, call: Call) -> None:
        """Send the tail of the standard error."""
        err = self._find(call).err
        await call.send({"type": "errors"}, (err.head + err.tail)[-ERROR_TAIL:])

    async def cancel(self, key: Key) -> None:
        """Kill the process and all below it."""
        attached = self._known.get(key)
        if attached and attached.child and not attached.ended.done():
            attached.cancelled = True
            await self._processes.kill([attached.child])

    def cancel_all(self, execution: str) -> None:
        """Let all of the execution end as cancelled; their processes are killed by the caller."""
        for key, attached in self._known.items():
            if key.execution == execution and not attached.ended.done():
                attached.cancelled = True
                self._fences.bury(*key)

    async def settled(self, execution: str) -> None:
        """Return when none of the execution's processes is left."""
        ended = [attached.ended for key, attached in self._known.items() if key.execution == execution]
        if ended:
            await asyncio.wait(ended)
