"""The inside of an environment: what the engine and the tools ask of a `Machine`, and what it answers.

Only values and promises live here; how environments are made is the part of `hostler.core.providers`.

Every changing request names its `Operation` and the supervisor's incarnation it was decided for:

- an id that runs is joined, a finished id answers its stored result, a tombstoned id answers cancelled;
- another incarnation raises `MachineLost` before anything starts;
- a fence below the highest one seen, or an execution nobody registered, raises `Fenced`.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from hostler.core.errors import EnvironmentError_
from hostler.core.kept import KeepRequest, OnPart, Snapshot

Stream = Literal["out", "err"]
OnOutput = Callable[[Stream, bytes], Awaitable[None]]


class FileProblem(EnvironmentError_):
    """A file operation was refused by the file system inside; `kind` says how, the message says on which path."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        """not_found, exists, is_directory, not_directory, permission, too_large, full or other."""


class ProcessEnded(EnvironmentError_):
    """The attached process has ended, or takes no input any more."""


@dataclass(frozen=True, slots=True)
class Operation:
    """Who asks for a change and under which number: the id makes a repeat harmless, the fence shuts out old owners."""

    execution: str
    fence: int
    id: str


@dataclass(frozen=True, slots=True)
class Command:
    """A program to run inside, with its deadline and the share of its output that is answered."""

    argv: tuple[str, ...]
    cwd: str = "."
    """Relative to the workspace, or absolute inside."""
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    stdin: bytes = b""
    timeout: float = 600.0
    """Seconds until the whole tree is killed, counted by the supervisor from its start."""
    merge: bool = True
    """Standard error joins standard output in the order in which it was written."""
    output_cap: int = 64 << 10
    """Bytes of each stream in the answer, half from its head and half from its tail."""
    more_input: bool = False
    """The standard input goes on after `stdin`: it comes through `Machine.feed`."""
    exact: bool = False
    """A repeat of the id with another command is refused (FileProblem "exists"); otherwise the first one counts."""
    read_only: bool = False
    """It, and what it starts, may write to /tmp alone; where the kernel cannot hold that, it does not start."""


@dataclass(frozen=True, slots=True)
class Exited:
    """The command's first process ended by itself."""

    code: int


@dataclass(frozen=True, slots=True)
class Signalled:
    """The command's first process was killed by a signal that was not ours."""

    signal: int


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The deadline passed and the whole tree was killed."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """It was cancelled or killed with its group, or its id was tombstoned before it started."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody can say whether it ran or how it ended."""

    reason: str = ""


Outcome = Exited | Signalled | TimedOut | Cancelled | Unknown


@dataclass(frozen=True, slots=True)
class Output:
    """One stream of a command: head and tail for the answer, the whole in a file inside the environment."""

    head: bytes = b""
    tail: bytes = b""
    """Empty while the head holds everything."""
    total: int = 0
    kept: int = 0
    """Bytes of the whole that `Machine.output` can still read; below `total` when the file's own cap was reached."""

    @property
    def cut(self) -> int:
        """Bytes between head and tail that are not in the answer."""
        return self.total - len(self.head) - len(self.tail)


@dataclass(frozen=True, slots=True)
class ExecResult:
    """How a command ended and what it said."""

    outcome: Outcome
    out: Output = Output()
    err: Output = Output()
    """Empty when the streams were merged."""
    seconds: float = 0.0
    replayed: bool = False
    """The operation had finished before this request; the result is the stored one."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a file, and the size of the whole."""

    data: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, folder or link inside; a link is never followed."""

    path: str
    kind: Literal["file", "directory", "link", "other"]
    size: int
    mode: int
    modified: float
    """Seconds since 1970 by the environment's clock."""


WriteHow = Literal["replace", "create", "truncate", "append"]
"""Replace the whole, whatever there was; only where there was no file; only where there was one; add at its end."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found; `cut` says that there may be more."""

    entries: tuple[Entry, ...]
    cut: bool


@dataclass(frozen=True, slots=True)
class Changed:
    """A file or folder inside that has changed."""

    path: str
    kind: Literal["created", "updated", "deleted"]
    folder: bool


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes that came together; `lost` says that there were more, so that one has to look again."""

    files: tuple[Changed, ...]
    git: bool
    lost: bool


@dataclass(frozen=True, slots=True)
class OpenTerminal:
    """A terminal that is open inside."""

    id: str
    program: str
    cwd: str
    created: float
    """Seconds since 1970 by the environment's clock."""
    rows: int
    cols: int
    notes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Written:
    """A file was written whole."""

    size: int
    existed: bool
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Edited:
    """One occurrence was replaced, on the given line."""

    line: int
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class EditRefused:
    """The text to be replaced did not occur exactly once; the file is as it was."""

    occurrences: int
    lines: tuple[int, ...] = ()
    """Where it occurs, at most the first ten."""
    replayed: bool = False


EditResult = Edited | EditRefused | Cancelled


@dataclass(frozen=True, slots=True)
class GitChange:
    """One path of `git status`, with git's two-letter code."""

    code: str
    path: str


@dataclass(frozen=True, slots=True)
class GitStatus:
    """Where the workspace's repository stands."""

    branch: str | None
    """None with a detached head."""
    head: str | None
    """None before the first commit."""
    changes: tuple[GitChange, ...] = ()


@dataclass(frozen=True, slots=True)
class Patch:
    """Changes as a binary-safe git patch; `cut` says that it exceeded the size asked for and is incomplete."""

    data: bytes
    cut: bool = False


class Pty(Protocol):
    """A terminal inside; it goes on while nobody looks, and a ring buffer keeps what was shown last."""

    @property
    def history(self) -> bytes:
        """Return what was shown last before this look began."""
        ...

    @property
    def size(self) -> tuple[int, int]:
        """Return the rows and columns it had when this look began."""
        ...

    @property
    def outcome(self) -> Outcome | None:
        """Return how it ended, once its output has been read to the end."""
        ...

    def news(self) -> AsyncIterator[bytes]:
        """Yield what is shown after the history; ends with the terminal. Raises MachineLost."""
        ...

    def output(self) -> AsyncIterator[bytes]:
        """Yield the ring buffer, then what comes; ends with the terminal. Raises MachineLost."""
        ...

    async def write(self, data: bytes) -> None:
        """Type `data`; returns at once. FileProblem "full" when too much waits unread, "not_found" when it is gone."""
        ...

    async def resize(self, rows: int, cols: int) -> None:
        """Change the terminal's size in characters."""
        ...

    async def kill(self) -> None:
        """End the terminal and all that runs in it."""
        ...

    def close(self) -> None:
        """Stop looking; the terminal goes on."""
        ...


class Attached(Protocol):
    """A long-lived process inside whose standard output is kept in a file and replayed from any byte offset."""

    def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """Yield (offset of the first byte, bytes); ends when the process does. Raises MachineLost."""
        ...

    async def send(self, message: str, data: bytes) -> bool:
        """Write `data` to its standard input, whole and once per message id; False says it was written before.

        Raises ProcessEnded, MachineLost, Fenced.
        """
        ...

    async def wait(self) -> Outcome:
        """Return how the process ended."""
        ...

    async def errors(self) -> bytes:
        """Return the tail of its standard error."""
        ...

    async def kill(self) -> None:
        """Kill the process and everything it started."""
        ...

    def close(self) -> None:
        """Stop looking; the process goes on."""
        ...


class Machine(Protocol):
    """Runs commands and touches files inside one environment, through its supervisor.

    Every method raises MachineLost when the supervisor does not answer by the deadline kept on this side. Cancelling
    the caller's task never cancels an operation: it goes on inside and is joined by its id.
    """

    async def ping(self) -> str:
        """Return the supervisor's incarnation."""
        ...

    async def register(self, execution: str, fence: int) -> str:
        """Admit an execution with its least fence; return the incarnation. Raises Fenced if a higher one was seen."""
        ...

    async def exec(
        self,
        operation: Operation,
        command: Command,
        *,
        incarnation: str,
        on_output: OnOutput | None = None,
        offset: int = 0,
    ) -> ExecResult:
        """Run, join or replay a command, its output streamed from byte `offset` of each stream.

        Raises MachineLost, Fenced.
        """
        ...

    async def feed(self, operation: Operation, offset: int, data: bytes, *, last: bool, incarnation: str) -> int | None:
        """Give a running command a part of its standard input, from byte `offset` of the whole; each byte counts once.

        Returns how many bytes of the whole were taken so far (fewer than given while it does not read), or None when
        the command reads no more. Raises FileProblem for a command that does not run, MachineLost, Fenced.
        """
        ...

    async def cancel(self, operation: Operation) -> None:
        """Kill one operation's whole tree, or leave a tombstone so that it can never start. Raises Fenced."""
        ...

    async def kill_group(self, execution: str, fence: int, tombstones: Sequence[str] = ()) -> str:
        """Kill all processes of the execution, tombstone the ids, raise the fence.

        Returns the incarnation when all are gone; an execution never seen is registered with the fence. Raises Fenced.
        """
        ...

    async def output(
        self, execution: str, operation: str, stream: Stream, *, offset: int = 0, limit: int = 1 << 20
    ) -> Chunk:
        """Read the kept output of an operation; raises FileProblem when there is none."""
        ...

    async def read(self, path: str, *, offset: int = 0, limit: int = 1 << 20) -> Chunk:
        """Read a part of a file. Raises FileProblem."""
        ...

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
        """Write a file whole, or at its end, making its folders; `mode` None keeps the old one.

        Raises FileProblem, MachineLost, Fenced.
        """
        ...

    async def edit(self, operation: Operation, path: str, old: str, new: str, *, incarnation: str) -> EditResult:
        """Replace the one occurrence of `old`. Raises FileProblem, MachineLost, Fenced."""
        ...

    async def list(self, path: str = ".", *, depth: int = 1, limit: int = 1000) -> Sequence[Entry]:
        """List a folder, at most `limit` entries. Raises FileProblem."""
        ...

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
        """Search below a folder for names: a glob, else a part of the name; fuzzy: the letters in order, best first.

        Links are not followed. Raises FileProblem.
        """
        ...

    def watch(self, excluded: Sequence[str] = ()) -> AsyncGenerator[Changes]:
        """Yield what changes in the workspace from now on; raises MachineLost when the environment ends."""
        ...

    async def stat(self, path: str) -> Entry:
        """Describe one path without following a link. Raises FileProblem."""
        ...

    async def git_status(self) -> GitStatus:
        """Read the repository's state; git runs inside. Raises FileProblem outside a repository."""
        ...

    async def git_diff(self, base: str | None = None, *, limit: int = 8 << 20) -> Patch:
        """Return all changes since `base` (None: the head), untracked files included; the index is untouched."""
        ...

    async def git_keep(self, request: KeepRequest, on_part: OnPart) -> Snapshot:
        """Commit what is in the workspace beside its repository, which stays as it is; the pack comes in parts.

        Raises EnvironmentFailed with the reason when it cannot be kept.
        """
        ...

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
        """Open a terminal, or rejoin the one with this id; FileProblem "full" when too many are open.

        Raises MachineLost, Fenced.
        """
        ...

    async def join(self, operation: Operation, *, incarnation: str) -> Pty:
        """Rejoin a terminal; FileProblem "not_found" when there is none of this id. Raises MachineLost, Fenced."""
        ...

    async def terminals(self, execution: str) -> Sequence[OpenTerminal]:
        """List the open terminals of an execution, the oldest first."""
        ...

    async def attach(self, operation: Operation, command: Command, *, incarnation: str, offset: int = 0) -> Attached:
        """Start a long-lived process, or rejoin it and replay its output from `offset`. Raises MachineLost, Fenced."""
        ...
