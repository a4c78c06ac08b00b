"""A terminal of an environment over a WebSocket: a shell that goes on while nobody looks and is joined by its id.

Binary frames are bytes of the terminal, both ways. Text frames are JSON: the page sends `resize` {rows, cols} and
`ping`; it is sent `ready` {rows, cols} (what was shown last follows at once), `pong`, `full` (what was typed is not
read and was left out) and `exited` {code}. The page chooses the id, so it comes back to its shell after a reload, and
several pages may show the same one. `?open=1` opens the shell when there is none of this id; without it the answer is
then the close code GONE.
"""

import asyncio
import contextlib
import json
import re
from collections.abc import Coroutine, Mapping
from contextlib import aclosing
from typing import Any, cast

from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from hostler.api.call import Caller, current
from hostler.api.errors import wire_error
from hostler.api.inside import Inside
from hostler.api.ops_parts import masked, running, touch
from hostler.api.ops_terminals import COLS, LARGEST, MOST_TYPED, ROWS, VARIABLES, code_of, shells
from hostler.core.errors import HostlerError, Unauthenticated
from hostler.core.machines import Command, FileProblem, Pty
from hostler.web.site import Site

ID = re.compile(r"[0-9A-Za-z-]{8,64}")
GONE, SIGNED_OUT, STILL, TROUBLE = 4404, 4401, 4409, 4500
"""Close codes: there is no such terminal any more, the sign-in ended, the environment does not run, something else."""
LONGEST = 120
"""Bytes of the reason in a close frame that the protocol has room for."""


class Terminals:
    """The handler."""

    def __init__(self, site: Site) -> None:
        self._parts = site.parts
        self._credentials = site.credentials

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        return [WebSocketRoute("/environments/{environment}/terminals/{terminal}/socket", self.socket)]

    async def socket(self, socket: WebSocket) -> None:
        """Serve one page that looks at a terminal; who may not change the environment is not let in."""
        environment = cast("str", socket.path_params["environment"]).lower()
        try:
            caller = await self._credentials.insider(socket, environment, change=True)
        except HostlerError as refused:
            current().code = wire_error(refused, current().request_id).code.value
            await socket.close()  # before it was accepted: 403
            return
        await socket.accept()
        code, reason = TROUBLE, ""
        try:
            with contextlib.suppress(WebSocketDisconnect):  # the page went while it was told something
                await self._joined(socket, environment, caller)
            return
        except HostlerError as problem:
            code, reason = _closing(problem)
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # it may have gone by itself
            await socket.close(code, reason.encode()[:LONGEST].decode(errors="ignore"))

    async def _joined(self, socket: WebSocket, environment: str, caller: Caller) -> None:
        await running(self._parts, environment)
        terminal = cast("str", socket.path_params["terminal"])
        if not ID.fullmatch(terminal):
            raise FileProblem("not_found", "this is not the id of a terminal")
        inside = await Inside.entered(await self._parts.environments.machine(environment))
        pty = await self._terminal(inside, terminal, socket.query_params)
        try:
            rows, cols = pty.size
            await socket.send_json({"type": "ready", "rows": rows, "cols": cols})
            if pty.history:
                await socket.send_bytes(self._parts.redactor.data(pty.history))
            await _first(
                self._shown(socket, pty), _typed(socket, pty), self._over(caller), touch(self._parts, environment)
            )
        finally:
            pty.close()

    async def _terminal(self, inside: Inside, terminal: str, query: Mapping[str, str]) -> Pty:
        """Return the terminal, joined or opened."""
        try:
            return await inside.join(terminal)
        except FileProblem as problem:
            if problem.kind != "not_found" or query.get("open") != "1":
                raise
        size = _size(query.get("rows"), ROWS), _size(query.get("cols"), COLS)
        command = Command(((await shells(inside))[0],), cwd=".", env=VARIABLES)
        return await inside.open(terminal, command, size, {"opened": "page"})

    async def _shown(self, socket: WebSocket, pty: Pty) -> None:
        """Send what the terminal shows, and at last how it ended."""
        async with aclosing(masked(pty.news(), self._parts.redactor)) as news:
            async for data in news:
                await socket.send_bytes(data)
        await socket.send_json({"type": "exited", "code": code_of(pty.outcome)})
        await socket.close(1000)

    async def _over(self, caller: Caller) -> None:
        """End when what let the caller in was taken back, or has expired."""
        ended = asyncio.Event()
        caller.validity.tell(ended.set)
        if caller.validity.over:
            ended.set()
        left = caller.expires_at - self._parts.ambient.now().timestamp() if caller.expires_at else None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(left):
                await ended.wait()
        raise Unauthenticated("you are signed out")


async def _typed(socket: WebSocket, pty: Pty) -> None:
    """Do what the page asks for until it leaves."""
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if data := message.get("bytes"):
                await _write(socket, pty, data[:MOST_TYPED])
            elif text := message.get("text"):
                await _asked(socket, pty, text)


async def _write(socket: WebSocket, pty: Pty, data: bytes) -> None:
    """Type; a program that does not read is no reason to leave."""
    try:
        await pty.write(data)
    except FileProblem as problem:
        if problem.kind != "full":
            raise
        await socket.send_json({"type": "full"})


async def _asked(socket: WebSocket, pty: Pty, text: str) -> None:
    """Do what a text frame says; one that cannot be read is nothing."""
    try:
        asked: object = json.loads(text)
    except (ValueError, RecursionError):
        return
    match cast("dict[str, object] | None", asked):
        case {"type": "resize", **size}:
            await pty.resize(_size(size.get("rows"), ROWS), _size(size.get("cols"), COLS))
        case {"type": "ping"}:
            await socket.send_json({"type": "pong"})
        case _:
            pass


def _size(given: Any, otherwise: int) -> int:
    """Return a number of rows or columns within bounds."""
    text = str(given)
    return min(LARGEST, max(1, int(text))) if text.isascii() and text.isdigit() and len(text) < 5 else otherwise


async def _first(*jobs: Coroutine[Any, Any, None]) -> None:
    """Run jobs until the first of them ends, and raise what it raised."""
    tasks = [asyncio.create_task(job) for job in jobs]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _closing(problem: HostlerError) -> tuple[int, str]:
    match problem:
        case Unauthenticated():
            return SIGNED_OUT, problem.message
        case FileProblem(kind="not_found"):
            return GONE, "this terminal has ended"
        case _:
            told = wire_error(problem, current().request_id)
            return STILL if told.code.value == "failed_precondition" else TROUBLE, told.message
