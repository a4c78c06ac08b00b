"""One environment's machine as the API uses it: its own group, its own fence, a fresh incarnation each time."""

from dataclasses import dataclass
from typing import Literal

from hostler.core.errors import FailedPrecondition
from hostler.core.machines import Command, ExecResult, Exited, FileProblem, Machine, Operation, Output

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

    async def run(self, command: Command, operation: str) -> ExecResult:
        """Run, join or replay a command."""
        return await self.machine.exec(self._operation(operation), command, incarnation=self.incarnation)

    async def must(self, operation: str, *argv: str) -> tuple[int, str]:
        """Run a short command and return its exit code and whole output."""
        result = await self.run(Command(argv, timeout=60.0, merge=False, output_cap=1 << 20), operation)
        code = result.outcome.code if isinstance(result.outcome, Exited) else 255
        return code, await self.text(operation, "out", result.out)

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

    async def write(self, path: str, data: bytes, operation: str) -> None:
        """Replace a file whole."""
        await self.machine.write(self._operation(operation), path, data, incarnation=self.incarnation)

    async def append(self, path: str, data: bytes, operation: str) -> None:
        """Write at a file's end."""
        command = Command(("sh", "-c", 'cat >> "$1"', "sh", path), stdin=data, merge=False)
        result = await self.run(command, operation)
        if result.outcome != Exited(0):
            raise FailedPrecondition(result.err.head.decode(errors="replace").strip(), field="path")

    def _operation(self, operation: str) -> Operation:
        return Operation(GROUP, FENCE, operation)
