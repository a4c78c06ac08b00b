"""Waiting for sub-agents: a report ends the wait once, whether it comes before, during or after it."""

import asyncio

from hostler.core import events as ev
from hostler.core import interests_events as ie
from hostler.models.script import Call, Rule, Step
from hostler.testing.stage import Stage
from tests.engine.families import DIG, HEARD, events, spawn, stage_of

HOLD = Rule(match="^hold", steps=(Step(calls=(Call("bash", {"command": "hold"}),)), Step(text="I held.")))


def leading(*steps: Step) -> Rule:
    return Rule(match="^lead", steps=steps)


async def resting(stage: Stage, execution: str, calls: int) -> None:
    await stage.until(execution, lambda s: s.calls >= calls and s.phase == "WAITING_FOR_INPUT" and not s.interests.open)


async def test_a_report_ends_the_wait_and_begins_one_turn():
    gate = asyncio.Event()

    async def shell(line: str) -> tuple[int, str]:
        await gate.wait()
        return 0, ""

    wait = Call("wait", {"sub_agents": ["holder"], "note": "merge"})
    stage = stage_of(HEARD, HOLD, leading(Step(calls=(spawn("holder", "hold"),)), Step(calls=(wait,))))
    stage.world.machine.shell = shell
    await stage.boot()
    parent = await stage.start("scripted:story", "lead")
    state = await stage.until(parent, lambda s: s.phase == "WAITING_FOR_INPUT" and bool(s.interests.open))
    assert [one.subject for one in state.interests.open] == [state.family.children[0].execution]
    gate.set()
    await resting(stage, parent, 3)
    log = await stage.log(parent)
    assert len(events(log, ie.InterestFired)) == 1
    assert [e.origin for e in events(log, ev.InputQueued)] == ["user", "agent"]
    await stage.kill()


async def test_a_sub_agent_that_has_reported_already_wakes_at_once():
    wait = Call("wait", {"sub_agents": ["digger"]})
    stage = stage_of(
        Rule(match="your sub-agent", steps=(Step(calls=(wait,)), Step(text="I go on."))),
        DIG,
        leading(Step(calls=(spawn("digger", "dig here"),)), Step(text="It digs.")),
        Rule(steps=(Step(text="On."),)),
    )
    await stage.boot()
    parent = await stage.start("scripted:story", "lead")
    await resting(stage, parent, 4)
    log = await stage.log(parent)
    assert len(events(log, ie.InterestFired)) == 1
    told = events(log, ev.InputQueued)[-1]
    assert told.origin == "harness"
    assert told.block["inputs"][0]["text"]["content"] == "The sub-agent digger has nothing left to do."
    await stage.kill()
