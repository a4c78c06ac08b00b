"""An edit of a queued input happens whole or not at all, whoever dies or is quicker."""

import asyncio
from contextlib import suppress

import pytest

from hostler.core import events as ev
from hostler.core.commands import EditInput
from hostler.core.errors import FailedPrecondition
from hostler.models.script import Step
from hostler.testing.link import Died, Link
from hostler.testing.stage import Stage, said
from tests.engine.stories import BASH, stage_of
from tests.engine.test_promises import Gate, running_tool

STEPS = (Step(text="I look.", calls=(BASH,)), Step(text="All is well."))
EDIT = EditInput("i2", said("say it better", "new"))


async def with_queue(gate: Gate) -> tuple[Stage, str]:
    """Return a stage whose execution runs a command while three inputs wait."""
    stage = stage_of(*STEPS)
    stage.world.machine.shell = gate
    await stage.boot()
    execution = await stage.start("scripted:story", "first")
    await running_tool(stage, execution)
    for name in ("i1", "i2", "i3"):
        await stage.send(execution, f"say {name}", name)
    return stage, execution


async def order(stage: Stage, execution: str) -> list[str]:
    return [queued.id for queued in (await stage.state(execution)).queue]


@pytest.mark.parametrize("way", ["die_before", "die_after"])
@pytest.mark.parametrize("number", range(1, 7))
async def test_a_crash_anywhere_leaves_all_of_the_edit_or_nothing_and_a_repeat_completes_it(
    way: str, number: int
) -> None:
    gate = Gate()
    stage, execution = await with_queue(gate)
    await stage.kill()
    await stage.boot(Link(stage.executions, **{way: number}))
    with suppress(Died):
        await running_tool(stage, execution)
        await stage.command(execution, EDIT)
    assert await order(stage, execution) in (["i1", "i2", "i3"], ["i1", "new", "i3"])
    await stage.restart()
    await stage.command(execution, EDIT)
    assert await order(stage, execution) == ["i1", "new", "i3"]
    gate.open.set()
    await stage.rest(execution)
    log = [recorded.event for recorded in await stage.log(execution)]
    assert sum(isinstance(event, ev.InputDeleted) for event in log) == 1
    taken = [one for event in log if isinstance(event, ev.InputTaken) for one in event.input_ids]
    assert taken[1:] == ["i1", "new", "i3"]
    await stage.kill()


async def test_the_edit_and_the_agent_never_both_have_the_input() -> None:
    gate = Gate()
    stage, execution = await with_queue(gate)
    gate.open.set()
    edited = False
    with suppress(FailedPrecondition):
        for _ in range(7):
            await asyncio.sleep(0)
        await stage.command(execution, EDIT)
        edited = True
    await stage.rest(execution)
    log = [recorded.event for recorded in await stage.log(execution)]
    taken = [one for event in log if isinstance(event, ev.InputTaken) for one in event.input_ids]
    assert ("new" in taken) is edited
    assert ("i2" in taken) is not edited
    with pytest.raises(FailedPrecondition, match="already sent"):
        await stage.command(execution, EditInput("i1", said("too late", "later")))
    await stage.kill()
