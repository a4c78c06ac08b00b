"""The methods of the operations service for terminals: they go on while nobody looks, and are joined by their id."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime

from protobuf import Oneof
from protobuf.wkt import Timestamp

from hostler.api.call import current
from hostler.api.inside import GROUP, Inside
from hostler.api.ops_parts import STILL, Context, OpsParts, masked, path_of, telling, variables_of
from hostler.contract.supervisor.v1 import terminal_pb as pb
from hostler.core.errors import InvalidArgument, ResourceExhausted
from hostler.core.machines import Cancelled, Command, Exited, OpenTerminal, Outcome, Pty, Signalled

SHELLS = ("/bin/bash", "/bin/zsh", "/usr/bin/fish", "/bin/sh", "/bin/dash")
"""Where shells are looked for."""
VARIABLES = {"TERM": "xterm-256color", "PS1": r"\w\$ "}
"""What a shell is told, unless who opens it says otherwise."""
COLS, ROWS = 80, 24
LARGEST = 1000
"""Characters in a row, and rows."""
MOST_TYPED = 256 << 10
MOST_NOTES, LONGEST_NOTE, LONGEST_KEY = 64, 4096, 256
LONGEST_SHELL = 4096
PIECE = 64 << 10


class TerminalOps(OpsParts):
    """Terminals, by their machine."""

    async def create_terminal(self, request: pb.CreateTerminalRequest, ctx: Context, /) -> pb.CreateTerminalResponse:
        """Open a terminal with a shell in it."""
        rows = _within(request.initial_rows or ROWS, "initial_rows")
        cols = _within(request.initial_cols or COLS, "initial_cols")
        directory = path_of(request.working_directory or ".", "working_directory")
        _noted(request)
        if "\0" in request.shell or len(request.shell) > LONGEST_SHELL:
            raise InvalidArgument("the path of a program is needed", field="shell")
        variables = {**VARIABLES, **variables_of(request.env)}
        inside = await self._inside()
        shell = request.shell or (await shells(inside))[0]
        terminal, command = self._parts.ambient.new_id(), Command((shell,), cwd=directory, env=variables)
        pty = await inside.open(terminal, command, (rows, cols), request.annotations)
        pty.close()
        return pb.CreateTerminalResponse(terminal_id=terminal)

    async def list_terminals(self, request: pb.ListTerminalsRequest, ctx: Context, /) -> pb.ListTerminalsResponse:
        """List the terminals that are open."""
        if (await self._parts.environments.get(current().environment)).phase in STILL:
            return pb.ListTerminalsResponse()
        inside = await self._inside()
        listed = pb.ListTerminalsResponse(terminals=[_info(one) for one in await inside.machine.terminals(GROUP)])
        return self._masked(listed)

    async def attach_terminal(
        self, request: pb.AttachTerminalRequest, ctx: Context, /
    ) -> AsyncIterator[pb.AttachTerminalResponse]:
        """Stream what a terminal showed last, what it shows, and how it ends."""
        pty = await self._joined(request.terminal_id)
        redact = self._parts.redactor.data
        try:
            rows, cols = pty.size
            replay = pb.TerminalReplay(data=redact(pty.history), rows=rows, cols=cols)
            yield pb.AttachTerminalResponse(content=Oneof("replay", replay))
            async with self._awake(), aclosing(masked(pty.news(), self._parts.redactor)) as news:
                async for data in news:
                    yield pb.AttachTerminalResponse(content=Oneof("data", pb.TerminalData(data=data)))
            exited = pb.TerminalExited(exit_code=code_of(pty.outcome))
            yield pb.AttachTerminalResponse(content=Oneof("exited", exited))
        finally:
            pty.close()

    async def read_terminal(
        self, request: pb.ReadTerminalRequest, ctx: Context, /
    ) -> AsyncIterator[pb.ReadTerminalResponse]:
        """Stream what a terminal shows, what it showed last before that unless told otherwise."""
        pty = await self._joined(request.terminal_id)
        try:
            if pty.history and not request.skip_history:
                yield pb.ReadTerminalResponse(data=self._parts.redactor.data(pty.history))
            async with self._awake(), aclosing(masked(pty.news(), self._parts.redactor)) as news:
                async for data in news:
                    yield pb.ReadTerminalResponse(data=data)
        finally:
            pty.close()

    async def write_terminal(self, request: pb.WriteTerminalRequest, ctx: Context, /) -> pb.WriteTerminalResponse:
        """Type into a terminal."""
        if len(request.data) > MOST_TYPED:
            raise ResourceExhausted(f"at most {MOST_TYPED} bytes at a time", field="data")
        with telling("terminal_id"):
            await (await self._there()).type(_named(request.terminal_id), request.data)
        return pb.WriteTerminalResponse()

    async def resize_terminal(self, request: pb.ResizeTerminalRequest, ctx: Context, /) -> pb.ResizeTerminalResponse:
        """Change a terminal's size."""
        rows, cols = _within(request.rows, "rows"), _within(request.cols, "cols")
        pty = await self._joined(request.terminal_id)
        try:
            await pty.resize(rows, cols)
        finally:
            pty.close()
        return pb.ResizeTerminalResponse()

    async def close_terminal(self, request: pb.CloseTerminalRequest, ctx: Context, /) -> pb.CloseTerminalResponse:
        """End a terminal and all that runs in it."""
        pty = await self._joined(request.terminal_id)
        try:
            await pty.kill()
        finally:
            pty.close()
        return pb.CloseTerminalResponse()

    async def list_terminal_profiles(
        self, request: pb.ListTerminalProfilesRequest, ctx: Context, /
    ) -> pb.ListTerminalProfilesResponse:
        """List the shells that are there: those that the caller knows of, and those that are found."""
        inside = await self._inside()
        profiles = [
            pb.TerminalProfile(profile_name=name, path=profile.path)
            for name, profile in sorted(request.config_profiles.items())
            if profile.path.startswith("/") and "\0" not in profile.path and await inside.exists(profile.path)
        ]
        if request.include_detected_profiles:
            profiles += [
                pb.TerminalProfile(profile_name=path.rpartition("/")[2], path=path, is_auto_detected=True)
                for path in await shells(inside)
            ]
        return pb.ListTerminalProfilesResponse(profiles=profiles)

    async def _joined(self, terminal: str) -> Pty:
        with telling("terminal_id"):
            return await (await self._there()).join(_named(terminal))


def code_of(outcome: Outcome | None) -> int:
    """Return the exit code of a terminal that has ended."""
    match outcome:
        case Exited(code):
            return code
        case Signalled(signal):
            return 128 + signal
        case Cancelled():
            return 137
        case _:
            return 255


async def shells(inside: Inside) -> list[str]:
    """Return the shells that are there, at least one."""
    return [path for path in SHELLS if await inside.exists(path)] or [SHELLS[-2]]


def _named(terminal: str) -> str:
    if not 1 <= len(terminal) <= 200:
        raise InvalidArgument("the id of a terminal is needed", field="terminal_id")
    return terminal


def _within(given: int, field: str) -> int:
    if not 1 <= given <= LARGEST:
        raise InvalidArgument(f"from 1 to {LARGEST}", field=field)
    return given


def _noted(request: pb.CreateTerminalRequest) -> None:
    notes = request.annotations
    if len(notes) > MOST_NOTES or any(
        not 1 <= len(key) <= LONGEST_KEY or len(value) > LONGEST_NOTE for key, value in notes.items()
    ):
        said = f"at most {MOST_NOTES} pairs, keys of 1 to {LONGEST_KEY} and values of at most {LONGEST_NOTE} characters"
        raise InvalidArgument(said, field="annotations")


def _info(one: OpenTerminal) -> pb.TerminalInfo:
    return pb.TerminalInfo(
        terminal_id=one.id,
        shell=one.program,
        working_directory=one.cwd,
        cols=one.cols,
        rows=one.rows,
        created_at=Timestamp.from_datetime(datetime.fromtimestamp(one.created, UTC)),
        annotations=dict(one.notes),
    )
