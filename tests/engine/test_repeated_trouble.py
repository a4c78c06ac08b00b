"""Trouble that comes again and again."""

import asyncio
import subprocess
import sys

from hostler.core.errors import MachineLost
from hostler.core.events import Limits
from hostler.core.machines import Command, ExecResult, Operation
from hostler.models.registry import Registry
from hostler.models.script import Call, Rule, Script, Step
from hostler.testing.link import Link
from hostler.testing.stage import Stage
from hostler.testing.world import MemoryBlobs, MemoryMachine, World


def test_a_small_edit_between_many_equal_lines_does_not_hold_the_server_either():
    code = (
        "from hostler.projections.blocks import modification as m\n"
        "same = '\\n'.join(['}'] * 10000)\n"
        "m('a', {'file': 'f', 'old': same + '\\na', 'new': same + '\\nb'})"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=10)


async def test_downtime_before_a_life_that_died_before_it_adopted_anything_does_not_count_as_running():
    forever = asyncio.Event()

    async def slow(line: str) -> tuple[int, str]:
        await forever.wait()
        return 0, ""

    steps = (Step(text="I look.", calls=(Call("bash", {"command": "make"}),)), Step(text="Done."))
    stage = Stage(Registry({}, plans={"story": Script(rules=(Rule(steps=steps),))}))
    stage.world.machine.shell = slow
    await stage.boot()
    execution = await stage.start("scripted:story", "go", limits=Limits(max_seconds=60))
    await stage.until(execution, lambda s: any(t.started for t in s.tools))
    await stage.kill()
    stage.clock.advance(1000)  # nobody lives
    link = Link(stage.executions, die_before=1)
    await stage.boot(link)
    await link.dead.wait()
    await stage.kill()
    await stage.boot()
    state = await stage.until(
        execution, lambda s: s.phase == "STOPPED" or (s.session == "life-3" and s.environment.ready)
    )
    await stage.kill()
    assert state.phase == "RUNNING", state.failure
    assert state.ran < 60


class FullBlobs(MemoryBlobs):
    """A store of blobs whose disk is full."""

    tries = 0

    async def put(self, execution: str, data: bytes) -> str:
        FullBlobs.tries += 1
        raise RuntimeError("no space left on device")


async def test_a_result_that_can_never_be_kept_does_not_repeat_for_ever():
    async def long(line: str) -> tuple[int, str]:
        return 0, "x" * 50_000

    FullBlobs.tries = 0
    steps = (Step(text="I look.", calls=(Call("bash", {"command": "make"}),)), Step(text="Done."))
    stage = Stage(Registry({}, plans={"story": Script(rules=(Rule(steps=steps),))}), blobs=FullBlobs())
    stage.world.machine.shell = long
    await stage.boot()
    execution = await stage.start("scripted:story", "go")
    for _ in range(40):
        for _ in range(100):
            await asyncio.sleep(0)
        await asyncio.sleep(0.005)
        await stage.server.engine.sweep()
    state = await stage.state(execution)
    events = len(await stage.log(execution))
    await stage.kill()
    assert state.phase == "STOPPED", f"still {state.phase} after {FullBlobs.tries} tries; the log has {events} events"


async def test_a_turn_that_waits_for_a_slot_outlives_any_number_of_restarts():
    gate = asyncio.Event()

    async def slow(line: str) -> tuple[int, str]:
        await gate.wait()
        return 0, "done"

    steps = (Step(text="I look.", calls=(Call("bash", {"command": "make"}),)), Step(text="Done."))
    stage = Stage(Registry({}, plans={"story": Script(rules=(Rule(steps=steps),))}), slots=1)
    stage.world.machine.shell = slow
    await stage.boot()
    first = await stage.start("scripted:story", "go")
    await stage.until(first, lambda s: any(t.started for t in s.tools))
    second = await stage.start("scripted:story", "go")
    await stage.until(second, lambda s: s.phase == "RUNNING")
    for _ in range(8):
        await stage.restart()
        life = f"life-{stage.lives}"
        for execution in (first, second):
            await stage.until(execution, lambda s, life=life: s.phase == "STOPPED" or s.session == life)
        while not any([(await stage.state(one)).environment.ready for one in (first, second)]):
            await asyncio.sleep(0)
    states = [await stage.state(execution) for execution in (first, second)]
    await stage.kill()
    assert [(s.phase, s.failure) for s in states] == [("RUNNING", None), ("RUNNING", None)]


class Deaf(MemoryMachine):
    """A machine whose supervisor answers, but never to a command."""

    async def exec(self, operation: Operation, command: Command, **more) -> ExecResult:
        raise MachineLost


async def test_a_supervisor_that_answers_but_never_runs_the_command_does_not_fill_the_log():
    steps = (Step(text="I look.", calls=(Call("bash", {"command": "make"}),)), Step(text="Done."))
    stage = Stage(Registry({}, plans={"story": Script(rules=(Rule(steps=steps),))}), world=World(machine=Deaf()))
    await stage.boot()
    execution = await stage.start("scripted:story", "go")
    for _ in range(800):
        await asyncio.sleep(0)
    state, events = await stage.state(execution), len(await stage.log(execution))
    await stage.kill()
    assert events < 100, f"{events} events, {state.phase}: lost and found without a pause and without an end"


async def test_one_loss_of_a_supervisor_is_one_however_many_commands_ran_there():
    began = 0
    all_run, forever = asyncio.Event(), asyncio.Event()

    async def slow(line: str) -> tuple[int, str]:
        nonlocal began
        began += 1
        if began == 6:
            all_run.set()
        await forever.wait()
        return 0, ""

    many = tuple(Call("bash", {"command": f"make {n}"}) for n in range(6))
    steps = (Step(calls=many), Step(text="Done."))
    stage = Stage(Registry({}, plans={"story": Script(rules=(Rule(steps=steps),))}))
    stage.world.machine.shell = slow
    await stage.boot()
    execution = await stage.start("scripted:story", "go")
    await all_run.wait()
    stage.world.machine.lose_supervisor()
    state = await stage.until(execution, lambda s: s.phase in ("WAITING_FOR_INPUT", "STOPPED"))
    await stage.kill()
    assert state.phase == "WAITING_FOR_INPUT", state.failure
