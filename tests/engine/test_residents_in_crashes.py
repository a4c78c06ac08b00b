"""Whatever a person asks of an agent in the environment, with a crash before and after every commit on the way."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from hostler.core import agent_events as ae
from hostler.core import events as ev
from hostler.core.agents import GoalChange
from hostler.core.commands import ChangeGoal, Command, Compact, Stop
from hostler.core.errors import HostlerError
from hostler.core.machines import Signalled
from hostler.core.state import State
from hostler.models.registry import Registry
from hostler.testing.link import Link
from hostler.testing.resident import Act
from hostler.testing.stage import Stage, said


@dataclass(frozen=True)
class Step:
    """Something that is asked unless it `came` already, and what is waited for then."""

    command: Command
    came: Callable[[State], bool]
    then: Callable[[State], bool]


def idle(state: State) -> bool:
    return state.phase in ("WAITING_FOR_INPUT", "STOPPED")


def send(name: str, then: Callable[[State], bool] = idle) -> Step:
    return Step(said(name, name), lambda s: name in s.inputs, then)


GO = send("go")
STORIES: dict[str, tuple[Sequence[Act], Sequence[Step]]] = {
    "question": (
        (("ask", "Which?"), ("say", "Done.")),
        (GO, send("red", lambda s: idle(s) and not s.external.asks)),
    ),
    "compaction": (
        (("say", "Done."),),
        (GO, Step(Compact("c1"), lambda s: s.turn > 1, lambda s: idle(s) and not s.external.compact)),
    ),
    "goal": (
        (("say", "Done."),),
        (
            GO,
            Step(
                ChangeGoal("g1", GoalChange("set", "win", "paused")),
                lambda s: s.turn > 1,
                lambda s: idle(s) and s.external.goal is not None,
            ),
        ),
    ),
    "stop": (
        (("do", "make"), ("wait",)),
        (
            send("go", lambda s: bool(s.external.turn) and not s.external.actions and not s.external.given),
            Step(Stop(), lambda s: s.stop is not None or s.phase == "STOPPED", lambda s: idle(s) and not s.killing),
            send("more", lambda s: bool(s.external.turn) and not s.external.actions and not s.external.given),
        ),
    ),
    "kill": (
        (("do", "kill"), ("say", "Done.")),
        (GO,),
    ),
}


async def lived(stage: Stage, execution: str, steps: Sequence[Step]) -> None:
    """Go through the steps; a server that dies is followed by another one."""
    for step in steps:
        while not step.came(await stage.state(execution)):
            try:
                await stage.command(execution, step.command)
            except HostlerError:
                await stage.restart()
        dead = asyncio.create_task(stage.server.link.dead.wait())
        then = asyncio.create_task(stage.until(execution, step.then))
        await asyncio.wait({dead, then}, return_when=asyncio.FIRST_COMPLETED)
        if stage.server.link.dead.is_set():
            await stage.restart()
        dead.cancel()
        await then


async def told(name: str, before: int = 0, after: int = 0) -> int:
    """Tell one of the stories and hold what must hold of it; return how many commits it took."""
    script, steps = STORIES[name]
    stage = Stage(Registry({}))
    machine = stage.world.machine
    machine.script = script

    async def shell(line: str) -> tuple[int, str]:
        if line == "kill" and len(machine.residents) == 1:
            await machine.residents["agent-1"].end(Signalled(9))
            await asyncio.Event().wait()
        return 0, "done"

    machine.shell = shell
    await stage.boot()
    execution = await stage.start("scripted:none", driver="resident")
    await stage.until(execution, lambda s: s.environment.ready)
    await stage.kill()
    await stage.boot(Link(stage.executions, die_before=before, die_after=after))
    link = stage.server.link
    await lived(stage, execution, steps)
    log = await stage.log(execution)
    await stage.kill()
    seen = machine.thread.seen
    assert len(seen) == len(set(seen))
    taken = [i for r in log if isinstance(r.event, ev.InputTaken) for i in r.event.input_ids]
    assert len(taken) == len(set(taken))
    begun = [r.event.item for r in log if isinstance(r.event, ae.ActionStarted)]
    ended = [r.event.item for r in log if isinstance(r.event, ae.ActionFinished)]
    assert sorted(begun) == sorted(ended)
    heard = [r.event.text for r in log if isinstance(r.event, ae.AgentSaid)]
    assert heard == {"question": ["You said red.", "Done."], "stop": []}.get(name, ["Done."])
    assert seen == {"stop": ["go", "more"]}.get(name, ["go"])
    assert sum(isinstance(r.event, ae.Compacted) for r in log) == (name == "compaction")
    assert machine.started == (["agent-1", "agent-2"] if name in ("kill", "stop") else ["agent-1"])
    return link.appends


@pytest.mark.parametrize("name", STORIES)
async def test_what_is_asked_of_a_resident_survives_a_crash_at_every_commit(name: str):
    for number in range(1, await told(name) + 1):
        await told(name, before=number)
        await told(name, after=number)
