"""What comes between the end of the work and the verdict: a stop, a message, and a judge that refuses."""

import asyncio

from hostler.core import events as ev
from hostler.core import judging_events as m
from hostler.core.conversation import ModelRequest
from hostler.models.registry import Registry
from hostler.models.script import Call, Fault, Step
from hostler.models.scripted import Gates
from hostler.projections.status import status
from hostler.testing.stage import PATIENCE, Stage
from tests.engine.test_judging import GREEN, start
from tests.engine.test_modes import answered, events, words


def judge_held(asked: ModelRequest) -> Step:
    if "You judge" in asked.system:
        return Step(text="A verdict.", faults=(Fault("hold", until="never", reached="judging"),))
    return Step(text="Done, I say.")


async def at_the_judge() -> tuple[Stage, str]:
    gates = Gates()
    stage = Stage(Registry({}, plans={"story": judge_held}, gates=gates))
    await stage.boot()
    execution = await start(stage, judgement_prompt="Be strict.")
    await stage.send(execution, "make it green", "i-1")
    async with asyncio.timeout(PATIENCE):
        await gates.wait("judging")
    return stage, execution


async def test_a_stop_cuts_the_judge():
    stage, execution = await at_the_judge()
    await stage.stop(execution)
    state = await stage.rest(execution)
    assert state.phase == "STOPPED"
    assert state.failure is None
    assert not events(await stage.log(execution), m.Judged)
    assert not status(state).get("judgement")
    await stage.kill()


async def test_a_message_goes_before_the_verdict_which_is_on_both():
    stage, execution = await at_the_judge()
    await stage.send(execution, "and this too", "i-2")
    state = await stage.until(execution, lambda now: now.iterations == 2)
    taken = [r.event for r in await stage.log(execution) if isinstance(r.event, ev.InputTaken)]
    assert [one.input_ids for one in taken] == [("i-1",), ("i-2",)]
    assert state.phase == "RUNNING"
    await stage.stop(execution)
    await stage.rest(execution)
    await stage.kill()


async def test_a_judge_that_is_asked_again_after_a_kill_gives_one_verdict():
    stage, execution = await at_the_judge()
    await stage.kill()
    stage.models = Registry({}, plans={"story": lambda asked: Step(text="Not shown.")})
    await stage.boot()
    state = await stage.rest(execution)
    assert len(events(await stage.log(execution), m.Judged)) == 1
    assert status(state)["judgement"] == "Not shown."
    assert state.iterations == 2
    await stage.kill()


async def test_a_judge_who_refuses_ends_the_turn_with_a_warning_and_the_result_of_its_condition():
    def plan(asked: ModelRequest) -> Step:
        if "You judge" in asked.system:
            return Step(text="", faults=(Fault("refused"),))
        if answered(asked):
            return Step(text="Done.")
        if "You are not done" in words(asked):
            return Step(calls=(Call("add_agent_execution_result", {"key": "green", "value": True}),))
        return Step(text="Done, I say.")

    stage = Stage(Registry({}, plans={"story": plan}))
    await stage.boot()
    execution = await start(stage, judgement_prompt="Be strict.", conditions=(GREEN,))
    await stage.send(execution, "make it green", "i-1")
    state = await stage.rest(execution)
    assert state.phase == "WAITING_FOR_INPUT"
    assert "there is no verdict" in status(state)["warningMessage"]
    assert status(state)["loopConditionResults"][0]["met"]
    await stage.kill()
