"""A desk for the API's tests: it decides as the real one does, on a log in memory, and no engine runs behind it.

What an engine would do a test does by hand: `append` what happened, `say` what is being said.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime

from hostler.core import events as ev
from hostler.core.ambient import Ambient
from hostler.core.commands import Command, decide
from hostler.core.desk import Liveness, NewExecution, Seen
from hostler.core.errors import AlreadyExists, NotFound
from hostler.core.events import Event, Recorded
from hostler.core.plan import Session
from hostler.core.ports import ApiToken, ExecutionQuery, OpenBlock, Row
from hostler.core.prompts import Prompt, PromptQuery
from hostler.core.state import State, fold
from hostler.projections.row import project
from hostler.testing.memory import MemoryExecutions

RUNNER = "22222222-2222-4222-8222-222222222222"
SESSION = Session("33333333-3333-4333-8333-333333333333", 0.0)


class AskedExecutions(MemoryExecutions):
    """Executions in memory that keep what they were asked for."""

    def __init__(self) -> None:
        super().__init__(project)
        self.queries: list[ExecutionQuery] = []

    async def find(self, query: ExecutionQuery, before: str = "", limit: int = 25) -> tuple[Row, ...]:
        """Return rows, newest first, and remember the query."""
        self.queries.append(query)
        return await super().find(query, before, limit)


class FakeDesk:
    """Starts and commands executions in memory; its environments are ids and nothing more."""

    def __init__(self, executions: AskedExecutions, ambient: Ambient) -> None:
        self.executions = executions
        self.ambient = ambient
        self.started: list[NewExecution] = []
        self.commands: list[Command] = []
        self.live: Liveness = "live"
        self.fault: Exception | None = None
        """Raised by the next call."""
        self.hold: asyncio.Event | None = None
        """`start` waits for it when it is set."""
        self._open: dict[str, OpenBlock] = {}
        self._listeners: set[asyncio.Event] = set()

    async def start(self, new: NewExecution) -> str:
        """Write the execution; nothing prepares its environment."""
        self._fail()
        self.started.append(new)
        if self.hold:
            await self.hold.wait()
        owned = not isinstance(new.environment, str)
        started = ev.Started(
            request=new.request,
            agent=new.agent,
            environment_id=self.ambient.new_id() if owned else str(new.environment),
            owns_environment=owned,
            creator_id=new.creator.id,
            creator_kind=new.creator.kind,
            session_id=new.session_id or self.ambient.new_id(),
            name=new.name,
        )
        known, _ = await self.executions.create(self.ambient.new_id(), RUNNER, [started], self.ambient.now(), new.once)
        return known

    async def command(self, execution: str, command: Command) -> State:
        """Decide and append."""
        self._fail()
        self.commands.append(command)
        await self.seen(execution)
        log = await self.executions.read(execution)
        state = fold(log)
        return await self.append(execution, *decide(state, command, SESSION))

    async def append(self, execution: str, *events: Event) -> State:
        """Let something happen."""
        row = await self.executions.row(execution)
        if row is not None and events:
            await self.executions.append(execution, row.position, self.ambient.now(), decisions=events)
        return fold(await self.executions.read(execution))

    async def seen(self, execution: str) -> Seen:
        """Return an execution."""
        self._fail()
        row = await self.executions.row(execution)
        if row is None or row.deleted_at is not None:
            raise NotFound("there is no such agent execution", field="agent_execution_id")
        return Seen(row, self.live)

    def liveness(self, row: Row) -> Liveness:
        """Return what the test says about the owner."""
        return self.live

    async def log(self, execution: str, after: int = 0) -> tuple[Recorded, ...]:
        """Return the log behind a seq."""
        await self.seen(execution)
        return await self.executions.read(execution, after)

    def open_blocks(self, execution: str) -> tuple[OpenBlock, ...]:
        """Return what is being said."""
        return tuple(self._open.values())

    async def pieces(self, execution: str) -> AsyncIterator[None]:
        """Yield whenever something was said."""
        mine = asyncio.Event()
        self._listeners.add(mine)
        try:
            while True:
                await mine.wait()
                mine.clear()
                yield
        finally:
            self._listeners.discard(mine)

    def say(self, block: OpenBlock) -> OpenBlock:
        """Show a block of text as it is now."""
        self._open[block.block] = block
        for listener in self._listeners:
            listener.set()
        return block

    def say_more(self, block: OpenBlock, text: str) -> OpenBlock:
        """Show a block with more text."""
        return self.say(replace(block, text=block.text + text, sequence=block.sequence + 1))

    def hush(self) -> None:
        """Forget what is being said."""
        self._open.clear()

    def _fail(self) -> None:
        if (fault := self.fault) is not None:
            self.fault = None
            raise fault


class MemoryTokens:
    """API tokens in memory."""

    def __init__(self) -> None:
        self.kept: list[ApiToken] = []

    async def add(self, token: ApiToken) -> None:
        """Keep a token."""
        self.kept.append(token)

    async def by_sha256(self, sha256: str) -> ApiToken | None:
        """Return the token with this hash."""
        return next((token for token in self.kept if token.sha256 == sha256), None)

    async def find(self, of: str = "") -> tuple[ApiToken, ...]:
        """Return all tokens, or those of one principal, newest first."""
        return tuple(one for one in reversed(self.kept) if not of or one.principal.id == of)

    async def used(self, token: str, at: datetime) -> None:
        """Note when a token was used."""
        self.kept = [replace(one, last_used_at=at) if one.id == token else one for one in self.kept]

    async def revoke(self, token: str) -> bool:
        """Remove a token."""
        before = len(self.kept)
        self.kept = [one for one in self.kept if one.id != token]
        return len(self.kept) < before


class MemoryPrompts:
    """The prompt library in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, Prompt] = {}
        self.queries: list[PromptQuery] = []

    async def save(self, prompt: Prompt, *, new: bool) -> None:
        """Write a prompt."""
        clash = any(
            one.id != prompt.id and prompt.command and one.command.casefold() == prompt.command.casefold()
            for one in self.kept.values()
        )
        if clash:
            raise AlreadyExists(f"another prompt has the command {prompt.command!r}", field="command")
        self.kept[prompt.id] = prompt

    async def get(self, prompt: str) -> Prompt | None:
        """Return a prompt."""
        return self.kept.get(prompt)

    async def find(self, query: PromptQuery, before: str = "", limit: int = 25) -> tuple[Prompt, ...]:
        """Return prompts, newest first, and remember the query."""
        self.queries.append(query)
        rows: Sequence[Prompt] = sorted(self.kept.values(), key=lambda one: one.id, reverse=True)
        meant = (one for one in rows if not query.is_command or one.is_command)
        meant = (one for one in meant if not query.is_skill or one.is_skill)
        meant = (one for one in meant if query.command.casefold() in ("", one.command.casefold()))
        return tuple(one for one in meant if not before or one.id < before)[:limit]

    async def delete(self, prompt: str) -> bool:
        """Remove a prompt."""
        return self.kept.pop(prompt, None) is not None
