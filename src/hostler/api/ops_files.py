"""The methods of the operations service that read, write, find and watch files."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from hashlib import sha256
from typing import Literal

from protobuf import Oneof

from hostler.api.ops_parts import Context, OpsParts, path_of
from hostler.contract.supervisor.v1 import files_pb as pb
from hostler.core.errors import AlreadyExists, InvalidArgument, NotFound, ResourceExhausted
from hostler.core.machines import Changes, Entry, FileProblem, Machine, WriteHow
from hostler.core.redaction import Redactor

MOST_BYTES = 32 << 20
"""Of a file in one answer."""
PART = 4 << 20
MOST_WRITTEN = 64 << 20
LISTED = 10_000
FOUND = 1000
DEEPEST = 64
LONGEST_PATTERN = 1000
MOST_PATTERNS = 100
HOW: dict[pb.WriteMode, WriteHow] = {
    pb.WriteMode.UNSPECIFIED: "replace",
    pb.WriteMode.CREATE: "create",
    pb.WriteMode.TRUNCATE: "truncate",
    pb.WriteMode.CREATE_OR_TRUNCATE: "replace",
    pb.WriteMode.APPEND: "append",
}
KINDS: dict[pb.FindRequest.FileType, Literal["file", "directory", "any"]] = {
    pb.FindRequest.FileType.UNSPECIFIED: "any",
    pb.FindRequest.FileType.FILE: "file",
    pb.FindRequest.FileType.DIRECTORY: "directory",
    pb.FindRequest.FileType.ANY: "any",
}
CHANGES = {
    "created": pb.FileChangeType.CREATED,
    "updated": pb.FileChangeType.UPDATED,
    "deleted": pb.FileChangeType.DELETED,
}


class FileOps(OpsParts):
    """Files, by their machine."""

    async def read_file(self, request: pb.ReadFileRequest, ctx: Context, /) -> pb.ReadFileResponse:
        """Read part of a file, or list a folder."""
        path = path_of(request.path, "path")
        if request.offset < 0 or request.length < 0:
            raise InvalidArgument("it must not be below 0", field="offset" if request.offset < 0 else "length")
        machine = (await self._inside()).machine
        try:
            data, total = await _read(machine, path, request.offset, request.length)
        except FileProblem as problem:
            if problem.kind != "is_directory":
                raise
            entries = [self._info(one) for one in await machine.list(path, limit=LISTED)]
            return pb.ReadFileResponse(result=Oneof("directory", pb.DirectoryListing(entries=entries)))
        data = self._parts.redactor.data(data)
        content = pb.FileContent(data=data, total_size=total, content_hash=sha256(data).hexdigest())
        return pb.ReadFileResponse(result=Oneof("content", content))

    async def write_file(self, request: pb.WriteFileRequest, ctx: Context, /) -> pb.WriteFileResponse:
        """Write a file as its mode says."""
        path = path_of(request.path, "path")
        if len(request.content) > MOST_WRITTEN:
            raise ResourceExhausted(f"at most {MOST_WRITTEN} bytes at a time; append the rest", field="content")
        inside = await self._inside()
        try:
            await inside.write(path, request.content, self._parts.ambient.new_id(), HOW[request.mode])
        except FileProblem as problem:
            if problem.kind == "exists":
                raise AlreadyExists("the file exists", field="path") from None
            if problem.kind == "not_found":
                raise NotFound("there is no such file", field="path") from None
            raise
        return pb.WriteFileResponse(bytes_written=len(request.content))

    async def find(self, request: pb.FindRequest, ctx: Context, /) -> pb.FindResponse:
        """Find files by name."""
        path = path_of(request.path or ".", "path")
        if "\0" in request.pattern or len(request.pattern) > LONGEST_PATTERN:
            raise InvalidArgument(f"at most {LONGEST_PATTERN} characters without a NUL", field="pattern")
        if not 0 <= request.max_depth <= DEEPEST:
            raise InvalidArgument(f"from 0 (no limit) to {DEEPEST}", field="max_depth")
        machine = (await self._inside()).machine
        found = await machine.find(
            path,
            request.pattern,
            kind=KINDS[request.type],
            depth=request.max_depth or DEEPEST,
            fuzzy=request.fuzzy,
            limit=FOUND,
        )
        return pb.FindResponse(files=[self._info(one) for one in found.entries], truncated=found.cut)

    async def watch(self, request: pb.WatchRequest, ctx: Context, /) -> AsyncIterator[pb.WatchResponse]:
        """Stream changes of files and of the git state; all kinds when none is named."""
        if len(request.file_exclude_patterns) > MOST_PATTERNS or any(
            "\0" in one or len(one) > LONGEST_PATTERN for one in request.file_exclude_patterns
        ):
            raise InvalidArgument(f"at most {MOST_PATTERNS} patterns", field="file_exclude_patterns")
        wanted = set(request.event_types) - {pb.WatchEventType.UNSPECIFIED} or set(pb.WatchEventType)
        machine = (await self._inside()).machine
        async with aclosing(machine.watch(request.file_exclude_patterns)) as watching:
            async for changes in watching:
                for answer in told(changes, wanted, self._parts.redactor):
                    yield answer

    def _info(self, entry: Entry) -> pb.FileInfo:
        """Return what is told of a path in a list."""
        path = self._parts.redactor.text(entry.path)
        return pb.FileInfo(path=path, is_directory=entry.kind == "directory", size=entry.size)


def told(changes: Changes, wanted: set[pb.WatchEventType], redactor: Redactor) -> list[pb.WatchResponse]:
    """Return what tells of changes."""
    answers: list[pb.WatchResponse] = []
    if changes.lost:
        lost = pb.WatchOverflow(reason="more changes than can be told; look again")
        answers.append(pb.WatchResponse(event=Oneof("overflow", lost)))
    if changes.files and pb.WatchEventType.FILE_CHANGE in wanted:
        files = [
            pb.FileChangeEvent(path=redactor.text(one.path), type=CHANGES[one.kind], is_directory=one.folder)
            for one in changes.files
        ]
        answers.append(pb.WatchResponse(event=Oneof("file_changes", pb.FileChangeEvents(events=files))))
    if changes.git and pb.WatchEventType.GIT_STATUS in wanted:
        answers.append(pb.WatchResponse(event=Oneof("git_status_changed", pb.GitStatusChanged())))
    return answers


async def _read(machine: Machine, path: str, offset: int, length: int) -> tuple[bytes, int]:
    first = await machine.read(path, offset=offset, limit=min(length or PART, PART))
    wanted = min(length or first.size, max(0, first.size - offset))
    if wanted > MOST_BYTES:
        raise ResourceExhausted(f"read at most {MOST_BYTES} bytes at a time: give offset and length", field="length")
    data = bytearray(first.data)
    while len(data) < wanted:
        part = await machine.read(path, offset=offset + len(data), limit=min(PART, wanted - len(data)))
        if not part.data:
            break
        data += part.data
    return bytes(data[:wanted]), first.size
