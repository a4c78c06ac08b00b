"""What was said when a turn was cut: the log has it once, and nobody sees more of it than the log."""

import asyncio
from dataclasses import replace

from hostler.core import events as ev
from hostler.core.events import Limits
from hostler.models.script import Fault
from hostler.testing.link import Link
from hostler.testing.stage import said
from tests.engine.test_shown_text import LONG, Watcher, check, held, watched


async def test_a_reply_that_comes_when_a_limit_is_reached_is_in_the_log_once() -> None:
    stage, gates = held(Fault("hold", after=5, reached="talking", until="go"))
    await stage.boot()
    execution = await stage.start("scripted:story", "go", Limits(max_iterations=1))
    watcher = Watcher()
    watching = asyncio.create_task(watched(stage, execution, watcher))
    await gates.wait("talking")
    await watcher.has(LONG[:20])
    await stage.send(execution, "more")
    gates.open("go")
    await stage.until(execution, lambda state: state.phase == "STOPPED")
    log = await stage.log(execution)
    assert not [r for r in log if isinstance(r.event, ev.ModelCallCut)]
    await watching
    check(watcher, stage, execution, log)
    await stage.kill()


async def test_a_model_that_is_given_up_leaves_what_it_had_said_once() -> None:
    stage, _ = held(Fault("cut", times=99, after=3, retry_after=0.0))
    await stage.boot()
    execution = await stage.start("scripted:story", "go")
    watcher = Watcher()
    watching = asyncio.create_task(watched(stage, execution, watcher))
    while not watching.done():
        stage.clock.advance(60)
        await asyncio.sleep(0)
    await watching
    log = await stage.log(execution)
    kinds = [type(r.event).__name__ for r in log]
    assert kinds.count("ModelCallCut") == kinds.count("ModelCallFailed") == 8
    check(watcher, stage, execution, log)
    await stage.kill()


async def test_what_a_model_says_while_its_stop_is_written_is_shown_to_nobody() -> None:
    before = 0
    for pause in (False, True):
        stage, gates = held(Fault("hold", after=5, reached="talking", until="go"))
        link = Link(stage.executions, pause_before=before + 2 if pause else 0)
        await stage.boot(link)
        execution = await stage.start("scripted:story", "go")
        watcher = Watcher()
        watching = asyncio.create_task(watched(stage, execution, watcher))
        await gates.wait("talking")
        await watcher.has(LONG[:20])
        before = link.appends
        await stage.stop(execution)
        if pause:
            await link.paused.wait()
            gates.open("go")
            for _ in range(200):
                await asyncio.sleep(0)
            link.go.set()
        await stage.until(execution, lambda state: state.phase == "STOPPED")
        await watching
        log = await stage.log(execution)
        assert [r.event.said[0].text for r in log if isinstance(r.event, ev.ModelCallCut)] == [LONG[:20]]
        assert list(watcher.said.values()) == [LONG[:20]]
        check(watcher, stage, execution, log)
        await stage.kill()


async def test_a_reply_that_is_begun_again_in_the_same_life_has_another_block() -> None:
    forever = asyncio.Event()

    async def slow(line: str) -> tuple[int, str]:
        await forever.wait()
        return 0, ""

    stage, gates = held(Fault("hold", after=5, reached="talking", until="go"))
    stage.world.machine.shell = slow
    await stage.boot()
    execution = await stage.start("scripted:story", "go")
    watcher = Watcher()
    watching = asyncio.create_task(watched(stage, execution, watcher))
    await gates.wait("talking")
    await watcher.has(LONG[:20])
    await stage.command(execution, replace(said("make", "typed"), local="shell"))
    await stage.until(execution, lambda state: any(one.incarnation for one in state.memory.shells))
    stage.world.machine.lose_supervisor()
    gates.open("go")
    await stage.rest(execution)
    await watching
    log = await stage.log(execution)
    cut = [one.block for r in log if isinstance(r.event, ev.ModelCallCut) for one in r.event.said]
    whole = [block for r in log if isinstance(r.event, ev.ModelReplied) for block in r.event.blocks]
    assert len(cut) == 1
    assert cut[0] not in whole
    check(watcher, stage, execution, log)
    await stage.kill()
