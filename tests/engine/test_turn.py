"""The turn, on a stage: what is appended, in which order, and in how many commits."""

import asyncio

import pytest

from hostler.core import events as ev
from hostler.core.commands import DeleteInput, SteerInput
from hostler.core.errors import AlreadyExists, FailedPrecondition, NotFound
from hostler.core.events import Limits
from hostler.models.registry import Registry
from hostler.models.script import Call, Fault, Rule, Script, Step
from hostler.models.scripted import Gates
from hostler.projections.blocks import frames
from hostler.testing.stage import Stage
from tests.engine.stories import BASH


def kinds(log) -> list[str]:
    return [type(recorded.event).__name__ for recorded in log]


def models(*steps: Step) -> Registry:
    return Registry({}, plans={"story": Script(rules=(Rule(steps=steps),))})


STORY = (Step(text="I look.", calls=(BASH,)), Step(text="All is well."))


@pytest.fixture
async def stage():
    stage = Stage(models(*STORY))
    await stage.boot()
    yield stage
    await stage.kill()


async def test_a_story_ends_waiting_for_input_with_one_result_for_its_tool_call(stage: Stage):
    execution = await stage.start("scripted:story", "mend it")
    state = await stage.rest(execution)
    assert state.phase == "WAITING_FOR_INPUT"
    assert kinds(await stage.log(execution)) == [
        "Started", "InputQueued", "EnvironmentReady", "TurnStarted", "InputTaken", "ModelCallStarted", "ModelReplied",
        "ToolStarted", "ToolFinished", "ModelCallStarted", "ModelReplied", "TurnEnded", "WorkKept",
    ]  # fmt: skip


async def test_a_step_with_one_tool_takes_two_commits(stage: Stage):
    execution = await stage.start("scripted:story", "mend it")
    await stage.rest(execution)
    assert stage.commits[-5:] == [
        ("ModelReplied", "ToolStarted"),
        ("ToolFinished", "ModelCallStarted"),
        ("ModelReplied",),
        ("TurnEnded",),
        ("WorkKept",),
    ]


async def test_each_further_parallel_result_is_a_commit_of_its_own_and_never_held_back():
    gates = {"a": asyncio.Event(), "b": asyncio.Event()}

    async def shell(line: str) -> tuple[int, str]:
        await gates[line].wait()
        return 0, line

    calls = (Call("bash", {"command": "a"}), Call("bash", {"command": "b"}))
    stage = Stage(models(Step(calls=calls), Step(text="Done.")))
    stage.world.machine.shell = shell
    await stage.boot()
    execution = await stage.start("scripted:story", "go")
    await stage.until(execution, lambda state: len(state.tools) == 2 and all(t.started for t in state.tools))
    gates["b"].set()
    state = await stage.until(execution, lambda state: len(state.tools) == 1)
    assert [tool.id for tool in state.tools] == ["c1.0"]
    gates["a"].set()
    await stage.rest(execution)
    assert stage.commits[-6:] == [
        ("ModelReplied", "ToolStarted", "ToolStarted"),
        ("ToolFinished",),
        ("ToolFinished", "ModelCallStarted"),
        ("ModelReplied",),
        ("TurnEnded",),
        ("WorkKept",),
    ]
    await stage.kill()


async def test_send_says_running_before_it_answers(stage: Stage):
    execution = await stage.start("scripted:story")
    await stage.until(execution, lambda state: state.environment.ready)
    state = await stage.send(execution, "mend it")
    assert state.phase == "RUNNING"
    await stage.rest(execution)


async def test_the_same_input_twice_is_one_input_and_another_content_is_refused(stage: Stage):
    execution = await stage.start("scripted:story")
    await stage.send(execution, "mend it", "i1")
    await stage.send(execution, "mend it", "i1")
    with pytest.raises(AlreadyExists):
        await stage.send(execution, "break it", "i1")
    await stage.rest(execution)
    assert kinds(await stage.log(execution)).count("InputQueued") == 1


async def test_queued_input_goes_on_in_the_same_turn(stage: Stage):
    gate = asyncio.Event()

    async def slow(line: str) -> tuple[int, str]:
        await gate.wait()
        return 0, "done"

    stage.world.machine.shell = slow
    execution = await stage.start("scripted:story", "first")
    await stage.until(execution, lambda state: any(t.started for t in state.tools))
    await stage.send(execution, "second", "i2")
    await stage.send(execution, "never", "i3")
    await stage.command(execution, DeleteInput("i3"))
    with pytest.raises(FailedPrecondition, match="was deleted"):
        await stage.command(execution, DeleteInput("i3"))
    with pytest.raises(NotFound):
        await stage.command(execution, SteerInput("nobody"))
    gate.set()
    state = await stage.rest(execution)
    assert state.turn == 1
    assert state.inputs["i2"].state == "taken"
    assert state.inputs["i3"].state == "deleted"


async def test_a_stop_does_not_wait_for_the_model():
    gates = Gates()
    held = Step(text="A long answer.", faults=(Fault("hold", after=1, reached="talking", until="never"),))
    stage = Stage(Registry({}, plans={"story": Script(rules=(Rule(steps=(held,)),), chunk=2)}, gates=gates))
    await stage.boot()
    execution = await stage.start("scripted:story", "go")
    await gates.wait("talking")
    assert stage.server.live.open_blocks(execution)
    await stage.stop(execution)
    state = await stage.rest(execution)
    assert (state.phase, state.failure, state.call) == ("STOPPED", None, None)
    assert not stage.server.live.open_blocks(execution)
    cut = [r.event for r in await stage.log(execution) if isinstance(r.event, ev.ModelCallCut)]
    assert [text for event in cut for text in event.said]
    assert "A long answer.".startswith(cut[0].said[0].text)
    shown = [f.body["text"]["content"] for f in frames(execution, await stage.log(execution)) if "text" in f.body]
    assert shown == [cut[0].said[0].text]
    await stage.kill()


async def test_a_stop_kills_the_group_and_gives_every_open_call_one_result(stage: Stage):
    forever = asyncio.Event()

    async def slow(line: str) -> tuple[int, str]:
        await forever.wait()
        return 0, ""

    stage.world.machine.shell = slow
    execution = await stage.start("scripted:story", "first")
    await stage.until(execution, lambda state: any(t.started for t in state.tools))
    await stage.stop(execution)
    state = await stage.rest(execution)
    log = await stage.log(execution)
    assert state.phase == "STOPPED"
    assert kinds(log)[-5:] == ["StopRequested", "ToolFinished", "Stopped", "GroupGone", "WorkKept"]
    assert [execution for execution, _ in stage.world.kills] == [execution]
    await stage.send(execution, "again")
    stage.world.machine.shell = lambda line: _answer()
    assert (await stage.rest(execution)).phase == "WAITING_FOR_INPUT"


async def _answer() -> tuple[int, str]:
    return 0, "ok"


async def test_a_limit_stops_with_a_failure_that_names_it_and_refuses_more(stage: Stage):
    execution = await stage.start("scripted:story", "first", limits=Limits(max_iterations=1))
    state = await stage.rest(execution)
    assert state.phase == "STOPPED"
    assert state.failure
    assert state.failure.limit == "max_iterations"
    assert "1 of 1" in state.failure.message
    with pytest.raises(FailedPrecondition, match="max_iterations"):
        await stage.send(execution, "go on")


async def test_the_time_limit_stops_a_running_command(stage: Stage):
    forever = asyncio.Event()

    async def slow(line: str) -> tuple[int, str]:
        await forever.wait()
        return 0, ""

    stage.world.machine.shell = slow
    execution = await stage.start("scripted:story", "first", limits=Limits(max_seconds=60))
    await stage.until(execution, lambda state: any(t.started for t in state.tools))
    stage.clock.advance(59)
    assert (await stage.state(execution)).phase == "RUNNING"
    stage.clock.advance(2)
    state = await stage.rest(execution)
    assert state.failure
    assert state.failure.limit == "max_seconds"


async def test_an_environment_that_fails_is_said_and_the_input_goes_with_the_next_send(stage: Stage):
    stage.world.broken = "the repository was not found"
    execution = await stage.start("scripted:story", "first")
    state = await stage.rest(execution)
    assert state.phase == "STOPPED"
    assert state.failure
    assert (state.failure.reason, state.failure.message) == ("environment", "the repository was not found")
    assert len(state.queue) == 1
    stage.world.broken = ""
    await stage.send(execution, "second")
    state = await stage.rest(execution)
    assert state.phase == "WAITING_FOR_INPUT"
    assert not state.queue
