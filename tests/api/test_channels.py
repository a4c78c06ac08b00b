"""A channel that has forgotten its beginning: whoever needs it has it read again, while it changes and goes away."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from types import SimpleNamespace
from typing import Any, ClassVar, cast

from hostler.api.broadcast import Channels, Seat, Ticket
from hostler.api.cursors import Cursor
from hostler.api.forms import Told
from hostler.api.parts import ApiParts
from hostler.core.commands import Delete
from hostler.core.events import Recorded
from hostler.core.ports import OpenBlock
from hostler.models.registry import Registry
from hostler.models.script import Rule, Script, Step
from hostler.projections.blocks import Frame
from hostler.testing.stage import Stage


class Heavy:
    """Every event weighs so much that only the last are kept."""

    by_event: ClassVar[bool] = True

    def __init__(self, execution: str) -> None:
        self._execution = execution

    def event(self, recorded: Recorded, frames: Sequence[Frame]) -> Sequence[Told]:
        return [Told("put", {"padding": "x" * (2 << 20)})]

    def text(self, block: OpenBlock, offset: int, piece: str, at: datetime) -> Told:
        return Told("text", {})

    def broken(self, block: str, kind: str, text: str, at: datetime) -> Told | None:
        return None


@asynccontextmanager
async def told(stage: Stage) -> AsyncGenerator[tuple[str, Ticket]]:
    """An execution that rests after one turn, and the way into its channel."""
    await stage.boot()
    execution = await stage.start("scripted:story", "go")
    await stage.rest(execution)
    server = stage.server
    parts: Any = SimpleNamespace(
        desk=server.desk, executions=stage.executions, ambient=stage.clock, draining=lambda: False
    )
    yield execution, Channels(cast("ApiParts", parts)).of(execution, "heavy", Heavy)
    await stage.kill()


def story() -> Stage:
    return Stage(Registry({}, plans={"story": Script(rules=(Rule(steps=(Step(text="Done."),)),))}))


async def everything(seat: Seat, stage: Stage) -> list[int]:
    """Return the numbers of what a watcher is given until there is nothing more."""
    numbers: list[int] = []
    while data := await seat.take(stage.clock.now()):
        numbers += [int(line[4:]) for line in data.splitlines() if line.startswith(b"id: ")]
    return numbers


async def test_a_reader_who_needs_what_was_deleted_meanwhile_hears_that_it_was() -> None:
    stage = story()
    async with told(stage) as (execution, ticket), ticket.join(Cursor(0)) as seat:
        await stage.command(execution, Delete())
        async with asyncio.timeout(30):
            while not seat.deleted:
                assert not await seat.take(stage.clock.now())
                await seat.wait()


async def test_a_reader_who_does_not_read_on_makes_nobody_begin_with_an_older_turn() -> None:
    stage = story()
    async with told(stage) as (execution, ticket), ticket.join(Cursor(0)) as slow:
        assert await slow.take(stage.clock.now())
        await stage.send(execution, "again")
        await stage.until(execution, lambda state: state.turn == 2)
        await stage.rest(execution)
        log = await stage.log(execution)
        begun = max(r.seq for r in log if type(r.event).__name__ == "TurnStarted")
        async with asyncio.timeout(30), ticket.join(None) as late:
            numbers = await everything(late, stage)
        assert numbers[-1] == log[-1].seq
        assert [number for number in numbers if number < begun - 1] == []
