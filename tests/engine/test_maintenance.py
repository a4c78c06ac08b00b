"""What would begin a turn by itself is held back in maintenance mode, and happens once when it is over."""

import asyncio
from typing import Any

import pytest

from hostler.core import events as ev
from hostler.core import interests_events as ie
from hostler.core.approvals_events import ApprovalGiven
from hostler.core.maintenance import Maintenance
from hostler.engine.admission import LOOK
from hostler.models.script import Call, Step
from hostler.testing.stage import Stage
from tests.engine import test_approvals as approvals
from tests.engine.stories import stage_of
from tests.engine.test_waits import ENVIRONMENT, ROUNDS, ended, of, pass_time, waiting, wakes

PLACE = Call("wait", {"environment": {"phase": "stopped", "environment_id": ENVIRONMENT}, "at_most": "30m"})
CRON = Call("wait", {"cron": "0 * * * *", "repeat": True})


async def close(stage: Stage) -> None:
    await stage.maintenance.turn_on(Maintenance(stage.clock.now(), "back at ten", "id", "Ann"))


async def settle(stage: Stage) -> None:
    """Let everything happen that can without time."""
    for _ in range(300):
        await asyncio.sleep(0)


async def held(stage: Stage, execution: str, seconds: float) -> None:
    """Let time pass, look by look, and see that no turn begins in it."""
    await settle(stage)
    before = len(await stage.log(execution))
    await pass_time(stage, seconds)
    for _ in range(5):
        await settle(stage)
        await pass_time(stage, LOOK)
    await settle(stage)
    assert [type(one.event).__name__ for one in (await stage.log(execution))[before:]] == []


async def reopen(stage: Stage) -> None:
    await stage.maintenance.turn_off()
    for _ in range(4):
        await settle(stage)
        await pass_time(stage, LOOK)


@pytest.mark.parametrize("killed", [False, True])
async def test_a_timer_that_is_due_fires_once_when_maintenance_is_over(killed: bool):
    stage = stage_of(*ROUNDS)
    await stage.boot()
    execution = await stage.start("scripted:story", "watch CI")
    await waiting(stage, execution)
    await close(stage)
    await held(stage, execution, 3600)
    if killed:
        await stage.restart()
        await held(stage, execution, 60)
    await reopen(stage)
    await ended(stage, execution, 2)
    await pass_time(stage, 600)
    await settle(stage)
    log = await stage.log(execution)
    assert len(of(log, ie.InterestFired)) == 1
    assert len(of(log, ev.TurnStarted)) == 2
    assert wakes(log)[0].startswith("timer 5m (look at CI); 5")
    await stage.kill()


async def test_a_line_of_cron_fires_once_for_all_that_it_missed_in_maintenance():
    stage = stage_of(Step(calls=(CRON,)), Step(text="one"), Step(text="two"))
    await stage.boot()
    execution = await stage.start("scripted:story", "hourly")
    await waiting(stage, execution)
    await close(stage)
    await held(stage, execution, 5 * 3600)
    await reopen(stage)
    await ended(stage, execution, 2)
    await settle(stage)
    assert len(of(await stage.log(execution), ie.InterestFired)) == 1
    await pass_time(stage, 3600)
    await ended(stage, execution, 3)
    await stage.kill()


async def test_what_came_in_maintenance_goes_before_the_word_that_nothing_came():
    stage = stage_of(Step(calls=(PLACE,)), Step(text="so it is"))
    await stage.boot()
    execution = await stage.start("scripted:story", "wait for it")
    await waiting(stage, execution)
    await close(stage)
    stage.world.phases[ENVIRONMENT] = "stopped"
    await held(stage, execution, 7200)
    await reopen(stage)
    await ended(stage, execution, 2)
    log = await stage.log(execution)
    assert len(of(log, ie.InterestFired)) == 1
    assert not of(log, ie.InterestsDropped)
    await stage.kill()


async def test_what_never_came_is_given_up_after_maintenance():
    stage = stage_of(Step(calls=(PLACE,)), Step(text="then not"))
    await stage.boot()
    execution = await stage.start("scripted:story", "wait for it")
    await waiting(stage, execution)
    await close(stage)
    await held(stage, execution, 7200)
    await reopen(stage)
    await ended(stage, execution, 2)
    assert [one.why for one in of(await stage.log(execution), ie.InterestsDropped)] == ["nothing came in time"]
    await stage.kill()


async def test_a_call_is_denied_for_want_of_a_word_only_after_maintenance():
    stage = approvals.stage_with()
    await stage.boot()
    execution = await stage.start("scripted:story", "push it")
    await approvals.asked(stage, execution)
    await close(stage)
    await held(stage, execution, 7200)
    await reopen(stage)
    await approvals.done(stage, execution)
    given: list[Any] = of(await stage.log(execution), ApprovalGiven)
    assert [one.allowed for one in given] == [False]
    await stage.kill()


async def test_a_stop_in_maintenance_drops_what_is_held_back():
    stage = stage_of(*ROUNDS)
    await stage.boot()
    execution = await stage.start("scripted:story", "watch CI")
    await waiting(stage, execution)
    await close(stage)
    await held(stage, execution, 3600)
    await stage.stop(execution)
    await stage.until(execution, lambda s: s.phase == "STOPPED")
    await reopen(stage)
    log = await stage.log(execution)
    assert not of(log, ie.InterestFired)
    assert len(of(log, ev.TurnStarted)) == 1
    await stage.kill()
