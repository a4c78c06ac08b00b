"""The story of the main job, cut at every commit, with every step doubled, and with an owner that wakes up too late."""

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest

from hostler.core import events as ev
from hostler.core.events import Recorded
from hostler.core.ports import ExecutionQuery
from hostler.models.registry import Registry
from hostler.models.script import Call, Rule, Script, Step
from hostler.projections.blocks import frames
from hostler.testing.link import Died, Link
from hostler.testing.stage import Stage
from hostler.testing.world import MemorySpoken
from tests.engine.stories import Forgetful

STEPS = (
    Step(text="I look.", thinking="hm", calls=(Call("bash", {"command": "make test"}), Call("todo", {"todos": []}))),
    Step(text="I mend.", calls=(Call("write", {"path": "a", "content": "1"}),)),
    Step(calls=(Call("edit", {"path": "a", "old": "1", "new": "2"}), Call("nothing", {}))),
    Step(calls=(Call("add_agent_execution_result", {"key": "green", "value": True}),)),
    Step(text="Done."),
)


def new_stage() -> Stage:
    return Stage(Registry({}, plans={"story": Script(rules=(Rule(steps=STEPS),))}))


def essence(log: Sequence[Recorded]) -> Counter[str]:
    """What a story comes to, whoever carried it out and however often the environment was looked for."""
    again = (ev.TurnAdopted, ev.EnvironmentReady, ev.ModelCallCut)
    return Counter(type(r.event).__name__ for r in log if not isinstance(r.event, again))


def check_what_was_shown(stage: Stage, execution: str, log: Sequence[Recorded]) -> None:
    """Every block that anybody saw is whole in the log, once, with all that was seen of it, and nothing is kept."""
    spoken = stage.spoken
    assert isinstance(spoken, MemorySpoken)
    whole = [(frame.block, frame.body["text"]["content"]) for frame in frames(execution, log) if "text" in frame.body]
    assert len(whole) == len({block for block, _ in whole})
    shown = spoken.shown[execution]
    assert shown
    for block, text in shown.items():
        assert dict(whole)[block].startswith(text)
    assert not spoken.kept


def check(log: Sequence[Recorded]) -> None:
    """Hold what must hold of every log."""
    assert [r.seq for r in log] == list(range(1, len(log) + 1))
    asked = [f"{r.event.call_id}.{n}" for r in log if isinstance(r.event, ev.ModelReplied) for n in range(_calls(r))]
    answered = [r.event.call_id for r in log if isinstance(r.event, ev.ToolFinished)]
    assert sorted(asked) == sorted(answered)
    for r in log:
        if isinstance(r.event, ev.ToolFinished):
            started = [s.seq for s in log if isinstance(s.event, ev.ToolStarted) and s.event.call_id == r.event.call_id]
            assert len(started) <= 1
            assert all(seq < r.seq for seq in started)


def _calls(recorded: Recorded) -> int:
    assert isinstance(recorded.event, ev.ModelReplied)
    return sum(part.kind == "tool_call" for part in recorded.event.parts)


async def tell(stage: Stage) -> Sequence[Recorded]:
    """Tell the story to its end in one life after another, and return its log."""
    try:
        execution = await stage.start("scripted:story", "mend it")
    except Died:
        rows = await stage.executions.find(ExecutionQuery(), limit=1)
        await stage.restart()
        execution = rows[0].id
        if not (await stage.state(execution)).inputs:
            await stage.send(execution, "mend it")
    link = stage.server.link
    dead, rest = asyncio.create_task(link.dead.wait()), asyncio.create_task(stage.rest(execution))
    await asyncio.wait({dead, rest}, return_when=asyncio.FIRST_COMPLETED)
    if link.dead.is_set():
        await stage.restart()
    await rest
    dead.cancel()
    return await stage.log(execution)


async def the_one(stage: Stage) -> str:
    """The execution of a stage that has one."""
    return (await stage.executions.find(ExecutionQuery(), limit=1))[0].id


async def whole_story() -> tuple[Counter[str], int]:
    stage = new_stage()
    await stage.boot()
    log = await tell(stage)
    await stage.kill()
    check(log)
    return essence(log), len(stage.commits)


async def test_the_story_survives_a_crash_at_every_commit():
    expected, commits = await whole_story()
    assert commits > 10
    for way in ("die_before", "die_after"):
        for number in range(1, commits + 1):
            stage = new_stage()
            await stage.boot(Link(stage.executions, **{way: number}))
            log = await tell(stage)
            await stage.kill()
            check(log)
            check_what_was_shown(stage, await the_one(stage), log)
            assert essence(log) == expected, (way, number)
            assert len(stage.world.machine.started) == len(set(stage.world.machine.started)), (way, number)
            assert stage.world.machine.files == {"a": b"2"}


async def test_every_step_doubled_changes_nothing():
    expected, _ = await whole_story()
    stage = new_stage()
    await stage.boot(Link(stage.executions, doubled=True))
    log = await tell(stage)
    await stage.kill()
    assert essence(log) == expected


async def test_memory_thrown_away_after_every_append_changes_nothing():
    expected, _ = await whole_story()
    stage = new_stage()
    stage.worker = Forgetful
    await stage.boot()
    log = await tell(stage)
    await stage.kill()
    check(log)
    assert essence(log) == expected


async def test_a_server_that_dies_at_every_third_append_gets_there_all_the_same():
    expected, commits = await whole_story()
    stage = new_stage()
    await stage.boot(Link(stage.executions, die_after=3))
    execution = await stage.start("scripted:story", "mend it") if commits else ""
    for _ in range(commits + 5):
        await asyncio.wait(
            {
                (a := asyncio.create_task(stage.server.link.dead.wait())),
                (b := asyncio.create_task(stage.rest(execution))),
            },
            return_when=asyncio.FIRST_COMPLETED,
        )
        done = b.done()
        a.cancel()
        b.cancel()
        if done:
            break
        await stage.kill()
        await stage.boot(Link(stage.executions, die_after=3))
    log = await stage.log(execution)
    check(log)
    assert essence(log) == expected


@pytest.mark.parametrize("number", range(2, 16))
async def test_an_owner_that_wakes_up_after_its_successor_writes_nothing_and_starts_nothing(number: int):
    expected, commits = await whole_story()
    if number > commits:
        return
    stage = new_stage()
    zombie = Link(stage.executions, pause_before=number)
    first = await stage.boot(zombie)
    execution = await stage.start("scripted:story")
    sending = asyncio.create_task(stage.send(execution, "mend it"))
    await zombie.paused.wait()
    second = await stage.boot()
    if not (await stage.state(execution)).inputs:
        await stage.send(execution, "mend it")
    await stage.rest(execution)
    started = list(stage.world.machine.started)
    before = await stage.log(execution)
    zombie.go.set()
    sending.cancel()
    for _ in range(50):
        await asyncio.sleep(0)
    assert await stage.log(execution) == before
    assert stage.world.machine.started == started
    assert len(started) == len(set(started))
    assert essence(before) == expected
    check(before)
    await first.engine.close()
    await second.engine.close()


async def test_a_lost_supervisor_makes_the_outcome_unknown_and_the_turn_goes_on():
    forever = asyncio.Event()

    async def slow(line: str) -> tuple[int, str]:
        await forever.wait()
        return 0, ""

    stage = new_stage()
    stage.world.machine.shell = slow
    await stage.boot()
    execution = await stage.start("scripted:story", "mend it")
    await stage.until(execution, lambda state: len(state.tools) == 1 and state.tools[0].started)
    stage.world.machine.lose_supervisor()
    state = await stage.rest(execution)
    log = await stage.log(execution)
    check(log)
    outcomes = {r.event.call_id: r.event.outcome for r in log if isinstance(r.event, ev.ToolFinished)}
    assert outcomes["c1.0"] == "unknown"
    assert state.phase == "WAITING_FOR_INPUT"
    await stage.kill()


async def test_a_command_goes_on_while_the_server_is_dead_and_its_result_arrives_once():
    gate = asyncio.Event()

    async def slow(line: str) -> tuple[int, str]:
        await gate.wait()
        return 0, "42 passed"

    stage = new_stage()
    stage.world.machine.shell = slow
    await stage.boot()
    execution = await stage.start("scripted:story", "mend it")
    await stage.until(execution, lambda state: len(state.tools) == 1 and state.tools[0].started)
    await stage.kill()
    gate.set()
    await stage.boot()
    await stage.rest(execution)
    log = await stage.log(execution)
    check(log)
    results = [r.event for r in log if isinstance(r.event, ev.ToolFinished) and r.event.call_id == "c1.0"]
    assert [r.text for r in results] == ["42 passed"]
    assert stage.world.machine.started.count("c1.0") == 1
    await stage.kill()
