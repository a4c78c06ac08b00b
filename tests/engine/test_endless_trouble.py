"""What could go on for ever, and ends: failing workers, lost supervisors, absurd bounds."""

import asyncio
from collections import Counter

import pytest

from hostler.core import events as ev
from hostler.core.errors import MachineLost
from hostler.core.events import Limits
from hostler.core.machines import Command, ExecResult, Operation
from hostler.engine.effects import Prepared
from hostler.models.registry import Registry
from hostler.models.script import Call, Fault, Step
from hostler.projections.actions import intent
from hostler.projections.status import view
from hostler.testing.stage import Stage
from hostler.testing.world import MemoryMachine, World
from tests.engine.stories import BASH, stage_of


def counting(answer):
    """A model that counts its calls and then does what `answer` does."""
    calls = Counter()

    def plan(request):
        calls["n"] += 1
        return answer(request)

    return calls, plan


async def turns_of_the_loop(stage: Stage, sweeps: int) -> None:
    """Let the engine work until it has nothing to do, and let it sweep as time would."""
    for _ in range(sweeps):
        for _ in range(200):
            await asyncio.sleep(0)
            if not stage.server.engine.busy():
                break
        await stage.server.engine.sweep()
    for _ in range(200):
        await asyncio.sleep(0)


class BrokenLater(World):
    """A world whose `prepare` meets a bug of ours from the second turn on."""

    tries = 0
    bug = False

    async def prepare(self, environment: str, execution: str, fence: int) -> Prepared:
        if self.bug:
            BrokenLater.tries += 1
            raise RuntimeError("a bug of ours")
        return await super().prepare(environment, execution, fence)


async def test_a_turn_that_fails_for_ever_after_a_send_is_given_up_too():
    BrokenLater.tries = 0
    stage = stage_of(Step(text="Done."), world=BrokenLater())
    await stage.boot()
    execution = await stage.start("scripted:story", "go")
    await stage.rest(execution)
    stage.world.bug = True
    await stage.send(execution, "again")
    await turns_of_the_loop(stage, 20)
    state = await stage.state(execution)
    tries = BrokenLater.tries
    await stage.kill()
    assert state.phase == "STOPPED", f"still {state.phase} after {tries} tries without progress"
    assert state.failure
    assert state.failure.reason == "service"


async def test_a_model_that_fails_in_a_way_nobody_foresaw_is_not_called_for_ever():
    def broken(request):
        raise RuntimeError("the provider's library has a bug")

    calls, plan = counting(broken)
    stage = Stage(Registry({}, plans={"story": plan}))
    await stage.boot()
    execution = await stage.start("scripted:story", "")
    await stage.until(execution, lambda s: s.environment.ready)
    await stage.send(execution, "go")
    await turns_of_the_loop(stage, 30)
    for _ in range(50):
        stage.clock.advance(60)
        await turns_of_the_loop(stage, 1)
    state = await stage.state(execution)
    await stage.kill()
    assert state.phase == "STOPPED", f"still {state.phase} after {calls['n']} calls of the model"


async def test_a_long_command_outlives_any_number_of_restarts():
    gate = asyncio.Event()

    async def slow(line: str) -> tuple[int, str]:
        await gate.wait()
        return 0, "42 passed"

    stage = stage_of(Step(text="I look.", calls=(BASH,)), Step(text="All is well."))
    stage.world.machine.shell = slow
    await stage.boot()
    execution = await stage.start("scripted:story", "go")
    await stage.until(execution, lambda s: any(t.started for t in s.tools))
    for _ in range(8):
        await stage.restart()
        life = f"life-{stage.lives}"
        state = await stage.until(
            execution, lambda s, life=life: s.phase == "STOPPED" or (s.session == life and s.environment.ready)
        )
        assert state.phase == "RUNNING", state.failure
    gate.set()
    state = await stage.rest(execution)
    await stage.kill()
    assert state.phase == "WAITING_FOR_INPUT"


class Flaky(MemoryMachine):
    """A machine that cannot be reached now and then, although its supervisor goes on."""

    unreachable = 0

    async def exec(self, operation: Operation, command: Command, **more) -> ExecResult:
        if self.unreachable:
            self.unreachable -= 1
            raise MachineLost
        return await super().exec(operation, command, **more)


async def test_a_supervisor_that_is_lost_a_second_time_is_noticed_a_second_time():
    forever = asyncio.Event()

    async def slow(line: str) -> tuple[int, str]:
        await forever.wait()
        return 0, ""

    stage = stage_of(Step(text="I look.", calls=(BASH,)), Step(text="Done."), world=World(machine=Flaky(shell=slow)))
    stage.world.machine.unreachable = 1  # a deadline on our side passed; the same supervisor answers again
    await stage.boot()
    execution = await stage.start("scripted:story", "go")
    while not stage.world.machine.running:
        await asyncio.sleep(0)
    stage.world.machine.lose_supervisor()
    try:
        async with asyncio.timeout(3):
            state = await stage.rest(execution)
    except TimeoutError:
        state = await stage.state(execution)
        pytest.fail(f"stuck in {state.phase} with {state.tools}: the loss was taken for the one before")
    finally:
        await stage.kill()
    assert state.phase == "WAITING_FOR_INPUT"


@pytest.mark.parametrize("seconds", [1e12, float("inf"), float("nan")])
async def test_an_absurd_retry_after_is_bounded(seconds: float):
    stage = stage_of(Step(text="Done.", faults=(Fault("unavailable", times=1, retry_after=seconds),)))
    await stage.boot()
    execution = await stage.start("scripted:story", "go")
    try:
        async with asyncio.timeout(2):
            await stage.until(execution, lambda s: bool(s.call and s.call.attempt))
    except TimeoutError:
        pytest.fail(f"no ModelCallFailed in the log: {[type(r.event).__name__ for r in await stage.log(execution)]}")
    finally:
        await stage.kill()


async def test_a_degenerate_tool_call_is_answered_as_invalid():
    stage = stage_of(Step(calls=(Call("bash", "[" * 200_000),)), Step(text="Done."))
    await stage.boot()
    execution = await stage.start("scripted:story", "go")
    try:
        async with asyncio.timeout(3):
            state = await stage.rest(execution)
    except TimeoutError:
        pytest.fail("the worker fails at the same call for ever")
    finally:
        await stage.kill()
    assert state.phase == "WAITING_FOR_INPUT"


@pytest.mark.parametrize("arguments", ["[" * 200_000, '{"timeout": ' + "9" * 5000 + "}"])
def test_what_a_call_is_called_never_fails(arguments: str):
    assert intent("bash", arguments)


@pytest.mark.parametrize("value", [2**70, -(2**70)])
async def test_a_whole_number_too_large_for_the_contract_does_not_break_get(value: int):
    from hostler.api.codec import from_json
    from hostler.contract.gitpod.v1.agent_execution_pb import AgentExecution

    stage = stage_of(
        Step(calls=(Call("add_agent_execution_result", {"key": "n", "value": value}),)), Step(text="Done.")
    )
    await stage.boot()
    execution = await stage.start("scripted:story", "go")
    state = await stage.rest(execution)
    await stage.kill()
    from_json(AgentExecution, {k: v for k, v in view(state).items() if k != "hostler"})


async def test_the_agent_too_sets_at_most_a_hundred_outputs():
    calls = tuple(Call("add_agent_execution_result", {"key": f"k{n}", "value": n}) for n in range(101))
    stage = stage_of(Step(calls=calls), Step(text="Done."))
    await stage.boot()
    execution = await stage.start("scripted:story", "go")
    state = await stage.rest(execution)
    await stage.kill()
    assert len(state.outputs) <= 100


@pytest.mark.parametrize("seconds", [10**12, (1 << 63) - 1])
async def test_a_huge_time_limit_is_no_trap(seconds: int):
    stage = stage_of(Step(text="Done."))
    await stage.boot()
    execution = await stage.start("scripted:story", "", limits=Limits(max_seconds=seconds))
    await stage.until(execution, lambda s: s.environment.ready)
    await stage.send(execution, "go")
    state = await stage.rest(execution)
    await stage.kill()
    assert state.phase == "WAITING_FOR_INPUT"


class Unkillable(World):
    """A world in which killing takes until the gate opens."""

    gate: asyncio.Event
    asked: asyncio.Event

    async def kill_group(self, environment: str, execution: str, fence: int) -> None:
        self.asked.set()
        await self.gate.wait()
        await super().kill_group(environment, execution, fence)


async def test_what_a_stop_must_kill_does_not_wait_for_a_slot():
    forever = asyncio.Event()

    async def slow(line: str) -> tuple[int, str]:
        await forever.wait()
        return 0, ""

    world = Unkillable()
    world.gate, world.asked = asyncio.Event(), asyncio.Event()
    stage = stage_of(Step(text="I look.", calls=(BASH,)), Step(text="Done."), slots=1, world=world)
    world.machine.shell = slow
    await stage.boot()
    first = await stage.start("scripted:story", "go")
    await stage.until(first, lambda s: any(t.started for t in s.tools))
    second = await stage.start("scripted:story", "go")
    await stage.until(second, lambda s: s.phase == "RUNNING")
    await stage.stop(first)
    await world.asked.wait()
    await stage.until(second, lambda s: any(t.started for t in s.tools))
    await stage.send(first, "go on")
    world.gate.set()
    for _ in range(300):
        await asyncio.sleep(0)
    kills = [execution for execution, _ in world.kills]
    await stage.kill()
    assert first in kills, "the stopped turn's processes go on for as long as another turn holds the slot"


async def test_the_time_that_a_command_ran_before_a_restart_counts():
    forever = asyncio.Event()

    async def slow(line: str) -> tuple[int, str]:
        await forever.wait()
        return 0, ""

    stage = stage_of(Step(text="I look.", calls=(BASH,)), Step(text="Done."))
    stage.world.machine.shell = slow
    await stage.boot()
    execution = await stage.start("scripted:story", "go", limits=Limits(max_seconds=60))
    await stage.until(execution, lambda s: any(t.started for t in s.tools))
    for _ in range(3):
        stage.clock.advance(50)  # the server lives and the command runs
        await stage.restart()
        life = f"life-{stage.lives}"
        await stage.until(
            execution, lambda s, life=life: s.phase == "STOPPED" or (s.session == life and s.environment.ready)
        )
    for _ in range(100):
        await asyncio.sleep(0)
    state = await stage.state(execution)
    await stage.kill()
    assert state.phase == "STOPPED", f"150 s of running are counted as {state.ran} s"


async def test_an_output_that_is_cut_for_the_model_is_whole_in_a_blob_search_too():
    async def long(line: str) -> tuple[int, str]:
        return 0, "x" * 50_000

    stage = stage_of(Step(calls=(Call("search", {"pattern": "x"}),)), Step(text="Done."))
    stage.world.machine.shell = long
    await stage.boot()
    execution = await stage.start("scripted:story", "go")
    await stage.rest(execution)
    log = await stage.log(execution)
    await stage.kill()
    finished = next(r.event for r in log if isinstance(r.event, ev.ToolFinished))
    assert len(finished.text) < 50_000
    assert finished.output in stage.blobs.kept
