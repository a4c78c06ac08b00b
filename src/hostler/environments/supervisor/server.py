"""Answers requests: each with frames until the answer is complete."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable

from . import frames
from .attached import Attachments
from .commands import Commands
from .fences import Fences, Refused
from .files import Files
from .git import Git
from .keep import Keep
from .keepers import Spawner
from .lines import Line, Send
from .processes import Processes
from .requests import Call
from .terminals import Terminals

Handler = Callable[[Call], Awaitable[None]]


class Supervisor:
    """All that this environment can be asked for."""

    def __init__(self, spawner: Spawner, incarnation: str, state: str, workspace: str, memory: int) -> None:
        root = os.path.join(state, "operations")
        os.makedirs(root, mode=0o700, exist_ok=True)
        self._workspace = workspace
        self.processes = Processes(spawner)
        self.fences = Fences(incarnation)
        self.commands = Commands(self.processes, self.fences, root, workspace, memory)
        self.attachments = Attachments(self.processes, self.fences, root, workspace)
        self.terminals = Terminals(self.processes, self.fences, workspace)
        self._kinds = (self.commands, self.attachments, self.terminals)
        self._open = 0
        self._contact = time.monotonic()
        self.over = asyncio.Event()
        files, git = Files(self.fences, root, workspace), Git(self.processes, workspace)
        self._handlers: dict[str, Handler] = {
            "ping": self._ping,
            "register": self._register,
            "cancel": self._cancel,
            "kill_group": self._kill_group,
            "shutdown": self._shutdown,
            "exec": self.commands.exec,
            "feed": self.commands.feed,
            "attach": self.attachments.attach,
            "deliver": self.attachments.deliver,
            "errors": self.attachments.errors,
            "pty": self.terminals.open,
            "pty_type": self.terminals.type,
            "pty_resize": self.terminals.resize,
            "ptys": self.terminals.list,
            "output": files.output,
            "read": files.read,
            "write": files.write,
            "edit": files.edit,
            "list": files.list,
            "stat": files.stat,
            "find": self._find,
            "watch": self._watch,
            "git_status": git.status,
            "git_diff": git.diff,
            "git_keep": Keep(git, workspace, state).keep,
        }

    async def serve(self, listener: socket.socket) -> asyncio.AbstractServer:
        """Begin to answer on a socket that was made outside."""
        return await asyncio.get_running_loop().create_unix_server(lambda: Line(self._answer), sock=listener)

    async def idle(self, limit: float) -> None:
        """Return when nobody has asked for anything and nothing has run for `limit` seconds."""
        while True:
            if self._open or any(kind.busy for kind in self._kinds):
                self._contact = time.monotonic()
            left = self._contact + limit - time.monotonic()
            if left <= 0:
                return
            await asyncio.sleep(min(left, 60.0))

    async def _answer(self, header: frames.Header, body: bytes, send: Send) -> None:
        self._open += 1
        try:
            await self._handle(Call(header, body, send))
        finally:
            self._open -= 1
            self._contact = time.monotonic()

    async def _handle(self, call: Call) -> None:
        try:
            handler = self._handlers.get(call.get("call", str))
            if handler is None:
                raise Refused("bad", "call: not known here")
            if "until" in call.header:
                self.fences.in_time(call.get("until", float))
            await handler(call)
        except Refused as refusal:
            await call.send({"type": "error", "kind": refusal.kind, "message": str(refusal), **refusal.more})
        except (ValueError, OverflowError) as error:
            # Names that no file can have, numbers that no call takes: the request is at fault, and is told so.
            await call.send({"type": "error", "kind": "bad", "message": f"cannot be done: {error}"})
        except OSError as error:
            await call.send({"type": "error", "kind": "failed", "message": error.strerror or str(error)})

    async def _find(self, call: Call) -> None:
        from .finding import Finding  # Only now, as with watching: not every environment needs it.

        await Finding(self._workspace).find(call)

    async def _watch(self, call: Call) -> None:
        from .watching import Watching

        await Watching(self._workspace).watch(call)

    async def _ping(self, call: Call) -> None:
        await call.send({"type": "pong", "incarnation": self.fences.incarnation})

    async def _register(self, call: Call) -> None:
        self.fences.register(call.get("execution", str), call.get("fence", int))
        await self._ping(call)

    async def _cancel(self, call: Call) -> None:
        self.fences.check(call.key.execution, call.get("fence", int), None)
        self.fences.bury(*call.key)
        for kind in self._kinds:
            await kind.cancel(call.key)
        await call.send({"type": "done"})

    async def _kill_group(self, call: Call) -> None:
        execution = call.get("execution", str)
        self.fences.register(execution, call.get("fence", int))
        for operation in call.words("tombstones"):
            self.fences.bury(execution, operation)
        for kind in self._kinds:
            kind.cancel_all(execution)
        await self.processes.kill_group(execution)
        for kind in self._kinds:
            await kind.settled(execution)
        await self._ping(call)

    async def _shutdown(self, call: Call) -> None:
        if call.get("incarnation", str) == self.fences.incarnation:
            await self.processes.kill_all()
            await call.send({"type": "done"})
            self.over.set()
