"""What stories about sub-agents have in common."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from hostler.core import events as ev
from hostler.core.events import Recorded
from hostler.core.ports import ExecutionQuery, Row
from hostler.core.state import State
from hostler.models.registry import Registry
from hostler.models.script import Call, Rule, Script, Step
from hostler.testing.link import Died
from hostler.testing.stage import PATIENCE, Stage

RESTING = ("WAITING_FOR_INPUT", "STOPPED")


def spawn(name: str, task: str, **more: Any) -> Call:
    return Call("spawn_agent", {"name": name, "task": task, **more})


def boss(*calls: Call, match: str = "^lead") -> Rule:
    return Rule(match=match, steps=(Step(calls=calls), Step(text="Started.")))


DIG = Rule(match="^dig", steps=(Step(calls=(Call("bash", {"command": "dig"}),)), Step(text="I found gold.")))
HEARD = Rule(match="your sub-agent '(?P<who>[^']*)' .* has nothing left", steps=(Step(text="${who} is done."),))


def stage_of(*rules: Rule, **fields: Any) -> Stage:
    return Stage(Registry({}, plans={"story": Script(rules=rules)}), **fields)


def events(log: Sequence[Recorded], kind: type[Any]) -> list[Any]:
    return [r.event for r in log if isinstance(r.event, kind)]


async def rows(stage: Stage) -> Sequence[Row]:
    return await stage.executions.find(ExecutionQuery(), limit=1000)


async def settled(stage: Stage) -> None:
    """Wait until nothing is due or wanted anywhere."""
    async with asyncio.timeout(PATIENCE), stage.executions.watch() as watch:
        while any(row.busy or row.phase not in RESTING for row in await rows(stage)):
            await watch.changed(PATIENCE)


async def through(stage: Stage, work: Callable[[], Awaitable[object]]) -> None:
    """Do something, and go on in another life when this one ends meanwhile; then wait until all is at rest."""
    link = stage.server.link
    try:
        await work()
    except Died:
        await stage.restart()
        await work()
    rest, dead = asyncio.create_task(settled(stage)), asyncio.create_task(link.dead.wait())
    await asyncio.wait({rest, dead}, return_when=asyncio.FIRST_COMPLETED)
    if link.dead.is_set() and stage.server.link is link:
        rest.cancel()
        await stage.restart()
        await settled(stage)
    else:
        await rest
    dead.cancel()


def heard(log: Sequence[Recorded]) -> list[str]:
    """Return what other agents said to an execution."""
    return [e.block["payload"] for e in events(log, ev.InputQueued) if e.origin == "agent"]


def rested(state: State) -> bool:
    return state.phase in RESTING
