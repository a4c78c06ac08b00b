"""Keeping the work of a turn as an effect: after the end, once, and never in anybody's way."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from hostler.core.commands import Delete, ReportApplied, Restore
from hostler.core.errors import EnvironmentFailed, FailedPrecondition
from hostler.core.kept import WorkApplied, WorkKept, WorkNotKept, WorkRestored
from hostler.core.ports import EnvironmentRow
from hostler.engine.keeping import secret_files
from hostler.models.registry import Registry
from hostler.models.script import Call, Rule, Script, Step
from hostler.testing.stage import Stage

RUN = Call("bash", {"command": "make"})
STORY = Registry({}, plans={"story": Script(rules=(Rule(steps=(Step(calls=(RUN,)), Step(text="Done."))),))})
TALK = Registry({}, plans={"story": Script(rules=(Rule(steps=(Step(text="Hello."),)),))})


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = Stage(STORY)
    await stage.boot()
    yield stage
    await stage.kill()


def held(stage: Stage) -> tuple[asyncio.Event, asyncio.Event]:
    """Let keeping wait; return what says that it began, and what lets it go on."""
    began, go = asyncio.Event(), asyncio.Event()

    async def hold(turn: int) -> None:
        began.set()
        await go.wait()

    stage.world.keeping = hold
    return began, go


async def told(stage: Stage, execution: str) -> list[WorkKept | WorkNotKept]:
    log = await stage.log(execution)
    return [one.event for one in log if isinstance(one.event, WorkKept | WorkNotKept)]


async def test_a_turn_is_over_before_its_work_is_kept(stage: Stage):
    began, go = held(stage)
    execution = await stage.start("scripted:story", "go")
    await asyncio.wait_for(began.wait(), 20)
    state = await stage.state(execution)
    assert (state.phase, state.unkept, state.kept) == ("WAITING_FOR_INPUT", True, None)
    assert not stage.server.engine.works(execution)
    go.set()
    state = await stage.rest(execution)
    assert state.kept is not None
    assert (state.kept.work.turn, state.unkept) == (1, False)


async def test_a_turn_that_ran_nothing_inside_keeps_nothing():
    stage = Stage(TALK)
    await stage.boot()
    execution = await stage.start("scripted:story", "hi")
    await stage.rest(execution)
    assert (await told(stage, execution), stage.world.keeps) == ([], [])
    await stage.kill()


async def test_the_next_turn_supersedes_what_is_being_kept(stage: Stage):
    began, go = held(stage)
    execution = await stage.start("scripted:story", "go")
    await asyncio.wait_for(began.wait(), 20)
    await stage.send(execution, "again")
    await stage.until(execution, lambda state: state.turn == 2 and state.phase == "WAITING_FOR_INPUT")
    assert await told(stage, execution) == []
    go.set()
    await stage.rest(execution)
    assert [one.turn for one in await told(stage, execution)] == [2]


async def test_a_stop_and_a_deletion_do_not_wait_for_it(stage: Stage):
    began, go = held(stage)
    execution = await stage.start("scripted:story", "go")
    await asyncio.wait_for(began.wait(), 20)
    await stage.stop(execution)
    await stage.until(execution, lambda state: state.phase == "STOPPED" and not state.killing)
    assert (await stage.state(execution)).unkept
    await stage.command(execution, Delete())
    async with asyncio.timeout(20):
        while await stage.executions.row(execution) is not None:
            async with stage.executions.watch() as watch:
                await watch.changed(0.05)
    assert not go.is_set()


async def test_a_crash_before_and_after_keeps_it_once(stage: Stage):
    began, go = held(stage)
    execution = await stage.start("scripted:story", "go")
    await asyncio.wait_for(began.wait(), 20)
    await stage.restart()
    go.set()
    await stage.rest(execution)
    await stage.restart()
    await stage.rest(execution)
    assert [one.turn for one in await told(stage, execution)] == [1]
    assert stage.world.keeps == [1, 1]


async def test_what_cannot_be_kept_is_said_and_not_tried_for_ever(stage: Stage):
    async def full(turn: int) -> None:
        if turn == 1:
            raise EnvironmentFailed("the changes are too large")

    stage.world.keeping = full
    execution = await stage.start("scripted:story", "go")
    state = await stage.rest(execution)
    assert (await told(stage, execution), state.not_kept) == (
        [WorkNotKept(1, "the changes are too large")],
        "the changes are too large",
    )
    await stage.send(execution, "again")
    state = await stage.until(execution, lambda state: state.kept is not None)
    assert (state.not_kept, stage.world.keeps) == ("", [1, 2])


async def test_what_was_applied_is_known_until_something_else_is_kept(stage: Stage):
    execution = await stage.start("scripted:story", "go")
    state = await stage.rest(execution)
    assert state.kept is not None
    assert state.kept.loose
    commit = state.kept.work.commit
    for _ in range(2):
        await stage.command(execution, ReportApplied("another"))
        state = await stage.command(execution, ReportApplied(commit))
    assert state.kept is not None
    assert not state.kept.loose
    assert [one.event for one in await stage.log(execution)].count(WorkApplied(commit)) == 1


async def test_an_execution_goes_on_in_the_environment_that_it_was_restored_in(stage: Stage):
    execution = await stage.start("scripted:story", "go")
    await stage.until(execution, lambda state: any(tool.started for tool in state.tools) or state.kept is not None)
    await stage.rest(execution)
    state = await stage.command(execution, Restore("another", 1, "c"))
    assert (state.environment.id, state.environment.owned, state.environment.ready) == ("another", True, False)
    await stage.send(execution, "again")
    await stage.rest(execution)
    log = await stage.log(execution)
    assert [one.event for one in log if isinstance(one.event, WorkRestored)] == [WorkRestored("another", 1, "c")]
    go = asyncio.Event()

    async def slow(line: str) -> tuple[int, str]:
        await go.wait()
        return 0, ""

    stage.world.machine.shell = slow
    await stage.send(execution, "once more")
    await stage.until(execution, lambda state: any(tool.started for tool in state.tools))
    with pytest.raises(FailedPrecondition, match="stop it first"):
        await stage.command(execution, Restore("third", 1, "c"))
    go.set()
    await stage.rest(execution)


def test_secret_files_are_known_by_their_paths_in_the_workspace_however_they_were_named() -> None:
    paths = [".env", "./conf//key", "/workspace/a", "/workspaces/team/shop/b", "/home/agent/c", "/workspaces/x", ""]
    spec = {"checkout": "team/shop", "secrets": [{"name": str(n), "path": path} for n, path in enumerate(paths)]}
    now = datetime.now(UTC)
    row = EnvironmentRow("env", "r", "running", 1, "class", "", "bot", now, now, spec, None, {})
    assert secret_files(row) == (".env", "conf/key", "a", "b")
