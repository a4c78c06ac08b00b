"""supervisor.v1.EnvironmentOpsService: commands, files, git and terminals of one environment, over its machine.

Nothing here touches a workspace itself: every operation goes to the environment's supervisor, in a group of its own.
"""

import contextlib

from hostler.api.call import current
from hostler.api.inside import Inside
from hostler.api.ops_files import FileOps
from hostler.api.ops_git import GitOps
from hostler.api.ops_parts import Context, path_of
from hostler.api.ops_terminals import TerminalOps
from hostler.api.parts import ApiParts
from hostler.contract.supervisor.v1 import environment_ops_pb as pb
from hostler.contract.supervisor.v1.environment_ops_connect import EnvironmentOpsService
from hostler.core.errors import AlreadyExists, Fenced, InvalidArgument, Restarted, Unimplemented
from hostler.core.machines import (
    Cancelled,
    Command,
    ExecResult,
    Exited,
    FileProblem,
    Machine,
    OnOutput,
    Signalled,
    TimedOut,
    Unknown,
)

DEFAULT_SECONDS = 120
MOST_SECONDS = 24 * 3600
LONGEST_COMMAND = 1 << 20
LONGEST_ID = 200
TIMED_OUT = 124


MOST_ADMITTED = 4096
"""Of how many environments it is remembered which life of theirs has admitted us."""


class Ops(FileOps, GitOps, TerminalOps, EnvironmentOpsService):
    """The service over the environment desk."""

    def __init__(self, parts: ApiParts) -> None:
        super().__init__(parts)
        self._admitted: dict[str, str] = {}

    async def exec(self, request: pb.ExecRequest, ctx: Context, /) -> pb.ExecResponse:
        """Run a shell command, or answer what became of it under this operation id."""
        seconds = seconds_of(request.timeout_seconds)
        directory = path_of(request.working_directory or ".", "working_directory")
        operation = operation_of(request.operation_id) if request.operation_id else self._parts.ambient.new_id()
        argv = ("sh", "-c", command_of(request.command))
        machine = await self._parts.environments.machine(current().environment)
        command = Command(argv, cwd=directory, timeout=float(seconds), merge=False, exact=True)
        async with self._awake():
            inside, result = await self._run(machine, command, operation)
        out, err = await inside.text(operation, "out", result.out), await inside.text(operation, "err", result.err)
        code, note = ending(result, seconds)
        redact = self._parts.redactor.text
        return pb.ExecResponse(exit_code=code, stdout=redact(out), stderr=redact(err + note))

    async def _run(self, machine: Machine, command: Command, operation: str) -> tuple[Inside, ExecResult]:
        """Run a command in the life that admitted us last; one that does not know us has begun nothing and is asked."""
        environment = current().environment
        if known := self._admitted.get(environment):
            inside = Inside(machine, known)
            with contextlib.suppress(Restarted, Fenced):
                return inside, await run(inside, command, operation)
        inside = await Inside.entered(machine)
        if len(self._admitted) >= MOST_ADMITTED:
            self._admitted.clear()
        self._admitted[environment] = inside.incarnation
        return inside, await run(inside, command, operation)

    async def cancel_exec(self, request: pb.CancelExecRequest, ctx: Context, /) -> pb.CancelExecResponse:
        """End a command that is still running; one that has not come yet can never start."""
        operation = operation_of(request.operation_id)
        await (await self._there()).cancel(operation)
        return pb.CancelExecResponse()

    async def list_capabilities(
        self, request: pb.ListCapabilitiesRequest, ctx: Context, /
    ) -> pb.ListCapabilitiesResponse:
        """Say what can be done beyond the basics."""
        return pb.ListCapabilitiesResponse(capabilities=[pb.Capability.WATCH])

    async def start_browser(self, request: pb.StartBrowserRequest, ctx: Context, /) -> pb.StartBrowserResponse:
        """Refuse: there is no browser in environments of this server."""
        raise Unimplemented("no browser is available in environments of this server")


async def run(
    inside: Inside, command: Command, operation: str, *, on_output: OnOutput | None = None, offset: int = 0
) -> ExecResult:
    """Run, join or replay a command; AlreadyExists when the id was given with another one."""
    try:
        return await inside.run(command, operation, on_output=on_output, offset=offset)
    except FileProblem as problem:
        if problem.kind == "exists":
            raise AlreadyExists(problem.message, field="operation_id") from None
        raise


def command_of(text: str) -> str:
    """Return a shell command that can be run."""
    if not text:
        raise InvalidArgument("a command is needed", field="command")
    if "\0" in text or len(text) > LONGEST_COMMAND:
        raise InvalidArgument(f"at most {LONGEST_COMMAND} characters without a NUL", field="command")
    return text


def seconds_of(given: int) -> int:
    """Return after how many seconds a command is ended."""
    seconds = given or DEFAULT_SECONDS
    if not 0 < seconds <= MOST_SECONDS:
        raise InvalidArgument(f"from 0 (the default) to {MOST_SECONDS} seconds", field="timeout_seconds")
    return seconds


def operation_of(given: str) -> str:
    """Return the id of an operation."""
    if not 1 <= len(given) <= LONGEST_ID:
        raise InvalidArgument(f"1 to {LONGEST_ID} characters are needed", field="operation_id")
    return given


def ending(result: ExecResult, seconds: int) -> tuple[int, str]:
    """Return the exit code, and what is to be said about it on standard error."""
    match result.outcome:
        case Exited(code):
            return code, ""
        case Signalled(signal):
            return 128 + signal, ""
        case TimedOut():
            return TIMED_OUT, f"\nhostler: the command was ended after its timeout of {seconds} s\n"
        case Cancelled():
            return 130, "\nhostler: the command was cancelled\n"
        case Unknown(reason):
            return 255, f"\nhostler: how the command ended is unknown: {reason}\n"
