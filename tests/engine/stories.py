"""What stories on a stage have in common."""

import asyncio
from collections.abc import Sequence
from typing import Any

from hostler.core.events import Recorded
from hostler.core.state import State
from hostler.engine.worker import Worker
from hostler.models.registry import Registry
from hostler.models.script import Call, Rule, Script, Step
from hostler.testing.stage import Stage

BASH = Call("bash", {"command": "make test"})


def stage_of(*steps: Step, **fields: Any) -> Stage:
    """A stage whose scripted model follows these steps, as `scripted:story`."""
    return Stage(Registry({}, plans={"story": Script(rules=(Rule(steps=steps),))}), **fields)


class Forgetful(Worker):
    """A worker that throws all memory away after every append and reads the log anew."""

    async def catch_up(self, known: tuple[Recorded, ...] = (), after: object = None) -> None:
        self.state, self.log = State(), []
        await super().catch_up()


async def live_on(stage: Stage, execution: str) -> Sequence[Recorded]:
    """Let an execution come to rest, in another life if this one ends, and return its log."""
    link = stage.server.link
    dead, rest = asyncio.create_task(link.dead.wait()), asyncio.create_task(stage.rest(execution))
    await asyncio.wait({dead, rest}, return_when=asyncio.FIRST_COMPLETED)
    if link.dead.is_set():
        await stage.restart()
    await rest
    dead.cancel()
    return await stage.log(execution)
