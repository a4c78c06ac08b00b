"""More promises of the turn: failing providers, steering, slots, secrets, downtime, deletion."""

import asyncio

import pytest

from hostler.core import events as ev
from hostler.core.commands import Delete, MoveInput, SteerInput
from hostler.core.errors import NotFound
from hostler.core.events import Limits
from hostler.core.ports import Position
from hostler.engine.effects import Prepared
from hostler.models.script import Call, Fault, Step
from hostler.projections.blocks import frames
from hostler.projections.status import view
from hostler.testing.link import Link
from hostler.testing.stage import Stage
from hostler.testing.world import World
from tests.engine.stories import BASH, stage_of


class Gate:
    """A shell whose commands wait for the test."""

    def __init__(self, output: str = "done") -> None:
        self.open = asyncio.Event()
        self.output = output

    async def __call__(self, line: str) -> tuple[int, str]:
        await self.open.wait()
        return 0, self.output


async def running_tool(stage: Stage, execution: str) -> None:
    await stage.until(execution, lambda state: any(tool.started for tool in state.tools))


async def test_a_failing_provider_is_a_warning_while_it_is_tried_again_and_is_gone_when_it_answers():
    stage = stage_of(Step(text="Done.", faults=(Fault("unavailable", times=2, retry_after=3.0),)))
    await stage.boot()
    execution = await stage.start("scripted:story", "go")
    for attempt in (1, 2):
        state = await stage.until(execution, lambda s, n=attempt: bool(s.call and s.call.attempt == n))
        status = view(state)["status"]
        assert status["phase"] == "PHASE_RUNNING"
        assert status["warningMessage"]
        assert "failureMessage" not in status
        assert status["currentOperation"]["retries"] == str(attempt)
        stage.clock.advance(3.0)
    status = view(await stage.rest(execution))["status"]
    assert "warningMessage" not in status
    assert status["iterations"] == "1"
    await stage.kill()


async def test_a_provider_that_refuses_stops_the_run_with_its_reason_and_the_next_send_clears_it():
    stage = stage_of(Step(text="Done.", faults=(Fault("refused", times=1),)), Step(text="Better."))
    await stage.boot()
    execution = await stage.start("scripted:story", "go")
    state = await stage.rest(execution)
    assert state.phase == "STOPPED"
    assert view(state)["status"]["failureReason"] == "AGENT_EXECUTION_FAILURE_REASON_LLM_INTEGRATION"
    assert view(state)["status"]["failureMessage"]
    await stage.kill()


async def test_a_steered_input_joins_before_the_next_model_call_and_others_wait_for_the_end():
    gate = Gate()
    stage = stage_of(Step(text="I look.", calls=(BASH,)), Step(text="All is well."))
    stage.world.machine.shell = gate
    await stage.boot()
    execution = await stage.start("scripted:story", "first")
    await running_tool(stage, execution)
    for name in ("i1", "i2", "i3"):
        await stage.send(execution, f"say {name}", name)
    await stage.command(execution, MoveInput("i3", "i1"))
    await stage.command(execution, SteerInput("i2"))
    assert [q.id for q in (await stage.state(execution)).queue] == ["i3", "i1", "i2"]
    gate.open.set()
    await stage.rest(execution)
    order = [
        (type(r.event).__name__, getattr(r.event, "input_ids", ()))
        for r in await stage.log(execution)
        if isinstance(r.event, ev.InputTaken | ev.ModelCallStarted)
    ]
    taken = [ids for kind, ids in order if kind == "InputTaken"]
    assert taken[1:] == [("i2",), ("i3",), ("i1",)]
    assert order[2] == ("InputTaken", ("i2",))
    await stage.kill()


async def test_over_the_limit_of_turns_a_run_waits_for_a_slot_and_can_be_stopped_there():
    gate = Gate()
    stage = stage_of(Step(text="I look.", calls=(BASH,)), Step(text="All is well."), slots=1)
    stage.world.machine.shell = gate
    server = await stage.boot()
    first = await stage.start("scripted:story", "go")
    await running_tool(stage, first)
    second = await stage.start("scripted:story", "go")
    third = await stage.start("scripted:story", "go")
    for execution in (second, third):
        await stage.until(execution, lambda s: s.phase == "RUNNING")
        while not server.engine.waits_for_slot(execution):
            await asyncio.sleep(0)
    assert (await server.desk.seen(second)).liveness == "waiting_for_slot"
    await stage.stop(second)
    assert (await stage.rest(second)).phase == "STOPPED"
    gate.open.set()
    assert (await stage.rest(first)).phase == "WAITING_FOR_INPUT"
    assert (await stage.rest(third)).phase == "WAITING_FOR_INPUT"
    await stage.kill()


async def test_a_known_secret_is_nowhere_in_log_view_frames_blobs_or_live_text():
    secret = "canary-0123456789"

    async def leak(line: str) -> tuple[int, str]:
        return 0, f"key={secret}\n" * 5000

    stage = stage_of(
        Step(text=f"The key is {secret}, see.", thinking=f"{secret}?", calls=(Call("bash", {"command": secret}),)),
        Step(text="Done."),
        secrets=(secret,),
    )
    stage.world.machine.shell = leak
    server = await stage.boot()
    execution = await stage.start("scripted:story")
    heard: list[str] = []

    async def listen() -> None:
        async for _ in server.live.pieces(execution):
            heard.extend(block.text for block in server.live.open_blocks(execution))

    listening = asyncio.create_task(listen())
    await stage.send(execution, f"use {secret}")
    state = await stage.rest(execution)
    listening.cancel()
    log = await stage.log(execution)
    assert secret not in "".join(repr(ev.encode(r.event)) for r in log if not isinstance(r.event, ev.InputQueued))
    assert secret not in repr(view(state)["status"])
    assert heard
    assert secret not in "".join(heard)
    assert stage.blobs.kept
    assert not any(secret.encode() in data for data in stage.blobs.kept.values())
    said = [f for f in frames(execution, log) if f.tag == 1]
    assert secret not in repr(said)
    await stage.kill()


async def test_the_time_while_the_server_was_dead_does_not_count_as_running():
    gate = Gate()
    stage = stage_of(Step(text="I look.", calls=(BASH,)), Step(text="All is well."))
    stage.world.machine.shell = gate
    await stage.boot()
    execution = await stage.start("scripted:story", "go", limits=Limits(max_seconds=60))
    await running_tool(stage, execution)
    await stage.kill()
    stage.clock.advance(1000)
    await stage.boot()
    await stage.until(execution, lambda s: s.session == "life-2" and s.environment.ready)
    stage.clock.advance(30)
    gate.open.set()
    state = await stage.rest(execution)
    assert state.phase == "WAITING_FOR_INPUT"
    assert state.ran < 60
    await stage.kill()


async def test_a_turn_settles_no_sooner_than_it_should_and_takes_an_input_meanwhile():
    stage = stage_of(Step(text="Done."), settle=1.0)
    await stage.boot()
    execution = await stage.start("scripted:story", "go")
    await stage.until(execution, lambda s: s.iterations == 1)
    assert (await stage.state(execution)).phase == "RUNNING"
    await stage.send(execution, "more")
    await stage.until(execution, lambda s: s.iterations == 2)
    stage.clock.advance(1.0)
    state = await stage.rest(execution)
    assert (state.phase, state.turn) == ("WAITING_FOR_INPUT", 1)
    await stage.kill()


async def test_a_deleted_execution_is_not_found_at_once_and_everything_of_it_goes():
    gate = Gate()
    stage = stage_of(Step(text="I look.", calls=(BASH,)), Step(text="All is well."))
    stage.world.machine.shell = gate
    server = await stage.boot()
    execution = await stage.start("scripted:story", "go")
    await running_tool(stage, execution)
    environment = (await stage.state(execution)).environment.id
    await stage.command(execution, Delete())
    with pytest.raises(NotFound):
        await server.desk.seen(execution)
    with pytest.raises(NotFound):
        await stage.command(execution, Delete())
    async with asyncio.timeout(10), stage.executions.watch() as watch:
        while await stage.executions.row(execution):
            await watch.changed(1)
    assert stage.world.released == [environment]
    assert stage.world.kills
    await stage.kill()


class BrokenWorld(World):
    """A world in which preparing an environment meets a bug of ours."""

    tries = 0

    async def prepare(self, environment: str, execution: str, fence: int) -> Prepared:
        BrokenWorld.tries += 1
        raise RuntimeError("a bug of ours")


async def test_an_execution_that_never_makes_progress_is_given_up_with_a_message():
    stage = stage_of(Step(text="Done."), world=BrokenWorld())
    await stage.boot()
    execution = await stage.start("scripted:story", "go")
    for _ in range(10):
        while stage.server.engine.busy():
            await asyncio.sleep(0)
        await stage.server.engine.sweep()
        await asyncio.sleep(0)
    state = await stage.rest(execution)
    assert state.failure
    assert state.failure.reason == "service"
    assert "without any progress" in state.failure.message
    assert 0 < BrokenWorld.tries <= 6
    await stage.kill()


async def test_a_running_turn_without_a_live_owner_is_said_to_be_recovering():
    stage = stage_of(Step(text="I look.", calls=(BASH,)), Step(text="Done."))
    stage.world.machine.shell = Gate()
    await stage.boot()
    execution = await stage.start("scripted:story", "go")
    await running_tool(stage, execution)
    await stage.kill()
    successor = await stage.boot(Paused(stage.executions))
    stage.clock.advance(60)
    assert (await successor.desk.seen(execution)).liveness == "recovering"
    await stage.kill()


class Paused(Link):
    """A store that lets nobody claim anything yet."""

    async def claim(self, execution: str, seen_fence: int, owner: str) -> Position | None:
        await asyncio.Event().wait()
        return None
