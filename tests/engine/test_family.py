"""Sub-agents in stories: they are started, report, are stopped with their parent, and none of it is lost in a crash."""

import asyncio
from collections.abc import Sequence
from typing import Any

from hostler.core import events as ev
from hostler.core import family_events as m
from hostler.core.events import Limits, Recorded
from hostler.core.family import child_id
from hostler.models.registry import Registry
from hostler.models.script import Call, Rule, Script, Step
from hostler.testing.stage import Stage


def spawn(name: str, task: str, **more: Any) -> Call:
    return Call("spawn_agent", {"name": name, "task": task, **more})


def stage_of(*rules: Rule, **fields: Any) -> Stage:
    return Stage(Registry({}, plans={"story": Script(rules=rules)}), **fields)


DIG = Rule(match="^dig", steps=(Step(calls=(Call("bash", {"command": "dig"}),)), Step(text="I found gold.")))
HEARD = Rule(match="your sub-agent '(?P<who>.*)' .* has nothing left", steps=(Step(text="${who} is done."),))


async def kinds(stage: Stage, execution: str) -> list[str]:
    return [type(r.event).__name__ for r in await stage.log(execution)]


def events(log: Sequence[Recorded], kind: type[Any]) -> list[Any]:
    return [r.event for r in log if isinstance(r.event, kind)]


async def test_a_sub_agent_works_and_its_last_message_wakes_its_parent():
    boss = Rule(match="^lead", steps=(Step(calls=(spawn("digger", "dig here"),)), Step(text="Started.")))
    stage = stage_of(HEARD, DIG, boss)
    await stage.boot()
    parent = await stage.start("scripted:story", "lead")
    state = await stage.until(parent, lambda s: s.turn >= 2 and s.phase == "WAITING_FOR_INPUT")
    (child,) = state.family.children
    assert child.execution == child_id(parent, child.call_id)
    assert child.doing == "resting"
    assert child.used.iterations == 2
    log = await stage.log(parent)
    (said,) = [e for e in events(log, ev.InputQueued) if e.origin == "agent"]
    assert said.block["role"] == "ROLE_CHILD"
    assert said.block["type"] == "TYPE_COMPLETE"
    assert said.block["senderExecutionId"] == child.execution
    assert said.block["payload"] == "I found gold."
    assert events(log, ev.ModelReplied)[-1].parts[0].text == "digger is done."
    below = await stage.state(child.execution)
    assert below.begun.parent == ev.Parent(parent, child.call_id, 1)
    assert below.annotations["hostler/parent"] == parent
    await stage.kill()
