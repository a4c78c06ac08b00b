"""supervisor.v1.EnvironmentOpsService: commands and files of one environment, over its machine.

Nothing here touches a workspace itself: every operation goes to the environment's supervisor, in a group of its own.
"""

import posixpath
from collections import OrderedDict
from hashlib import sha256
from typing import Any

from connectrpc.request import RequestContext
from protobuf import Oneof

from hostler.api import ops_git
from hostler.api.call import current
from hostler.api.inside import Inside
from hostler.api.parts import ApiParts
from hostler.contract.supervisor.v1 import environment_ops_pb as pb
from hostler.contract.supervisor.v1 import files_pb, git_pb
from hostler.contract.supervisor.v1.environment_ops_connect import EnvironmentOpsService
from hostler.core.errors import AlreadyExists, InvalidArgument, NotFound, ResourceExhausted
from hostler.core.machines import Cancelled, Command, ExecResult, Exited, FileProblem, Signalled, TimedOut, Unknown

Context = RequestContext[Any, Any]
DEFAULT_SECONDS = 120
MOST_SECONDS = 24 * 3600
MOST_BYTES = 32 << 20
"""Of a file, or of one stream of a command, in one answer."""
PART = 4 << 20
ROOTS = ("/workspace", "/home/agent", "/tmp")
"""Where absolute paths may lead."""
TIMED_OUT = 124
REMEMBERED = 10_000
WriteMode = files_pb.WriteMode


class Ops(EnvironmentOpsService):
    """The service over the environment desk."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts
        self._commands: OrderedDict[tuple[str, str], bytes] = OrderedDict()

    async def exec(self, request: pb.ExecRequest, ctx: Context, /) -> pb.ExecResponse:
        """Run a shell command, or answer what became of it under this operation id."""
        if not request.command:
            raise InvalidArgument("a command is needed", field="command")
        seconds = request.timeout_seconds or DEFAULT_SECONDS
        if not 0 < seconds <= MOST_SECONDS:
            raise InvalidArgument(f"from 0 (the default) to {MOST_SECONDS} seconds", field="timeout_seconds")
        directory = path_of(request.working_directory or ".", "working_directory")
        operation = request.operation_id or self._parts.ambient.new_id()
        inside = await self._inside()
        self._once(operation, f"{request.command}\0{directory}")
        command = Command(("sh", "-c", request.command), cwd=directory, timeout=float(seconds), merge=False)
        result = await inside.run(command, operation)
        out, err = await inside.text(operation, "out", result.out), await inside.text(operation, "err", result.err)
        code, note = _code(result, seconds)
        redact = self._parts.redactor.text
        return pb.ExecResponse(exit_code=code, stdout=redact(out), stderr=redact(err + note))

    async def cancel_exec(self, request: pb.CancelExecRequest, ctx: Context, /) -> pb.CancelExecResponse:
        """End a command that is still running."""
        await (await self._inside()).cancel(request.operation_id)
        return pb.CancelExecResponse()

    async def read_file(self, request: files_pb.ReadFileRequest, ctx: Context, /) -> files_pb.ReadFileResponse:
        """Read part of a file, or list a folder."""
        path = path_of(request.path, "path")
        if request.offset < 0 or request.length < 0:
            raise InvalidArgument("it must not be below 0", field="offset" if request.offset < 0 else "length")
        machine = (await self._inside()).machine
        try:
            data, total = await self._read(path, request.offset, request.length)
        except FileProblem as problem:
            if problem.kind != "is_directory":
                raise
            entries = [
                files_pb.FileInfo(path=one.path, is_directory=one.kind == "directory", size=one.size)
                for one in await machine.list(path)
            ]
            return files_pb.ReadFileResponse(result=Oneof("directory", files_pb.DirectoryListing(entries=entries)))
        data = self._parts.redactor.data(data)
        content = files_pb.FileContent(data=data, total_size=total, content_hash=sha256(data).hexdigest())
        return files_pb.ReadFileResponse(result=Oneof("content", content))

    async def write_file(self, request: files_pb.WriteFileRequest, ctx: Context, /) -> files_pb.WriteFileResponse:
        """Write a file whole, or at its end."""
        path = path_of(request.path, "path")
        inside = await self._inside()
        if request.mode is WriteMode.APPEND:
            await inside.append(path, request.content, self._parts.ambient.new_id())
            return files_pb.WriteFileResponse(bytes_written=len(request.content))
        if request.mode is WriteMode.CREATE and await inside.exists(path):
            raise AlreadyExists("the file exists", field="path")
        if request.mode is WriteMode.TRUNCATE and not await inside.exists(path):
            raise NotFound("there is no such file", field="path")
        await inside.write(path, request.content, self._parts.ambient.new_id())
        return files_pb.WriteFileResponse(bytes_written=len(request.content))

    async def get_git_status(self, request: git_pb.GetGitStatusRequest, ctx: Context, /) -> git_pb.GetGitStatusResponse:
        """Read branch, commits and changed files."""
        return git_pb.GetGitStatusResponse(status=await ops_git.status(await self._inside(), self._parts.ambient))

    async def get_git_diff(self, request: git_pb.GetGitDiffRequest, ctx: Context, /) -> git_pb.GetGitDiffResponse:
        """Read the hunks by which one file differs from its base."""
        path = path_of(request.path, "path")
        if request.base_ref.startswith("-"):
            raise InvalidArgument("this is not the name of a commit", field="base_ref")
        if not 0 <= request.unified <= 10_000:
            raise InvalidArgument("from 0 (the default) to 10000 lines", field="unified")
        asked = ops_git.Asked(path, request.base_ref, request.unified or 3)
        return await ops_git.diff(await self._inside(), asked, self._parts.ambient)

    async def _inside(self) -> Inside:
        environment = current().environment
        machine = await self._parts.environments.machine(environment)
        return await Inside.entered(machine)

    async def _read(self, path: str, offset: int, length: int) -> tuple[bytes, int]:
        machine = (await self._inside()).machine
        first = await machine.read(path, offset=offset, limit=min(length or PART, PART))
        wanted = min(length or first.size, max(0, first.size - offset))
        if wanted > MOST_BYTES:
            raise ResourceExhausted(
                f"read at most {MOST_BYTES} bytes at a time: give offset and length", field="length"
            )
        data = bytearray(first.data)
        while len(data) < wanted:
            part = await machine.read(path, offset=offset + len(data), limit=min(PART, wanted - len(data)))
            if not part.data:
                break
            data += part.data
        return bytes(data[:wanted]), first.size

    def _once(self, operation: str, command: str) -> None:
        """Refuse an operation id that this process has seen with another command."""
        key = (current().environment, operation)
        given = sha256(command.encode()).digest()
        if self._commands.setdefault(key, given) != given:
            raise AlreadyExists("this operation was given with another command", field="operation_id")
        while len(self._commands) > REMEMBERED:
            self._commands.popitem(last=False)


def path_of(path: str, field: str) -> str:
    """Return a path inside the workspace, the home folder or /tmp; relative ones start at the workspace."""
    if not path or "\0" in path:
        raise InvalidArgument("a path is needed", field=field)
    plain = posixpath.normpath(posixpath.join(ROOTS[0], path))
    if not any(plain == root or plain.startswith(f"{root}/") for root in ROOTS):
        raise InvalidArgument(f"the path must lead into {', '.join(ROOTS)}", field=field)
    within = plain == ROOTS[0] or plain.startswith(f"{ROOTS[0]}/")
    return posixpath.relpath(plain, ROOTS[0]) if within else plain


def _code(result: ExecResult, seconds: int) -> tuple[int, str]:
    """Return the exit code, and what is to be said about it on standard error."""
    match result.outcome:
        case Exited(code):
            return code, ""
        case Signalled(signal):
            return 128 + signal, ""
        case TimedOut():
            return TIMED_OUT, f"\nhostler: the command was ended after {seconds} seconds\n"
        case Cancelled():
            return 130, "\nhostler: the command was cancelled\n"
        case Unknown(reason):
            return 255, f"\nhostler: how the command ended is unknown: {reason}\n"
