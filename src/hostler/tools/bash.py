"""The tool that runs a shell command."""

from pydantic import Field

from hostler.core.machines import (
    Cancelled,
    Command,
    ExecResult,
    Exited,
    FileProblem,
    Output,
    Signalled,
    TimedOut,
    Unknown,
)
from hostler.tools.tool import FOR_THE_MODEL, Answer, Arguments, Inside, bounded


class BashArguments(Arguments):
    """A command for `bash -c` and its deadline."""

    command: str = Field(min_length=1, description="The command, run by bash -c in the workspace.")
    timeout: float = Field(600, gt=0, le=86_400, description="Seconds until the command and its children are ended.")


class Bash:
    """Runs a shell command in the workspace; its process group lives on when the server dies, and is rejoined."""

    name = "bash"
    description = (
        "Run a shell command in the workspace and return its output and exit code. Each call starts in the "
        "workspace's root with a fresh shell."
    )
    arguments = BashArguments
    inside = True

    async def run(self, arguments: BashArguments, inside: Inside | None) -> Answer:
        """Run or rejoin the command."""
        assert inside is not None
        command = Command(
            ("bash", "-c", arguments.command),
            timeout=arguments.timeout,
            output_cap=4 * FOR_THE_MODEL,
            read_only=inside.read_only,
        )
        result = await inside.machine.exec(inside.operation, command, incarnation=inside.incarnation)
        return await answer(result, inside, arguments.timeout)


async def answer(result: ExecResult, inside: Inside, timeout: float) -> Answer:
    """Return a finished command as the model reads it; the whole output is fetched when the answer is cut."""
    text, whole = shown(result.out), None
    if result.out.cut or len(text) > FOR_THE_MODEL:
        whole = await _whole(inside)
    said = bounded(text)
    total = result.out.total
    match result.outcome:
        case Exited(0):
            return Answer("ok", said or "(no output)", 0, whole, total)
        case Exited(code):
            return Answer("failed", f"{said}\n[exit code {code}]".lstrip("\n"), code, whole, total)
        case Signalled(signal):
            return Answer("failed", f"{said}\n[killed by signal {signal}]".lstrip("\n"), 128 + signal, whole, total)
        case TimedOut():
            text = f"{said}\n[ended after {timeout:g} s, its deadline]".lstrip("\n")
            return Answer("timed_out", text, None, whole, total)
        case Cancelled():
            return Answer("cancelled", f"{said}\n[stopped]".lstrip("\n"), None, whole, total)
        case Unknown(reason):
            return Answer("unknown", f"The outcome of this command is unknown: {reason}", None, whole, total)


async def _whole(inside: Inside) -> bytes | None:
    """Return the whole output; None when somebody inside removed what was kept of it."""
    operation = inside.operation
    try:
        return (await inside.machine.output(operation.execution, operation.id, "out", limit=16 << 20)).data
    except FileProblem:
        return None


def shown(output: Output) -> str:
    """Return a stream as text: head, how much is missing, tail."""
    head, tail = output.head.decode(errors="replace"), output.tail.decode(errors="replace")
    return f"{head}\n… [{output.cut} bytes left out] …\n{tail}" if output.cut else head + tail
