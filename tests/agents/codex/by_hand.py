"""The real `codex app-server` driven by hand: no server of ours, no sandbox, a scripted endpoint for a model."""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from codex_cli_bin import bundled_package_dir

from hostler.agents.codex.driver import CodexDriver
from hostler.core.agent_events import AgentOpened, AgentTurnBegan
from hostler.core.agents import Heard, Input, Known, Launch, Message, Reader
from hostler.core.events import Event

Condition = Callable[[Event], bool]
LIMIT = 64 << 20


def text(id_: str, *said: str) -> Input:
    return Input(id_, {"id": id_, "inputs": [{"text": {"content": one}} for one in said]})


@dataclass
class ByHand:
    """One process: `lines` are what it wrote, `events` what the driver made of them."""

    launch: Launch
    config: tuple[str, ...] = ()
    lines: list[bytes] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    known: Known = field(default_factory=Known)
    _process: asyncio.subprocess.Process | None = None
    _reading: asyncio.Task[None] | None = None
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def start(self) -> None:
        command = CodexDriver().program(self.launch)
        self._process = await asyncio.create_subprocess_exec(
            *command.argv,
            *(word for one in self.config for word in ("-c", one)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=LIMIT,
            cwd=self.launch.workspace,
            env={**command.env, "PATH": os.defpath, "HOME": self.launch.home, **programs(Path(self.launch.home))},
        )
        self._reading = asyncio.create_task(self._read(CodexDriver().reader(self.launch, self.known)))
        for message in CodexDriver().greeting(self.launch):
            await self.tell(message)
        opened = await self.until(lambda event: isinstance(event, AgentOpened))
        self.known = replace(self.known, thread=opened.thread)

    async def _read(self, reader: Reader) -> None:
        assert self._process
        assert self._process.stdout
        while line := await self._process.stdout.readline():
            heard = reader.feed(line.rstrip(b"\n"))
            for reply in heard.replies:
                await self.tell(reply)
            async with self._changed:
                self.lines.append(line)
                self.heard.append(heard)
                self.events += heard.events
                self._changed.notify_all()

    async def tell(self, message: Message) -> None:
        assert self._process
        assert self._process.stdin
        self._process.stdin.write(message.data)
        await self._process.stdin.drain()

    async def until(self, condition: Condition, since: int = 0) -> Any:
        """Return the first event after the first `since` that fulfils the condition."""

        def found() -> Event | None:
            return next((event for event in self.events[since:] if condition(event)), None)

        async with self._changed, asyncio.timeout(60):
            await self._changed.wait_for(lambda: found() is not None)
        return found()

    async def of(self, kind: type[Any], since: int = 0) -> Any:
        return await self.until(lambda event: isinstance(event, kind), since)

    async def answered(self, id_: str) -> dict[str, Any]:
        """Return Codex's answer to a request of ours."""

        def found() -> dict[str, Any] | None:
            bodies = (json.loads(line) for line in self.lines)
            return next((body for body in bodies if body.get("id") == id_ and "method" not in body), None)

        async with self._changed, asyncio.timeout(60):
            await self._changed.wait_for(lambda: found() is not None)
        return found() or {}

    async def give(self, input_: Input) -> int:
        """Deliver an input; return how many events there were before it."""
        since = len(self.events)
        await self.tell(CodexDriver().deliver(self.known, self.launch.process, input_))
        began = await self.of(AgentTurnBegan, since)
        self.known = replace(self.known, turn=began.ref)
        return since

    async def end(self, *, kill: bool = False) -> None:
        assert self._process
        assert self._process.stdin
        if kill:
            self._process.kill()
        else:
            self._process.stdin.close()
        await self._process.wait()
        if self._reading:
            await self._reading


def programs(home: Path) -> dict[str, str]:
    """Put the program where an environment would have it; return the variable that says so."""
    folder = home / "programs"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "codex").exists():
        (folder / "codex").symlink_to(bundled_package_dir())
    return {"HOSTLER_PROGRAMS": str(folder)}


@asynccontextmanager
async def codex(folder: Path, url: str, model: str = "gpt-5.5", **launch: Any) -> AsyncIterator[ByHand]:
    """Run Codex over an empty workspace in `folder`."""
    for name in ("home", "workspace"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    given = {"system_prompt": "", "effort": "", **launch}
    hand = ByHand(
        Launch("execution", "agent-1", str(folder / "workspace"), str(folder / "home"), url, "token", model, **given)
    )
    await hand.start()
    try:
        yield hand
    finally:
        await hand.end(kill=True)
        shutil.rmtree(folder / "home", ignore_errors=True)
