"""Agents in the environment and the calls they make, where the store, the supervisor or the process fails them."""

import asyncio
import contextlib

import pytest

from hostler.core import agent_events as ae
from hostler.core import events as ev
from hostler.core.agents import GoalChange
from hostler.core.commands import ChangeGoal, Compact, SteerInput
from hostler.core.conversation import Usage
from hostler.core.errors import MachineLost, Unavailable
from hostler.core.events import Limits
from hostler.core.machines import ProcessEnded, Signalled
from hostler.core.ports import ExecutionQuery
from hostler.core.state import State
from hostler.engine.calls import Calls
from hostler.models.gateway.ledger import LimitReached, NoLiveTurn
from hostler.models.registry import Registry
from hostler.testing.link import Link
from hostler.testing.resident import Act
from hostler.testing.stage import Stage

MODEL = "scripted:none"
USED = Usage(1, 2, 3, 4)


def stage_of(*script: Act) -> Stage:
    stage = Stage(Registry({}))
    stage.world.machine.script = script
    return stage


def calls_of(stage: Stage) -> Calls:
    return Calls(stage.server.engine, stage.server.agents, stage.clock)


def idle(state: State) -> bool:
    return state.phase in ("WAITING_FOR_INPUT", "STOPPED")


async def begin(stage: Stage, limits: Limits | None = None) -> str:
    return await stage.start(MODEL, "go", limits, driver="resident")


async def at_work(stage: Stage, limits: Limits | None = None) -> str:
    execution = await begin(stage, limits)
    await stage.until(execution, lambda s: bool(s.external.turn) and not s.external.given)
    return execution


async def test_a_call_whose_worker_dies_while_it_is_recorded_is_refused_and_does_not_hang():
    async def story(link: Link | None, stage: Stage) -> int:
        await stage.boot(link)
        execution = await at_work(stage)
        calls = calls_of(stage)
        grant = await calls.grant(execution)
        before = stage.server.link.appends
        if link is None:
            await calls.begin(grant, MODEL, "/v1/responses")
        else:
            with pytest.raises(NoLiveTurn):
                await asyncio.wait_for(calls.begin(grant, MODEL, "/v1/responses"), 10)
            assert link.dead.is_set()
        await stage.kill()
        return before

    appends = await story(None, stage_of(("wait",)))
    stage = stage_of(("wait",))
    await story(Link(stage.executions, die_before=appends + 1), stage)


async def test_of_calls_that_begin_at_once_no_more_are_let_through_than_the_limit_says():
    stage = stage_of(("wait",))
    await stage.boot()
    execution = await at_work(stage, Limits(max_iterations=2))
    calls = calls_of(stage)
    grant = await calls.grant(execution)
    begun = await asyncio.gather(
        *(calls.begin(grant, MODEL, "/v1/responses") for _ in range(3)), return_exceptions=True
    )
    assert [isinstance(one, LimitReached) for one in begun] == [False, False, True]
    state = await stage.until(execution, lambda s: s.phase == "STOPPED")
    await stage.kill()
    assert state.failure is not None
    assert state.failure.limit == "max_iterations"
    assert not state.external.calls


async def test_hanging_up_before_the_end_of_a_call_does_not_make_it_free():
    stage = stage_of(("wait",))
    await stage.boot()
    execution = await at_work(stage, Limits(max_output_tokens=4))
    calls = calls_of(stage)
    grant = await calls.grant(execution)
    await calls.cut(await calls.begin(grant, MODEL, "/v1/responses"), USED, "the agent hung up")
    with pytest.raises(LimitReached, match="max_output_tokens"):
        await calls.begin(grant, MODEL, "/v1/responses")
    await stage.kill()


async def test_a_call_in_a_turn_that_is_being_taken_up_again_may_be_tried_again():
    stage = stage_of(("wait",))
    await stage.boot()
    execution = await at_work(stage)
    await stage.server.engine.close()
    with pytest.raises(Unavailable):
        await calls_of(stage).grant(execution)
    await stage.kill()
    await stage.boot()
    await stage.until(execution, lambda s: s.session == "life-2" and s.environment.ready)
    assert (await calls_of(stage).grant(execution)).execution == execution
    await stage.stop(execution)
    await stage.until(execution, lambda s: s.phase == "STOPPED")
    with pytest.raises(NoLiveTurn):
        await calls_of(stage).grant(execution)
    await stage.kill()


async def test_a_call_that_outlives_its_process_does_not_hold_the_turn():
    stage = stage_of(("say", "Done."), ("wait",))
    await stage.boot()
    execution = await at_work(stage)
    calls = calls_of(stage)
    await calls.begin(await calls.grant(execution), MODEL, "/v1/responses")
    stage.world.machine.script = (("say", "Again."),)
    await stage.world.machine.residents["agent-1"].end(Signalled(9))
    await stage.until(execution, lambda s: s.phase == "WAITING_FOR_INPUT")
    log = await stage.log(execution)
    await stage.kill()
    assert [r.event.reason for r in log if isinstance(r.event, ae.AgentCallCut)] == [
        "the agent's process ended while the call was in flight"
    ]


async def test_an_idle_agent_whose_supervisor_was_replaced_meanwhile_is_forgotten_and_not_closed_for_ever():
    stage = stage_of(("say", "Done."))
    await stage.boot()
    execution = await begin(stage)
    await stage.until(execution, idle)
    stage.world.machine.lose_supervisor()
    stage.clock.advance(61)
    await stage.rest(execution)
    await stage.send(execution, "more")
    await stage.until(execution, lambda s: idle(s) and len(s.inputs) == 2)
    await stage.kill()
    assert len(stage.world.machine.thread.seen) == 2


async def test_an_input_that_comes_when_an_idle_agent_is_closed_reaches_it_once():
    for yields in range(12):
        stage = stage_of(("say", "Done."))
        await stage.boot()
        execution = await begin(stage)
        await stage.until(execution, lambda s: idle(s) and not s.unkept)
        stage.clock.advance(61)
        for _ in range(yields):
            await asyncio.sleep(0)
        await stage.send(execution, "more")
        state = await stage.until(execution, lambda s: idle(s) and len(s.inputs) == 2)
        await stage.kill()
        assert state.phase == "WAITING_FOR_INPUT"
        assert len(stage.world.machine.thread.seen) == 2, yields
        assert stage.world.machine.thread.turns == 2, yields


async def test_a_server_that_is_stopping_starts_no_turn_for_a_goal_or_a_compaction():
    stage = stage_of(("say", "Done."))
    await stage.boot()
    execution = await begin(stage)
    await stage.until(execution, idle)
    stage.server.desk.draining = True
    for command in (Compact("c1"), ChangeGoal("g1", GoalChange("set", "win"))):
        with pytest.raises(Unavailable):
            await stage.command(execution, command)
    await stage.kill()
    assert (await stage.state(execution)).turn == 1


async def test_what_could_not_be_said_is_said_again():
    stage = stage_of(("say", "Done."))
    stage.world.machine.deaf = [MachineLost("the line broke"), ProcessEnded("not now")]
    await stage.boot()
    execution = await begin(stage)
    state = await stage.until(execution, idle)
    await stage.kill()
    assert state.phase == "WAITING_FOR_INPUT"
    assert len(stage.world.machine.thread.seen) == 1


async def test_a_process_that_takes_no_input_any_more_stops_the_execution():
    stage = stage_of(("say", "Done."))
    stage.world.machine.deaf = [ProcessEnded("closed") for _ in range(100)]
    await stage.boot()
    execution = await begin(stage)
    state = await stage.until(execution, lambda s: s.phase == "STOPPED")
    await stage.kill()
    assert state.failure is not None
    assert "takes no input any more" in state.failure.message


async def test_a_process_that_never_opens_its_conversation_is_given_up():
    stage = stage_of()
    stage.opening = 0.01
    await stage.boot()
    execution = await begin(stage)
    state = await stage.until(execution, lambda s: s.phase == "STOPPED")
    await stage.kill()
    assert state.failure is not None
    assert "did not open its conversation" in state.failure.message
    assert all(resident.ended for resident in stage.world.machine.residents.values())


async def test_an_agent_killed_by_its_own_action_again_and_again_is_given_up():
    stage = stage_of(("say", "I run the tests."), ("do", "make test"))

    async def deadly(line: str) -> tuple[int, str]:
        await list(stage.world.machine.residents.values())[-1].end(Signalled(9))
        await asyncio.Event().wait()
        return 0, line

    stage.world.machine.shell = deadly
    await stage.boot()
    execution = await begin(stage)
    state = await stage.until(execution, lambda s: s.phase == "STOPPED")
    await stage.kill()
    assert len(stage.world.machine.residents) == 3
    assert state.failure is not None
    assert "3 times in a row" in state.failure.message


async def test_a_long_turn_outlives_any_number_of_servers():
    go = asyncio.Event()

    async def slow(line: str) -> tuple[int, str]:
        await go.wait()
        return 0, "made"

    stage = stage_of(("do", "make"), ("say", "Done."))
    stage.world.machine.shell = slow
    await stage.boot()
    execution = await begin(stage)
    await stage.until(execution, lambda s: bool(s.external.actions))
    for _ in range(8):
        lives = stage.lives
        await stage.restart()
        await stage.until(execution, lambda s, lives=lives: s.session == f"life-{lives + 1}" and s.environment.ready)
    go.set()
    state = await stage.until(execution, idle)
    log = await stage.log(execution)
    await stage.kill()
    assert state.phase == "WAITING_FOR_INPUT"
    assert [r.event.outcome for r in log if isinstance(r.event, ae.ActionFinished)] == ["ok"]
    assert stage.world.machine.started == ["agent-1"]


async def test_steering_across_a_crash_at_every_commit_reaches_the_agent_once():
    async def story(link: Link | None, stage: Stage) -> int:
        go = asyncio.Event()

        async def shell(line: str) -> tuple[int, str]:
            await go.wait()
            return 0, "ok"

        stage.world.machine.shell = shell
        await stage.boot()
        execution = await begin(stage)
        await stage.until(execution, lambda s: bool(s.external.actions))
        await stage.kill()
        await stage.boot(link)
        with contextlib.suppress(Exception):
            await stage.send(execution, "now", "now")
            await stage.command(execution, SteerInput("now"))
        dead = stage.server.link.dead
        for step in range(2):
            done = asyncio.create_task(
                stage.until(execution, lambda s, step=step: idle(s) if step else not s.queue and not s.external.given)
            )
            died = asyncio.create_task(dead.wait())
            await asyncio.wait({done, died}, return_when=asyncio.FIRST_COMPLETED)
            if dead.is_set():
                await stage.restart()
                dead = asyncio.Event()
                if "now" not in (await stage.state(execution)).inputs:
                    await stage.send(execution, "now", "now")
                go.set()
            go.set() if step == 0 and done.done() else None
            await done
            died.cancel()
        assert len(stage.world.machine.thread.seen) == len(set(stage.world.machine.thread.seen)) == 2
        log = await stage.log(execution)
        taken = [i for r in log if isinstance(r.event, ev.InputTaken) for i in r.event.input_ids]
        assert taken.count("now") == 1
        appends = stage.server.link.appends
        await stage.kill()
        return appends

    appends = await story(None, stage_of(("do", "make"), ("say", "Done.")))
    for number in range(1, appends + 1):
        for before, after in ((number, 0), (0, number)):
            stage = stage_of(("do", "make"), ("say", "Done."))
            await story(Link(stage.executions, die_before=before, die_after=after), stage)


@pytest.mark.parametrize("number", range(2, 20, 2))
async def test_an_owner_that_wakes_up_after_its_successor_writes_nothing_and_says_nothing(number: int):
    stage = stage_of(("do", "make"), ("say", "Done."))
    zombie = Link(stage.executions, pause_before=number)
    first = await stage.boot(zombie)
    sending = asyncio.create_task(begin(stage))
    paused, sent = asyncio.create_task(zombie.paused.wait()), sending
    await asyncio.wait({paused, sent}, return_when=asyncio.FIRST_COMPLETED)
    while not (found := await stage.executions.find(ExecutionQuery(), limit=1)):
        await asyncio.sleep(0)
    execution = found[0].id
    second = await stage.boot()
    if not (await stage.state(execution)).inputs:
        await stage.send(execution, "go")
    await stage.until(execution, lambda s: idle(s) and not s.unkept)
    before, seen = await stage.log(execution), list(stage.world.machine.thread.seen)
    zombie.go.set()
    for task in (paused, sending):
        task.cancel()
    for _ in range(50):
        await asyncio.sleep(0)
    assert await stage.log(execution) == before
    assert stage.world.machine.thread.seen == seen
    assert len(seen) == 1
    assert stage.world.machine.thread.done == ["turn-1.0"]
    assert stage.world.machine.started == ["agent-1"]
    await first.engine.close()
    await second.engine.close()
