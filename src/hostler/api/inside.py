"""One environment's machine as the API uses it: its own group, its own fence, a fresh incarnation each time."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from hostler.core.machines import (
    Command,
    ExecResult,
    Exited,
    FileProblem,
    Machine,
    OnOutput,
    Operation,
    Output,
    Pty,
    WriteHow,
)

GROUP = "hostler-api"
"""The execution under which the supervisor knows what people do by hand; agents have their own."""
FENCE = 1
WHOLE = 16 << 20
"""Bytes of a stream that are answered whole; of more, head and tail."""


@dataclass(frozen=True, slots=True)
class Inside:
    """A machine that has admitted us."""

    machine: Machine
    incarnation: str

    @classmethod
    async def entered(cls, machine: Machine) -> "Inside":
        """Return the machine after it has admitted us."""
        return cls(machine, await machine.register(GROUP, FENCE))

    async def run(
        self, command: Command, operation: str, *, on_output: OnOutput | None = None, offset: int = 0
    ) -> ExecResult:
        """Run, join or replay a command, its output streamed from an offset when somebody wants to see it."""
        return await self.machine.exec(
            self._operation(operation), command, incarnation=self.incarnation, on_output=on_output, offset=offset
        )

    async def must(self, operation: str, *argv: str) -> tuple[int, str]:
        """Run a short command and return its exit code and whole output."""
        result = await self.run(Command(argv, timeout=60.0, merge=False, output_cap=1 << 20), operation)
        code = result.outcome.code if isinstance(result.outcome, Exited) else 255
        return code, await self.text(operation, "out", result.out)

    async def said(self, operation: str, *argv: str) -> tuple[int, bytes]:
        """Run a short command and return its exit code and whole output as bytes."""
        result = await self.run(Command(argv, timeout=60.0, merge=False), operation)
        code = result.outcome.code if isinstance(result.outcome, Exited) else 255
        if not result.out.cut:
            return code, result.out.head + result.out.tail
        return code, (await self.machine.output(GROUP, operation, "out", limit=WHOLE)).data

    async def text(self, operation: str, stream: Literal["out", "err"], output: Output) -> str:
        """Return what a command said on one stream: whole, or head and tail with a note of what lies between."""
        if output.cut and output.total <= WHOLE and output.kept >= output.total:
            try:
                whole = await self.machine.output(GROUP, operation, stream, limit=WHOLE)
            except FileProblem:
                pass
            else:
                return whole.data.decode(errors="replace")
        between = f"\n[... {output.cut} bytes are left out ...]\n".encode() if output.cut else b""
        return (output.head + between + output.tail).decode(errors="replace")

    async def cancel(self, operation: str) -> None:
        """Kill a command's whole tree."""
        await self.machine.cancel(self._operation(operation))

    async def exists(self, path: str) -> bool:
        """Return whether there is something at a path."""
        try:
            await self.machine.stat(path)
        except FileProblem as problem:
            if problem.kind == "not_found":
                return False
            raise
        return True

    async def write(self, path: str, data: bytes, operation: str, how: WriteHow = "replace") -> None:
        """Write a file whole, or at its end."""
        await self.machine.write(self._operation(operation), path, data, incarnation=self.incarnation, how=how)

    async def open(self, terminal: str, command: Command, size: tuple[int, int], notes: Mapping[str, str]) -> Pty:
        """Open a terminal of so many rows and columns."""
        rows, cols = size
        operation, incarnation = self._operation(terminal), self.incarnation
        return await self.machine.pty(operation, command, incarnation=incarnation, rows=rows, cols=cols, notes=notes)

    async def join(self, terminal: str) -> Pty:
        """Look at a terminal that is there; FileProblem when there is none."""
        return await self.machine.join(self._operation(terminal), incarnation=self.incarnation)

    async def type(self, terminal: str, data: bytes) -> None:
        """Type into a terminal."""
        pty = await self.join(terminal)
        try:
            await pty.write(data)
        finally:
            pty.close()

    async def feed(self, operation: str, offset: int, data: bytes, *, last: bool) -> int | None:
        """Give a running command a part of its standard input."""
        return await self.machine.feed(
            self._operation(operation), offset, data, last=last, incarnation=self.incarnation
        )

    def _operation(self, operation: str) -> Operation:
        return Operation(GROUP, FENCE, operation)
