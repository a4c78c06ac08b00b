"""Stories of an agent that waits, by the hand clock."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from hostler.core import events as ev
from hostler.core import interests_events as ie
from hostler.core.commands import Wake
from hostler.core.errors import FailedPrecondition
from hostler.core.events import Recorded
from hostler.core.ports import ExecutionQuery
from hostler.core.state import State
from hostler.models.script import Call, Step
from hostler.testing.link import Died, Link
from hostler.testing.stage import Stage
from tests.engine.stories import Forgetful, stage_of

WAIT = Call("wait", {"duration": "5m", "note": "look at CI"})
ROUNDS = (Step(text="I wait for CI.", calls=(WAIT,)), Step(text="CI is green."))
ENVIRONMENT = "0190aaaa-0000-7000-8000-0000000000e1"


def of(log: Sequence[Recorded], kind: type[Any]) -> list[Any]:
    return [r.event for r in log if isinstance(r.event, kind)]


def wakes(log: Sequence[Recorded]) -> list[str]:
    """What the agent was told, in order."""
    said = [event for event in of(log, ev.InputQueued) if event.origin in ("wake", "harness")]
    return [one.expansion or one.block["inputs"][0]["text"]["content"] for one in said]


async def waiting(stage: Stage, execution: str) -> ie.Interest:
    state = await stage.until(execution, lambda s: s.phase == "WAITING_FOR_INPUT" and bool(s.interests.open))
    return state.interests.open[0]


async def ended(stage: Stage, execution: str, turn: int) -> State:
    return await stage.until(execution, lambda s: s.turn == turn and s.phase == "WAITING_FOR_INPUT")


async def pass_time(stage: Stage, seconds: float) -> None:
    """Let time pass; the engine's next look at its rows comes with it."""
    stage.clock.advance(seconds)
    await stage.server.engine.sweep()


async def test_a_timer_ends_the_turn_and_begins_the_next_one():
    stage = stage_of(*ROUNDS)
    await stage.boot()
    execution = await stage.start("scripted:story", "watch CI")
    one = await waiting(stage, execution)
    assert (one.duration, one.note) == ("5m", "look at CI")
    await pass_time(stage, 290)
    assert (await stage.state(execution)).phase == "WAITING_FOR_INPUT"
    await pass_time(stage, 10)
    state = await ended(stage, execution, 2)
    assert state.interests.open == ()
    log = await stage.log(execution)
    assert len(of(log, ie.InterestFired)) == 1
    assert wakes(log) == ["timer 5m (look at CI)"]
    await stage.kill()


async def test_an_execution_that_waits_by_the_clock_has_no_worker_and_keeps_the_server_from_ending():
    stage = stage_of(*ROUNDS)
    await stage.boot()
    execution = await stage.start("scripted:story", "watch CI")
    await waiting(stage, execution)
    async with asyncio.timeout(10):
        while stage.server.engine.runs(execution):
            await asyncio.sleep(0)
    assert stage.server.desk.busy()
    await pass_time(stage, 1)
    assert not stage.server.engine.runs(execution)
    await pass_time(stage, 300)
    await ended(stage, execution, 2)
    async with asyncio.timeout(10):
        while stage.server.desk.busy():
            await asyncio.sleep(0)
    await stage.kill()


async def test_a_timer_that_was_due_while_the_server_was_down_fires_at_boot_and_tells_how_late_it_is():
    stage = stage_of(*ROUNDS)
    await stage.boot()
    execution = await stage.start("scripted:story", "watch CI")
    await waiting(stage, execution)
    await stage.kill()
    stage.clock.advance(3600)
    await stage.boot()
    await ended(stage, execution, 2)
    log = await stage.log(execution)
    assert [fired.late for fired in of(log, ie.InterestFired)] == [3300.0]
    assert wakes(log) == ["timer 5m (look at CI); 55 min late, as nothing could be run then"]
    await stage.kill()


async def test_a_cron_line_that_repeats_fires_once_for_all_that_it_missed_and_goes_on():
    again = Call("wait", {"cron": "0 * * * *", "time_zone": "Europe/Berlin", "repeat": True})
    stage = stage_of(Step(calls=(again,)), Step(text="one"))
    await stage.boot()
    execution = await stage.start("scripted:story", "hourly")
    one = await waiting(stage, execution)
    assert (one.zone, one.repeats) == ("Europe/Berlin", True)
    await stage.kill()
    stage.clock.advance(5 * 3600 + 60)
    await stage.boot()
    await ended(stage, execution, 2)
    assert [fired.late for fired in of(await stage.log(execution), ie.InterestFired)] == [4 * 3600 + 60]
    await pass_time(stage, 3600)
    state = await ended(stage, execution, 3)
    assert state.interests.one(one.id) is not None
    assert [fired.again is not None for fired in of(await stage.log(execution), ie.InterestFired)] == [True, True]
    await stage.kill()


async def test_a_message_wakes_too_and_leaves_the_timer_standing():
    stage = stage_of(*ROUNDS, Step(text="later"))
    await stage.boot()
    execution = await stage.start("scripted:story", "watch CI")
    one = await waiting(stage, execution)
    await stage.send(execution, "any news?")
    state = await ended(stage, execution, 2)
    assert state.interests.open == (one,)
    await pass_time(stage, 300)
    await ended(stage, execution, 3)
    await stage.kill()


async def test_a_stop_drops_what_is_waited_for_visibly():
    stage = stage_of(*ROUNDS)
    await stage.boot()
    execution = await stage.start("scripted:story", "watch CI")
    one = await waiting(stage, execution)
    await stage.stop(execution)
    await pass_time(stage, 3600)
    state = await stage.rest(execution)
    log = await stage.log(execution)
    assert state.phase == "STOPPED"
    assert of(log, ie.InterestsDropped) == [ie.InterestsDropped((one.id,), "the execution was stopped")]
    assert not of(log, ie.InterestFired)
    await stage.kill()


async def test_what_never_comes_is_given_up_in_time_and_the_agent_is_told():
    place = Call("wait", {"environment": {"phase": "stopped", "environment_id": ENVIRONMENT}, "at_most": "30m"})
    stage = stage_of(Step(calls=(place,)), Step(text="then not"))
    await stage.boot()
    execution = await stage.start("scripted:story", "wait for it")
    await waiting(stage, execution)
    await pass_time(stage, 1801)
    await ended(stage, execution, 2)
    log = await stage.log(execution)
    assert wakes(log) == [
        f"Nothing came of what you waited for: environment {ENVIRONMENT} stopped. It is not waited for any more."
    ]
    assert [dropped.why for dropped in of(log, ie.InterestsDropped)] == ["nothing came in time"]
    await stage.kill()


@pytest.mark.parametrize(("phase", "told"), [("stopped", ""), ("deleted", ": deleted")])
async def test_an_environment_wakes_when_it_is_in_the_phase_or_can_never_be(phase: str, told: str):
    place = Call("wait", {"environment": {"phase": "stopped", "environment_id": ENVIRONMENT}})
    stage = stage_of(Step(calls=(place,)), Step(text="it is"))
    await stage.boot()
    execution = await stage.start("scripted:story", "wait for it")
    await waiting(stage, execution)
    stage.world.phases[ENVIRONMENT] = phase
    async with asyncio.timeout(10):
        while (await stage.state(execution)).turn == 1:
            stage.clock.advance(2)
            await asyncio.sleep(0)
    await ended(stage, execution, 2)
    assert wakes(await stage.log(execution)) == [f"environment {ENVIRONMENT} stopped{told}"]
    await stage.kill()


@pytest.mark.parametrize(
    ("failures", "told"), [((), ": running"), (("postCreate failed",), ": failed; postCreate failed")]
)
async def test_a_rebuilt_dev_container_wakes_the_agent_with_what_failed(failures: tuple[str, ...], told: str):
    stage = stage_of(Step(calls=(Call("rebuild_devcontainer", {}),)), Step(text="rebuilt"))
    stage.world.rebuild_failures = failures
    await stage.boot()
    execution = await stage.start("scripted:story", "rebuild it")
    await stage.until(execution, lambda s: s.calls == 2 and s.phase == "WAITING_FOR_INPUT")
    log = await stage.log(execution)
    assert wakes(log) == [f"rebuild of the dev container{told}"]
    assert len(stage.world.rebuilds) == 1
    await stage.kill()


async def test_the_agent_takes_back_what_it_waits_for():
    stage = stage_of(*ROUNDS[:1], Step(calls=(Call("cancel_wait", {}),)), Step(text="fine"))
    await stage.boot()
    execution = await stage.start("scripted:story", "watch CI")
    one = await waiting(stage, execution)
    await stage.send(execution, "forget it")
    state = await ended(stage, execution, 2)
    assert state.interests.open == ()
    log = await stage.log(execution)
    assert of(log, ie.InterestsDropped) == [ie.InterestsDropped((one.id,), "the agent does not wait for it any more")]
    await stage.rest(execution)
    await stage.kill()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"duration": "soon"}, "is no duration"),
        ({"duration": "0s"}, "not at once"),
        ({"duration": "400d"}, "within 366 days"),
        ({"cron": "0 0 9 * * 1"}, "five fields"),
        ({"cron": "61 * * * *"}, "is no cron line"),
        ({"cron": "0 9 * * *", "time_zone": "Mars/Olympus"}, "no time zone"),
        ({"duration": "5m", "repeat": True}, "only a cron line repeats"),
        ({"sub_agents": ["nobody"]}, "you have none"),
        ({"environment": {"phase": "running", "environment_id": "mine"}}, "no id of an environment"),
    ],
)
async def test_a_wait_that_cannot_be_is_refused_and_the_turn_goes_on(arguments: dict[str, Any], problem: str):
    stage = stage_of(Step(calls=(Call("wait", arguments),)), Step(text="then not"))
    await stage.boot()
    execution = await stage.start("scripted:story", "wait")
    state = await stage.rest(execution)
    assert (state.calls, state.interests.open) == (2, ())
    finished = of(await stage.log(execution), ev.ToolFinished)
    assert finished[0].outcome == "failed"
    assert problem in finished[0].text
    await stage.kill()


async def test_a_wait_beside_other_calls_ends_the_turn_when_they_are_done():
    stage = stage_of(Step(calls=(WAIT, Call("todo", {"todos": []}), Call("nothing", {}))), Step(text="woken"))
    await stage.boot()
    execution = await stage.start("scripted:story", "watch CI")
    await waiting(stage, execution)
    state = await stage.state(execution)
    assert (state.calls, state.turn) == (1, 1)
    assert len(of(await stage.log(execution), ev.ToolFinished)) == 3
    await stage.kill()


async def test_a_caller_may_wake_before_the_time_and_the_timer_does_not_fire_again():
    stage = stage_of(*ROUNDS)
    await stage.boot()
    execution = await stage.start("scripted:story", "watch CI")
    one = await waiting(stage, execution)
    wake = Wake(one.id, stage.clock.now(), {"interestId": one.id, "timer": {}}, outside=True)
    await stage.command(execution, wake)
    await ended(stage, execution, 2)
    await stage.command(execution, wake)
    await pass_time(stage, 3600)
    assert len(of(await stage.log(execution), ie.InterestFired)) == 1
    with pytest.raises(FailedPrecondition):
        await stage.command(execution, Wake("nobody", stage.clock.now(), {"timer": {}}, outside=True))
    await stage.kill()


# --- crashes --------------------------------------------------------------------------------------------------------


async def tell(stage: Stage) -> Sequence[Recorded]:
    """Tell the story of the timer to its end, in one life after another."""
    try:
        execution = await stage.start("scripted:story", "watch CI")
    except Died:
        await stage.restart()
        execution = (await stage.executions.find(ExecutionQuery(), limit=1))[0].id
        if not (await stage.state(execution)).inputs:
            await stage.send(execution, "watch CI")
    async with asyncio.timeout(20):
        while not ((state := await stage.state(execution)).turn == 2 and state.phase == "WAITING_FOR_INPUT"):
            if stage.server.link.dead.is_set():
                await stage.restart()
            if state.phase == "WAITING_FOR_INPUT":
                await pass_time(stage, 60)
            await asyncio.sleep(0)
    await stage.rest(execution)
    return await stage.log(execution)


def essence(log: Sequence[Recorded]) -> Counter[str]:
    again = (ev.TurnAdopted, ev.EnvironmentReady, ev.ModelCallCut)
    return Counter(type(r.event).__name__ for r in log if not isinstance(r.event, again))


async def test_the_wait_survives_a_crash_at_every_commit():
    stage = stage_of(*ROUNDS)
    await stage.boot()
    expected, commits = essence(await tell(stage)), len(stage.commits)
    await stage.kill()
    assert expected["InterestFired"] == expected["InterestsRegistered"] == 1
    for way in ("die_before", "die_after"):
        for number in range(1, commits + 1):
            stage = stage_of(*ROUNDS)
            await stage.boot(Link(stage.executions, **{way: number}))  # pyright: ignore[reportArgumentType]
            log = await tell(stage)
            await stage.kill()
            assert essence(log) == expected, (way, number)


async def test_every_step_of_the_wait_doubled_or_forgotten_changes_nothing():
    stage = stage_of(*ROUNDS)
    await stage.boot()
    expected = essence(await tell(stage))
    await stage.kill()
    for doubled, worker in ((True, stage.worker), (False, Forgetful)):
        stage = stage_of(*ROUNDS, worker=worker)
        await stage.boot(Link(stage.executions, doubled=doubled))
        assert essence(await tell(stage)) == expected
        await stage.kill()


async def test_a_rebuild_survives_a_crash_at_every_commit():
    steps = (Step(calls=(Call("rebuild_devcontainer", {}),)), Step(text="rebuilt"))

    async def tell_rebuild(stage: Stage) -> Sequence[Recorded]:
        try:
            execution = await stage.start("scripted:story", "rebuild it")
        except Died:
            await stage.restart()
            execution = (await stage.executions.find(ExecutionQuery(), limit=1))[0].id
            if not (await stage.state(execution)).inputs:
                await stage.send(execution, "rebuild it")
        async with asyncio.timeout(20):
            while not ((state := await stage.state(execution)).calls == 2 and state.phase == "WAITING_FOR_INPUT"):
                if stage.server.link.dead.is_set():
                    await stage.restart()
                await asyncio.sleep(0)
        return await stage.log(execution)

    stage = stage_of(*steps)
    await stage.boot()
    await tell_rebuild(stage)
    commits = len(stage.commits)
    await stage.kill()
    for way in ("die_before", "die_after"):
        for number in range(1, commits + 1):
            stage = stage_of(*steps)
            await stage.boot(Link(stage.executions, **{way: number}))  # pyright: ignore[reportArgumentType]
            log = await tell_rebuild(stage)
            await stage.kill()
            assert len(of(log, ie.InterestsRegistered)) == len(of(log, ie.InterestFired)) == 1, (way, number)
            assert wakes(log) == ["rebuild of the dev container: running"]
            assert len(stage.world.rebuilds) == 1
