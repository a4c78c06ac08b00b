"""What survives a server: a machine in memory that remembers operations and fences, as a supervisor does."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import NoReturn, cast

from hostler.core.desk import NewEnvironment
from hostler.core.errors import EnvironmentFailed, Fenced, MachineLost, NotAuthenticated
from hostler.core.kept import WorkKept
from hostler.core.machines import (
    Attached,
    Cancelled,
    Chunk,
    Command,
    Edited,
    EditRefused,
    EditResult,
    Entry,
    ExecResult,
    Exited,
    FileProblem,
    Machine,
    OnOutput,
    Operation,
    Output,
    Patch,
    Stream,
    Written,
)
from hostler.core.memory_events import Skill
from hostler.core.ports import Principal
from hostler.core.spoken import Spoken
from hostler.engine.effects import Prepared
from hostler.testing.resident import Act, Line, Resident, Thread

Shell = Callable[[str], Awaitable[tuple[int, str]]]
"""What a command line comes to: exit code and output."""


async def echo(line: str) -> tuple[int, str]:
    """Answer every command line with itself."""
    return 0, f"$ {line}\n"


@dataclass(slots=True)
class MemoryMachine:
    """The inside of the one environment, and its supervisor; it goes on while servers come and go."""

    shell: Shell = echo
    incarnation: str = "supervisor-1"
    files: dict[str, bytes] = field(default_factory=dict[str, bytes])
    fences: dict[str, int] = field(default_factory=dict[str, int])
    running: dict[tuple[str, str], asyncio.Task[tuple[int, str]]] = field(
        default_factory=dict[tuple[str, str], "asyncio.Task[tuple[int, str]]"]
    )
    """Commands, by execution and operation."""
    done: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    """Changes of files, by execution and operation."""
    started: list[str] = field(default_factory=list[str])
    script: Sequence[Act] = ()
    thread: Thread = field(default_factory=Thread)
    deaf: list[Exception] = field(default_factory=list[Exception])
    """What the next messages to the agent that lives here come to instead of being heard."""
    residents: dict[str, Resident] = field(default_factory=dict[str, Resident])

    async def attach(self, operation: Operation, command: Command, *, incarnation: str, offset: int = 0) -> Attached:
        """Start or rejoin the agent that lives here."""
        self._admit(operation, incarnation)
        if operation.id not in self.residents:
            self.started.append(operation.id)
            self.residents[operation.id] = Resident(self.thread, self.script, self._done, deaf=self.deaf)
        return Line(self.residents[operation.id], offset)

    async def _done(self, line: str) -> str:
        return (await self.shell(line))[1]

    async def cancel(self, operation: Operation) -> None:
        """End one process."""
        if operation.execution not in self.fences:
            raise Fenced()
        if operation.id in self.residents:
            await self.residents[operation.id].end(Cancelled())

    async def end_residents(self) -> None:
        """End every process that lives here."""
        for resident in self.residents.values():
            await resident.end(Cancelled())

    def lose_supervisor(self) -> None:
        """Let the supervisor die with everything that ran; another one will take its place."""
        number = int(self.incarnation.rpartition("-")[2]) + 1
        self.incarnation = f"supervisor-{number}"
        for task in self.running.values():
            task.cancel()
        for resident in self.residents.values():
            resident.ended = resident.ended or Cancelled()
        self.running.clear()
        self.fences.clear()

    def _admit(self, operation: Operation, incarnation: str) -> None:
        if incarnation != self.incarnation:
            raise MachineLost()
        if operation.execution not in self.fences or operation.fence < self.fences[operation.execution]:
            raise Fenced()

    async def exec(
        self,
        operation: Operation,
        command: Command,
        *,
        incarnation: str,
        on_output: OnOutput | None = None,
        offset: int = 0,
    ) -> ExecResult:
        """Run, join or replay a command."""
        self._admit(operation, incarnation)
        name = operation.execution, operation.id
        task = self.running.get(name)
        if task is None:
            self.started.append(operation.id)
            task = self.running[name] = asyncio.ensure_future(self.shell(command.argv[-1]))
        try:
            code, text = await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.cancelled():
                raise
            if incarnation != self.incarnation:
                raise MachineLost from None
            return ExecResult(Cancelled())
        return ExecResult(Exited(code), Output(text.encode(), total=len(text.encode())))

    async def read(self, path: str, *, offset: int = 0, limit: int = 1 << 20) -> Chunk:
        """Read a file."""
        if path not in self.files:
            raise FileProblem("not_found", f"{path}: no such file")
        return Chunk(self.files[path][offset : offset + limit], len(self.files[path]))

    async def write(
        self, operation: Operation, path: str, data: bytes, *, incarnation: str, mode: int | None = None
    ) -> Written:
        """Write a file once an operation."""
        self._admit(operation, incarnation)
        existed = path in self.files
        if (operation.execution, operation.id) not in self.done:
            self._begin(operation)
            self.files[path] = data
        return Written(len(data), existed)

    async def edit(self, operation: Operation, path: str, old: str, new: str, *, incarnation: str) -> EditResult:
        """Edit a file once an operation."""
        self._admit(operation, incarnation)
        text = self.files.get(path, b"").decode()
        if (operation.execution, operation.id) in self.done:
            return Edited(1, replayed=True)
        if text.count(old) != 1:
            return EditRefused(text.count(old))
        self._begin(operation)
        self.files[path] = text.replace(old, new).encode()
        return Edited(text[: text.index(old)].count("\n") + 1)

    def _begin(self, operation: Operation) -> None:
        self.done.add((operation.execution, operation.id))
        self.started.append(operation.id)

    async def output(
        self, execution: str, operation: str, stream: Stream, *, offset: int = 0, limit: int = 1 << 20
    ) -> Chunk:
        """Return the whole output of a finished command."""
        data = self.running[execution, operation].result()[1].encode()
        return Chunk(data[offset : offset + limit], len(data))

    async def list(self, path: str = ".", *, depth: int = 1, limit: int = 1000) -> Sequence[Entry]:
        """List all files."""
        return [Entry(name, "file", len(data), 0o644, 0.0) for name, data in sorted(self.files.items())]

    async def git_diff(self, base: str | None = None, *, limit: int = 8 << 20) -> Patch:
        """Return all files as what has changed."""
        return Patch(repr(sorted(self.files.items())).encode())

    def __getattr__(self, name: str) -> NoReturn:
        raise NotImplementedError(f"the world in memory has no {name}; use a sandbox")


async def _at_once(turn: int) -> None:
    """Take no time."""


@dataclass(slots=True)
class World:
    """One environment as the engine's places and homes see it."""

    machine: MemoryMachine = field(default_factory=MemoryMachine)
    broken: str = ""
    skills: tuple[Skill, ...] = ()
    """What the workspace brings along."""
    asks: str = ""
    """The address of a repository that asks for a credential."""
    kills: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    keeps: list[int] = field(default_factory=list[int])
    keeping: Callable[[int], Awaitable[None]] = _at_once
    """What keeping the work of a turn takes; it may raise."""
    released: list[str] = field(default_factory=list[str])
    phases: dict[str, str] = field(default_factory=dict[str, str])
    """Phases of environments that do not run."""
    rebuilds: list[str] = field(default_factory=list[str])
    rebuild_failures: Sequence[str] = ()

    async def prepare(self, environment: str, execution: str, fence: int) -> Prepared:
        """Find the environment and admit the execution."""
        if self.broken:
            raise EnvironmentFailed(self.broken)
        if self.asks:
            raise NotAuthenticated(f"not authenticated: {self.asks} asks for a credential", self.asks)
        if fence < self.machine.fences.get(execution, 0):
            raise Fenced()
        self.machine.fences[execution] = fence
        return Prepared(self.machine.incarnation, "base", (), "", self.skills)

    async def phase(self, environment: str) -> tuple[str, str]:
        """Return the phase that a story has given an environment."""
        return self.phases.get(environment, "running"), ""

    async def rebuild(self, environment: str, name: str) -> Sequence[str]:
        """Note that the lifecycle commands ran, once under each name."""
        if name not in self.rebuilds:
            self.rebuilds.append(name)
        return self.rebuild_failures

    async def machine_for(self, environment: str) -> Machine:
        """Return the inside; it has the part of a machine that stories need."""
        return cast("Machine", self.machine)

    async def kill_group(self, environment: str, execution: str, fence: int) -> None:
        """End everything that runs; take the fence."""
        if fence < self.machine.fences.get(execution, 0):
            raise Fenced()
        self.machine.fences[execution] = fence
        self.kills.append((execution, fence))
        for (runs, _), task in self.machine.running.items():
            if runs == execution:
                task.cancel()
        await self.machine.end_residents()

    async def keep(self, environment: str, execution: str, turn: int) -> WorkKept:
        """Keep what the files come to."""
        self.keeps.append(turn)
        await self.keeping(turn)
        commit = hashlib.sha1(repr(sorted(self.machine.files.items())).encode()).hexdigest()
        return WorkKept(turn, commit, len(self.machine.files), base="base")

    async def forget_work(self, execution: str) -> None:
        """Keep nothing any more."""
        self.keeps.clear()

    async def release(self, environment: str, execution: str, *, owned: bool) -> None:
        """Give the environment up."""
        self.released.append(environment)

    async def usable(self, environment: str) -> None:
        """Allow every environment."""

    async def revivable(self, environment: str) -> None:
        """Allow every environment."""

    async def write(self, environment: str, new: NewEnvironment, creator: Principal, *, owner: str = "") -> None:
        """Need no row."""

    async def forget(self, environment: str) -> None:
        """Need no row."""

    async def use(self, environment: str, execution: str) -> None:
        """Need no row."""

    async def users(self, environment: str) -> tuple[str, ...]:
        """Know nobody."""
        return ()


@dataclass(slots=True)
class MemoryBlobs:
    """Blobs in memory."""

    kept: dict[str, bytes] = field(default_factory=dict[str, bytes])
    named: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])

    async def put(self, execution: str, data: bytes) -> str:
        """Keep bytes."""
        name = hashlib.sha256(data).hexdigest()
        self.kept[name] = data
        self.named.add((name, execution))
        return name

    async def get(self, sha256: str, execution: str = "") -> bytes | None:
        """Return bytes."""
        return self.kept.get(sha256) if not execution or (sha256, execution) in self.named else None

    async def purge(self, execution: str) -> None:
        """Keep everything; nothing here outlives a test."""


@dataclass(slots=True)
class MemorySpoken:
    """What people were shown, in memory."""

    kept: dict[str, list[Spoken]] = field(default_factory=dict[str, list[Spoken]])
    shown: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    """Everything that was ever kept, by execution and block: the longest text of each."""

    def add(self, execution: str, piece: Spoken) -> bool:
        """Keep a piece."""
        self.kept.setdefault(execution, []).append(piece)
        blocks = self.shown.setdefault(execution, {})
        text = "".join(one.text for one in self.kept[execution] if one.block == piece.block)
        blocks[piece.block] = max(blocks.get(piece.block, ""), text, key=len)
        return True

    def read(self, execution: str) -> Sequence[Spoken]:
        """Return the pieces."""
        return tuple(self.kept.get(execution, ()))

    def replace(self, execution: str, pieces: Sequence[Spoken]) -> None:
        """Keep other pieces."""
        self.kept.pop(execution, None)
        if pieces:
            self.kept[execution] = list(pieces)

    def release(self, execution: str) -> None:
        """Need nothing."""

    def forget(self, execution: str) -> None:
        """Forget the pieces."""
        self.kept.pop(execution, None)
