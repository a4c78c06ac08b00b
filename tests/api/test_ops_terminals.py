"""Terminals of EnvironmentOpsService, over Connect's streams as plain JSON lines."""

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.api.conftest import SECRET
from tests.api.ops_kit import Ops, coded, ops

__all__ = ["ops"]


class Looking:
    """A stream of a terminal, read until something was shown."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines
        self.shown = b""
        self.first: dict[str, Any] = {}
        self.exited: dict[str, Any] | None = None

    async def until(self, mark: bytes) -> bytes:
        async with asyncio.timeout(20):
            while mark not in self.shown and await self._next():
                pass
        assert mark in self.shown, self.shown
        return self.shown

    async def end(self) -> int:
        async with asyncio.timeout(20):
            while await self._next():
                pass
        assert self.exited is not None
        return self.exited.get("exitCode", 0)

    async def _next(self) -> bool:
        line = await anext(self._lines, None)
        if line is None:
            return False
        body = json.loads(line)
        self.first = self.first or body
        self.exited = body.get("exited", self.exited)
        piece = body.get("data", body.get("replay", {}))
        self.shown += base64.b64decode(piece if isinstance(piece, str) else piece.get("data", ""))
        return True


@asynccontextmanager
async def looking(ops: Ops, method: str, **body: Any) -> AsyncGenerator[Looking]:
    async with ops.stream(method, **body) as lines:
        yield Looking(lines)


async def opened(ops: Ops, **more: Any) -> str:
    return (await ops.call("CreateTerminal", shell="/bin/sh", **more))["terminalId"]


async def typed(ops: Ops, terminal: str, text: str) -> None:
    await ops.call("WriteTerminal", terminalId=terminal, data=coded(text.encode()))


async def test_a_terminal_is_typed_into_read_resized_and_ends_with_a_code(ops: Ops) -> None:
    terminal = await opened(ops, initialCols=90, initialRows=30, env={"COLOUR": "blue"}, workingDirectory="/tmp")
    async with looking(ops, "AttachTerminal", terminalId=terminal) as seen:
        await typed(ops, terminal, "stty size; echo $COLOUR; pwd; echo fir''st\n")
        shown = await seen.until(b"first")
        assert b"30 90" in shown
        assert b"blue" in shown
        assert seen.first["replay"]["cols"] == 90
        await ops.call("ResizeTerminal", terminalId=terminal, cols=120, rows=40)
        await typed(ops, terminal, "stty size; exit 7\n")
        await seen.until(b"40 120")
        assert await seen.end() == 7
    assert (await ops.call("ListTerminals")).get("terminals", []) == []


async def test_one_who_comes_later_sees_what_was_shown_and_two_may_look(ops: Ops) -> None:
    terminal = await opened(ops)
    async with looking(ops, "AttachTerminal", terminalId=terminal) as one:
        await typed(ops, terminal, "echo fir''st\n")
        await one.until(b"first")
    async with looking(ops, "AttachTerminal", terminalId=terminal) as again:
        async with looking(ops, "ReadTerminal", terminalId=terminal, skipHistory=True) as other:
            await again.until(b"first")
            assert "replay" in again.first
            await typed(ops, terminal, "echo sec''ond\n")
            assert b"first" not in await other.until(b"second")
            await again.until(b"second")
            await ops.call("CloseTerminal", terminalId=terminal)
            assert await again.end() == 137


async def test_terminals_are_listed_with_what_was_said_of_them(ops: Ops) -> None:
    first = await opened(ops, annotations={"of": "mine"})
    second = (await ops.call("CreateTerminal"))["terminalId"]
    listed = (await ops.call("ListTerminals"))["terminals"]
    assert [one["terminalId"] for one in listed] == [first, second]
    assert (listed[0]["shell"], listed[0]["annotations"], listed[0]["cols"]) == ("/bin/sh", {"of": "mine"}, 80)
    assert listed[0]["workingDirectory"]
    assert listed[0]["createdAt"]
    for one in listed:
        await ops.call("CloseTerminal", terminalId=one["terminalId"])


async def test_what_a_terminal_cannot_do_is_refused_by_name(ops: Ops) -> None:
    for method, body, code, field in (
        ("CreateTerminal", {"initialCols": 1001}, "invalid_argument", "initial_cols"),
        ("CreateTerminal", {"workingDirectory": "/etc"}, "invalid_argument", "working_directory"),
        ("CreateTerminal", {"env": {"A=B": "c"}}, "invalid_argument", "env"),
        ("CreateTerminal", {"annotations": {"": "c"}}, "invalid_argument", "annotations"),
        ("ResizeTerminal", {"terminalId": "none", "rows": 5}, "invalid_argument", "cols"),
        ("ResizeTerminal", {"terminalId": "none", "rows": 5, "cols": 5}, "not_found", "terminal_id"),
        ("WriteTerminal", {"terminalId": "none", "data": ""}, "not_found", "terminal_id"),
        ("WriteTerminal", {"terminalId": "x", "data": coded(b"x" * 300_000)}, "resource_exhausted", "data"),
        ("CloseTerminal", {"terminalId": ""}, "invalid_argument", "terminal_id"),
        ("AttachTerminal", {"terminalId": "none"}, "not_found", "terminal_id"),
        ("ReadTerminal", {"terminalId": "none"}, "not_found", "terminal_id"),
    ):
        refused = await ops.refused(method, **body)
        assert (refused["code"], refused["message"].split(":")[0]) == (code, field), method


async def test_what_a_program_does_not_read_is_bounded(ops: Ops) -> None:
    terminal = await opened(ops)
    async with looking(ops, "AttachTerminal", terminalId=terminal) as seen:
        await typed(ops, terminal, "stty raw -echo; echo rea''dy; sleep 1000\n")
        await seen.until(b"ready")
        part = coded(b"x" * 256 * 1024)
        refused: dict[str, Any] = {}
        for _ in range(6):
            answer = await ops.api.post(
                ops.path("WriteTerminal"), {"terminalId": terminal, "data": part}, token=ops.token
            )
            refused = {} if answer.status_code == 200 else answer.json()
        assert refused["code"] == "resource_exhausted"
        await ops.call("CloseTerminal", terminalId=terminal)


async def test_the_shells_that_are_there_are_named(ops: Ops) -> None:
    known = {"mine": {"path": "/bin/sh"}, "none": {"path": "/no/such"}, "odd": {"path": "sh"}}
    listed = await ops.call("ListTerminalProfiles", includeDetectedProfiles=True, configProfiles=known)
    profiles = {one["profileName"]: one for one in listed["profiles"]}
    assert profiles["mine"] == {"profileName": "mine", "path": "/bin/sh"}
    assert profiles["sh"]["isAutoDetected"]
    assert not {"none", "odd"} & profiles.keys()


async def test_a_terminal_shows_no_secret_though_it_comes_in_pieces(ops: Ops) -> None:
    terminal = await opened(ops)
    half = len(SECRET) // 2
    async with looking(ops, "AttachTerminal", terminalId=terminal) as seen:
        await typed(ops, terminal, f"printf %s {SECRET[:half]}; printf '%s\\n' {SECRET[half:]}; echo do''ne\n")
        shown = await seen.until(b"done")
    assert SECRET.encode() not in shown
    assert b"[redacted]" in shown
    async with looking(ops, "AttachTerminal", terminalId=terminal) as again:
        assert SECRET.encode() not in await again.until(b"done")
    await ops.call("CloseTerminal", terminalId=terminal)
