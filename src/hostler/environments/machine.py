"""The one machine: everything that can be done inside an environment, over any provider's byte stream.

Each call is a connection of its own, so cancelling a caller only closes a connection: what runs inside goes on and is
joined again by its id.
"""

import hashlib
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Literal

from hostler.core.errors import MachineLost
from hostler.core.kept import KeepRequest, OnPart, Snapshot
from hostler.core.machines import (
    Attached,
    Cancelled,
    Changes,
    Chunk,
    Command,
    EditResult,
    Entry,
    ExecResult,
    Found,
    GitStatus,
    OnOutput,
    OpenTerminal,
    Operation,
    Patch,
    Pty,
    Stream,
    WriteHow,
    Written,
)
from hostler.environments import answers, snapshots
from hostler.environments.channel import Connect, Exchange, need, table
from hostler.environments.sessions import AttachedProcess, Terminal
from hostler.environments.supervisor.frames import Frame, Header

CALL_SECONDS = 20.0
GIT_SECONDS = 180.0
GRACE_SECONDS = 30.0
MOST_OUTPUT = 256 << 20


class SupervisorMachine:
    """A `Machine` that speaks to a supervisor; see the protocol for the promises."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect

    async def _call(self, header: Header, body: bytes = b"", *, seconds: float = CALL_SECONDS) -> Frame:
        async with Exchange(self._connect, header, body, seconds=seconds) as exchange:
            return await exchange.answer()

    async def ping(self) -> str:
        """Return the supervisor's incarnation."""
        return need((await self._call({"call": "ping"}))[0], "incarnation", str)

    async def register(self, execution: str, fence: int) -> str:
        """Admit an execution with its least fence; return the incarnation."""
        header, _ = await self._call({"call": "register", "execution": execution, "fence": fence})
        return need(header, "incarnation", str)

    async def exec(
        self,
        operation: Operation,
        command: Command,
        *,
        incarnation: str,
        on_output: OnOutput | None = None,
        offset: int = 0,
    ) -> ExecResult:
        """Run, join or replay a command, its output streamed from byte `offset` of each stream."""
        header = {
            **changing("exec", operation, incarnation),
            **executing(command),
            "timeout": command.timeout,
            "merge": command.merge,
            "output_cap": command.output_cap,
            "stream": on_output is not None,
            "offset": offset,
            "more_input": command.more_input,
            **({"given": digest(command)} if command.exact else {}),
        }
        seconds, shown = command.timeout + GRACE_SECONDS, 0
        async with Exchange(self._connect, header, command.stdin, seconds=seconds) as exchange:
            async for answer, body in exchange.answers():
                if answer.get("type") == "result":
                    return answers.result(answer)
                shown += len(body)
                if shown > MOST_OUTPUT:
                    raise MachineLost("The environment's supervisor sends more output than it may.")
                if on_output:
                    await on_output("err" if answer.get("stream") == "err" else "out", body)
        raise MachineLost

    async def feed(self, operation: Operation, offset: int, data: bytes, *, last: bool, incarnation: str) -> int | None:
        """Give a running command a part of its standard input."""
        header = {**changing("feed", operation, incarnation), "offset": offset, "last": last}
        taken = need((await self._call(header, data))[0], "taken", int)
        return None if taken < 0 else min(taken, offset + len(data))

    async def cancel(self, operation: Operation) -> None:
        """Kill one operation's whole tree, or leave a tombstone so that it can never start."""
        await self._call({**changing("cancel", operation, "")})

    async def kill_group(self, execution: str, fence: int, tombstones: Sequence[str] = ()) -> str:
        """Kill all processes of the execution, tombstone the ids, raise the fence; return the incarnation."""
        body = {"call": "kill_group", "execution": execution, "fence": fence, "tombstones": list(tombstones)}
        return need((await self._call(body))[0], "incarnation", str)

    async def output(
        self, execution: str, operation: str, stream: Stream, *, offset: int = 0, limit: int = 1 << 20
    ) -> Chunk:
        """Read the kept output of an operation."""
        names = {"execution": execution, "operation": operation, "stream": stream}
        return await self._part({"call": "output", **names, "offset": offset, "limit": limit})

    async def read(self, path: str, *, offset: int = 0, limit: int = 1 << 20) -> Chunk:
        """Read a part of a file."""
        return await self._part({"call": "read", "path": path, "offset": offset, "limit": limit})

    async def _part(self, header: Header) -> Chunk:
        answer, body = await self._call(header)
        return Chunk(body[: header["limit"]], need(answer, "size", int))

    async def write(
        self,
        operation: Operation,
        path: str,
        data: bytes,
        *,
        incarnation: str,
        mode: int | None = None,
        how: WriteHow = "replace",
    ) -> Written | Cancelled:
        """Write a file whole, or at its end, making its folders; `mode` None keeps the old one."""
        header = {**changing("write", operation, incarnation), "path": path, "mode": mode, "how": how}
        answer, _ = await self._call(header, data, seconds=GRACE_SECONDS)
        if answer.get("type") == "cancelled":
            return Cancelled()
        return Written(need(answer, "size", int), need(answer, "existed", bool), "replayed" in answer)

    async def edit(self, operation: Operation, path: str, old: str, new: str, *, incarnation: str) -> EditResult:
        """Replace the one occurrence of `old`."""
        before, after = old.encode(), new.encode()
        header = {**changing("edit", operation, incarnation), "path": path, "old_size": len(before)}
        return answers.edit((await self._call(header, before + after, seconds=GRACE_SECONDS))[0])

    async def list(self, path: str = ".", *, depth: int = 1, limit: int = 1000) -> Sequence[Entry]:
        """List a folder, at most `limit` entries."""
        answer, _ = await self._call({"call": "list", "path": path, "depth": depth, "limit": limit})
        return answers.entries(answer)[:limit]

    async def find(
        self,
        path: str,
        pattern: str,
        *,
        kind: Literal["file", "directory", "any"] = "file",
        depth: int = 64,
        fuzzy: bool = False,
        limit: int = 1000,
    ) -> Found:
        """Search below a folder for names."""
        header = {"path": path, "pattern": pattern, "kind": kind, "depth": depth, "fuzzy": fuzzy, "limit": limit}
        answer, _ = await self._call({"call": "find", **header}, seconds=GRACE_SECONDS)
        return Found(tuple(answers.entries(answer)[:limit]), need(answer, "cut", bool))

    async def watch(self, excluded: Sequence[str] = ()) -> AsyncGenerator[Changes]:
        """Yield what changes in the workspace from now on."""
        request = {"call": "watch", "excluded": list(excluded)}
        async with Exchange(self._connect, request, seconds=None) as exchange:
            await exchange.answer(CALL_SECONDS)
            async for answer, _ in exchange.answers():
                yield answers.changes(answer)

    async def stat(self, path: str) -> Entry:
        """Describe one path without following a link."""
        answer, _ = await self._call({"call": "stat", "path": path})
        return answers.entry(table(answer, "entry"))

    async def git_status(self) -> GitStatus:
        """Read the repository's state; git runs inside."""
        return answers.git_status((await self._call({"call": "git_status"}, seconds=GIT_SECONDS))[1])

    async def git_diff(self, base: str | None = None, *, limit: int = 8 << 20) -> Patch:
        """Return all changes since `base`, untracked files included; the index is untouched."""
        header = {"call": "git_diff", "base": base or "", "limit": limit}
        answer, body = await self._call(header, seconds=GIT_SECONDS)
        return Patch(body, need(answer, "cut", bool))

    async def git_keep(self, request: KeepRequest, on_part: OnPart) -> Snapshot:
        """Commit what is in the workspace beside its repository; the pack comes in parts, never more than asked."""
        return await snapshots.take(self._connect, request, on_part)

    async def pty(
        self,
        operation: Operation,
        command: Command,
        *,
        incarnation: str,
        rows: int,
        cols: int,
        notes: Mapping[str, str] | None = None,
    ) -> Pty:
        """Open a terminal, or rejoin the one with this id."""
        change = changing("pty", operation, incarnation)
        header = {**change, **executing(command), "rows": rows, "cols": cols, "notes": dict(notes or {})}
        return await Terminal.open(self._connect, change, header)

    async def join(self, operation: Operation, *, incarnation: str) -> Pty:
        """Rejoin a terminal that is known."""
        change = changing("pty", operation, incarnation)
        return await Terminal.open(self._connect, change, {**change, "join": True})

    async def terminals(self, execution: str) -> Sequence[OpenTerminal]:
        """List the open terminals of an execution, the oldest first."""
        return answers.terminals((await self._call({"call": "ptys", "execution": execution}))[0])

    async def attach(self, operation: Operation, command: Command, *, incarnation: str, offset: int = 0) -> Attached:
        """Start a long-lived process, or rejoin it and replay its output from `offset`."""
        change = changing("attach", operation, incarnation)
        return await AttachedProcess.open(self._connect, change, {**change, **executing(command), "offset": offset})


def changing(call: str, operation: Operation, incarnation: str) -> Header:
    """Return the fields that every changing request carries."""
    return {
        "call": call,
        "execution": operation.execution,
        "operation": operation.id,
        "fence": operation.fence,
        "incarnation": incarnation,
    }


def executing(command: Command) -> Header:
    """Return the fields that say what to execute."""
    held = {"read_only": True} if command.read_only else {}
    return {"argv": list(command.argv), "cwd": command.cwd, "env": dict(command.env), **held}


def digest(command: Command) -> str:
    """Return what tells one command from another."""
    said = json.dumps([command.argv, command.cwd, sorted(command.env.items()), command.merge]).encode()
    return hashlib.sha256(said + b"\0" + command.stdin).hexdigest()
