"""Commands with their output as it comes and their input while they run, below /api/hostler/v1/environments/ID.

The contract's Exec answers whole and takes no input; `hostler env exec` needs both. The same operation ids: a reader
whose connection broke comes back with the same id, the offsets up to which it has everything, and the incarnation that
it was told first, so that a command is not run again in an environment that was started anew.
"""

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from hostler.api.auth import Credentials
from hostler.api.bodies import object_in, whole
from hostler.api.call import current
from hostler.api.errors import body_of, wire_error
from hostler.api.inside import Inside
from hostler.api.ops import command_of, ending, operation_of, run, seconds_of
from hostler.api.ops_parts import Masking, path_of, running, touch, variables_of
from hostler.api.parts import ApiParts
from hostler.core.errors import FailedPrecondition, HostlerError, InvalidArgument
from hostler.core.machines import Command, ExecResult, Output, Stream
from hostler.core.redaction import Redactor

PATH = "/api/hostler/v1/environments/{environment}/exec"
MOST_BODY = 2 << 20
"""Bytes of a request, or of one part of a command's input."""
AHEAD = 32
"""Pieces of output that may wait for a slow reader."""
QUIET = 15.0
"""Seconds after which an empty line shows that the stream lives."""
Line = dict[str, Any]


class Streams:
    """The two handlers."""

    def __init__(self, parts: ApiParts, credentials: Credentials) -> None:
        self._parts = parts
        self._credentials = credentials

    def routes(self) -> list[Route]:
        """Return the routes, relative to the server's root."""
        return [
            Route(PATH, self.exec, methods=["POST"]),
            Route(f"{PATH}/{{operation}}/input", self.input, methods=["POST"]),
        ]

    async def exec(self, request: Request) -> Response:
        """Run, join or replay a command; each line of the answer is a piece of output, the last one how it ended."""
        environment = await self._allowed(request)
        asked = object_in(await whole(request, MOST_BODY))
        operation = operation_of(_text(asked, "operationId", self._parts.ambient.new_id()))
        command: Command = command_in(asked)
        known: dict[Stream, int] = {"out": _number(asked, "outOffset"), "err": _number(asked, "errOffset")}
        begun = _text(asked, "incarnation", "")
        if begun:
            await running(self._parts, environment)
        inside = await Inside.entered(await self._parts.environments.machine(environment))
        if begun and begun != inside.incarnation:
            raise FailedPrecondition("the environment was started anew since: how the command ended is not known")
        told = _Running(inside, command, operation, known, self._parts.redactor)
        return StreamingResponse(self._lines(told, environment), media_type="application/x-ndjson")

    async def input(self, request: Request) -> Response:
        """Give a running command a part of its input; tells how many bytes of the whole were taken so far."""
        environment = await self._allowed(request)
        offset = request.query_params.get("offset", "0")
        if not (offset.isascii() and offset.isdigit() and len(offset) < 16):
            raise InvalidArgument("the place of the first byte is needed", field="offset")
        data = await whole(request, MOST_BODY)
        await running(self._parts, environment)
        inside = await Inside.entered(await self._parts.environments.machine(environment))
        last = request.query_params.get("last", "") in ("1", "true")
        operation = operation_of(cast("str", request.path_params["operation"]))
        taken = await inside.feed(operation, int(offset), data, last=last)
        return JSONResponse({"ended": True} if taken is None else {"taken": taken})

    async def _allowed(self, request: Request) -> str:
        """Return the environment; its own token and API tokens that may change things are let in."""
        environment = cast("str", request.path_params["environment"]).lower()
        await self._credentials.insider(request, environment, change=True)
        return environment

    async def _lines(self, told: "_Running", environment: str) -> AsyncGenerator[bytes]:
        touching = asyncio.create_task(touch(self._parts, environment))
        task = asyncio.create_task(told.run(current().request_id))
        yield json.dumps({"incarnation": told.incarnation}).encode() + b"\n"
        try:
            while True:
                line = await told.next()
                yield json.dumps(line).encode() + b"\n"
                if "exitCode" in line or "error" in line:
                    return
        finally:
            for one in (touching, task):
                one.cancel()


class _Running:
    """One command whose output is being told; its reader takes lines from a short queue."""

    def __init__(
        self, inside: Inside, command: Command, operation: str, known: Mapping[Stream, int], redactor: Redactor
    ) -> None:
        self._inside = inside
        self._command = command
        self._operation = operation
        self._known = known
        self._queue: asyncio.Queue[Line] = asyncio.Queue(AHEAD)
        self._masking: dict[Stream, Masking] = {"out": Masking(redactor), "err": Masking(redactor)}
        self._read = dict.fromkeys(known, min(known.values()))

    @property
    def incarnation(self) -> str:
        """Return the life of the environment in which the command runs."""
        return self._inside.incarnation

    async def next(self) -> Line:
        """Return the next line; an empty one when nothing is said for a while."""
        try:
            async with asyncio.timeout(QUIET):
                return await self._queue.get()
        except TimeoutError:
            return {}

    async def run(self, request_id: str) -> None:
        """Run to the end; whatever goes wrong is the last line."""
        try:
            result = await run(
                self._inside, self._command, self._operation, on_output=self._show, offset=min(self._known.values())
            )
        except HostlerError as error:
            await self._queue.put({"error": json.loads(body_of(wire_error(error, request_id)))})
            return
        for stream, masking in self._masking.items():
            if rest := masking.flush():
                await self._tell(stream, rest)
        code, note = ending(result, round(self._command.timeout))
        await self._queue.put({"exitCode": code, "note": note.strip() or kept(result)})

    async def _show(self, stream: Stream, data: bytes) -> None:
        old = max(0, self._known[stream] - self._read[stream])
        self._read[stream] += len(data)
        data = data[old:]
        if shown := self._masking[stream].feed(data):
            await self._tell(stream, shown)

    async def _tell(self, stream: Stream, shown: bytes) -> None:
        known = self._read[stream] - len(self._masking[stream].held)
        await self._queue.put({"stream": stream, "next": known, "data": base64.b64encode(shown).decode()})


def kept(result: ExecResult) -> str:
    """Return what is to be said of output that the environment did not keep."""

    def lost(output: Output) -> int:
        return max(0, output.total - output.kept)

    cut = lost(result.out) + lost(result.err)
    return f"hostler: {cut} bytes of output were not kept" if cut else ""


def command_in(asked: Mapping[str, Any]) -> Command:
    """Return the command that a request describes."""
    return Command(
        ("sh", "-c", command_of(_text(asked, "command", ""))),
        cwd=path_of(_text(asked, "workingDirectory", "") or ".", "working_directory"),
        env=variables_of(_table(asked, "env")),
        timeout=float(seconds_of(_number(asked, "timeoutSeconds"))),
        merge=False,
        more_input=asked.get("input") is True,
        exact=True,
    )


def _text(asked: Mapping[str, Any], name: str, otherwise: str) -> str:
    value = asked.get(name) or otherwise
    if not isinstance(value, str) or not _encodable(value):
        raise InvalidArgument("a text is needed", field=name)
    return value


def _number(asked: Mapping[str, Any], name: str) -> int:
    value = asked.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 53:
        raise InvalidArgument("a number from 0 is needed", field=name)
    return value


def _table(asked: Mapping[str, Any], name: str) -> dict[str, str]:
    value: object = asked.get(name) or {}
    if not isinstance(value, dict):
        raise InvalidArgument("an object of texts is needed", field=name)
    pairs = cast("dict[str, object]", value)
    if not all(isinstance(one, str) and _encodable(one) for one in pairs.values()):
        raise InvalidArgument("an object of texts is needed", field=name)
    return cast("dict[str, str]", pairs)


def _encodable(text: str) -> bool:
    """Return whether a text can be sent on: half a character cannot."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)
