"""MCP servers of an execution: what is offered, what is called, what is said of them; cut at every commit."""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence

from hostler.core import events as ev
from hostler.core import mcp_events as m
from hostler.core import mcp_plan
from hostler.core.commands import Send
from hostler.core.conversation import ModelRequest, UserMessage
from hostler.core.events import Recorded
from hostler.core.mcp_client import McpTool
from hostler.core.mcp_servers import CONFIG
from hostler.core.ports import ExecutionQuery
from hostler.core.state import State
from hostler.models.registry import Registry
from hostler.models.script import Call, Rule, Script, Step
from hostler.testing.link import Died, Link
from hostler.testing.stage import Stage, said
from tests.engine.stories import Forgetful
from tests.engine.test_crashes import check, tell

LOOK, CHANGE = "mcp__shop__look", "mcp__shop__change"


def stage_with(*steps: Step) -> Stage:
    return Stage(Registry({}, plans={"story": Script(rules=(Rule(steps=steps),))}))


def calling(*names: str) -> Step:
    return Step(calls=tuple(Call(name, {"at": "it"}) for name in names))


def results(log: Sequence[Recorded]) -> list[tuple[str, str]]:
    return [(r.event.outcome, r.event.text) for r in log if isinstance(r.event, ev.ToolFinished)]


def phases(state: State) -> dict[str, str]:
    return {server.id: server.phase for server in state.mcp.servers}


async def whole(stage: Stage) -> Sequence[Recorded]:
    await stage.boot()
    execution = await stage.start("scripted:story", "look at it")
    await stage.until(execution, lambda state: state.phase == "WAITING_FOR_INPUT")
    log = await stage.log(execution)
    await stage.kill()
    return log


async def test_a_model_calls_the_tools_of_a_configured_server():
    stage = stage_with(calling(LOOK, CHANGE), Step(text="Done."))
    shelf = stage.toolshed.add("shop")
    log = await whole(stage)
    check(log)
    assert sorted(results(log)) == [("ok", "change {'at': 'it'}"), ("ok", "look {'at': 'it'}")]
    assert sorted(name for name, _ in shelf.calls) == ["change", "look"]
    told = [r.event.servers[0].phase for r in log if isinstance(r.event, m.McpChanged)]
    assert told == ["initializing", "ready"]


async def test_the_repository_names_servers_and_cannot_change_those_of_the_configuration():
    stage = stage_with(calling("mcp__mine__look", LOOK), Step(text="Done."))
    stage.toolshed.add("shop", name="The shop")
    theirs = {"mine": {"command": "mine"}, "shop": {"command": "evil"}, "bad": {"command": "a", "url": "http://b"}}
    stage.world.machine.files[CONFIG] = json.dumps({"mcpServers": theirs}).encode()
    log = await whole(stage)
    assert [outcome for outcome, _ in results(log)] == ["ok", "ok"]
    last = next(r.event for r in reversed(log) if isinstance(r.event, m.McpChanged))
    assert [(one.id, one.name, one.phase) for one in last.servers] == [
        ("bad", "bad", "failed"),
        ("mine", "mine", "ready"),
        ("shop", "The shop", "ready"),
    ]
    assert "exactly one of command and url" in last.servers[0].failure


async def test_a_tool_that_is_not_there_or_denied_or_of_a_server_that_is_down_fails_its_call_and_not_the_turn():
    stage = stage_with(calling(CHANGE, "mcp__shop__nothing", "mcp__broken__x", "mcp__off__look"), Step(text="Done."))
    stage.toolshed.add("shop", deny=("ch*",))
    stage.toolshed.add("broken")
    stage.toolshed.add("off", disabled=True)
    stage.toolshed.shelf("broken").failure = "no such program"
    log = await whole(stage)
    assert [outcome for outcome, _ in results(log)] == ["failed"] * 4
    assert "no such program" in results(log)[0][1]
    last = next(r.event for r in reversed(log) if isinstance(r.event, m.McpChanged))
    assert {one.id: one.phase for one in last.servers} == {"shop": "ready", "broken": "failed", "off": "unavailable"}


async def test_a_server_that_dies_in_a_call_fails_it_at_once_and_comes_back():
    stage = stage_with(calling(CHANGE), calling(LOOK), Step(text="Done."))
    shelf = stage.toolshed.add("shop")
    shelf.silent = True
    await stage.boot()
    execution = await stage.start("scripted:story", "look")
    await shelf.asked.wait()
    shelf.silent = False
    shelf.die()
    state = await stage.until(execution, lambda state: phases(state).get("shop") == "failed")
    assert "it fell over" in state.mcp.servers[0].failure
    stage.clock.advance(1)
    await stage.until(execution, lambda state: state.phase == "WAITING_FOR_INPUT")
    log = await stage.log(execution)
    await stage.kill()
    assert results(log)[0][0] == "failed"
    assert "fell over" in results(log)[0][1]
    assert len({site.operation.id for site in stage.toolshed.sites}) == len(stage.toolshed.sites)


async def test_a_call_that_gets_no_answer_fails_at_its_timeout():
    stage = stage_with(calling(LOOK), Step(text="Done."))
    shelf = stage.toolshed.add("shop", timeout=0.05)
    shelf.silent = True
    log = await whole(stage)
    assert results(log)[0][0] == "failed"
    assert "no answer in 0.05 s" in results(log)[0][1]


async def test_a_stop_ends_a_call_and_the_servers_and_says_so():
    stage = stage_with(calling(CHANGE), Step(text="never"))
    shelf = stage.toolshed.add("shop")
    shelf.silent = True
    await stage.boot()
    execution = await stage.start("scripted:story", "look")
    await shelf.asked.wait()
    await stage.stop(execution)
    state = await stage.rest(execution)
    assert (state.phase, phases(state)) == ("STOPPED", {"shop": "unavailable"})
    assert shelf.sessions[0].gone.is_set()
    log = await stage.log(execution)
    await stage.kill()
    check(log)
    assert results(log)[0][0] == "cancelled"


async def test_servers_go_on_between_turns_and_are_closed_after_a_while():
    stage = stage_with(calling(LOOK), Step(text="One."), calling(LOOK), Step(text="Two."))
    shelf = stage.toolshed.add("shop")
    await stage.boot()
    execution = await stage.start("scripted:story", "look")
    await stage.until(execution, lambda state: state.phase == "WAITING_FOR_INPUT")
    shelf.tools = (*shelf.tools, McpTool("more"))
    await stage.send(execution, "again")
    state = await stage.until(execution, lambda state: state.phase == "WAITING_FOR_INPUT" and state.turn == 2)
    assert len(shelf.sessions) == 1
    assert shelf.sessions[0].operation.fence > stage.toolshed.sites[0].operation.fence
    assert state.mcp.servers[0].tools == ("look", "change", "more")
    stage.clock.advance(mcp_plan.LINGER + 1)
    state = await stage.rest(execution)
    assert phases(state) == {"shop": "unavailable"}
    assert shelf.sessions[0].gone.is_set()
    await stage.kill()


async def test_a_call_in_flight_over_a_restart_is_unknown_and_not_made_again():
    stage = stage_with(calling(CHANGE), Step(text="Done."))
    shelf = stage.toolshed.add("shop")
    shelf.silent = True
    await stage.boot()
    execution = await stage.start("scripted:story", "look")
    await shelf.asked.wait()
    await stage.restart()
    shelf.silent = False
    await stage.until(execution, lambda state: state.phase == "WAITING_FOR_INPUT")
    log = await stage.log(execution)
    await stage.kill()
    check(log)
    assert [outcome for outcome, _ in results(log)] == ["unknown"]
    assert len(shelf.calls) == 1


def essence(log: Sequence[Recorded]) -> Counter[str]:
    again = (ev.TurnAdopted, ev.EnvironmentReady, ev.ModelCallCut, m.McpChanged)
    return Counter(type(r.event).__name__ for r in log if not isinstance(r.event, again))


def crashing() -> Stage:
    stage = stage_with(calling(LOOK), calling(CHANGE), Step(text="Done."))
    stage.toolshed.add("shop")
    return stage


async def rested(stage: Stage) -> Sequence[Recorded]:
    """Tell the story to its end, with a hand on the clock that lets servers that rest be closed."""
    moving = asyncio.create_task(_move(stage))
    try:
        return await tell(stage)
    finally:
        moving.cancel()


async def _move(stage: Stage) -> None:
    while True:
        stage.clock.advance(mcp_plan.LINGER)
        await asyncio.sleep(0)


async def test_the_story_survives_a_crash_at_every_commit():
    stage = crashing()
    await stage.boot()
    expected = essence(await rested(stage))
    commits = len(stage.commits)
    await stage.kill()
    assert commits > 10
    for way in ("die_before", "die_after"):
        for number in range(1, commits + 1):
            stage = crashing()
            before = way == "die_before"
            await stage.boot(
                Link(stage.executions, die_before=number if before else 0, die_after=0 if before else number)
            )
            log = await rested(stage)
            await stage.kill()
            check(log)
            assert essence(log) == expected, (way, number)
            shelf = stage.toolshed.shelf("shop")
            assert [name for name, _ in shelf.calls] in (["look", "change"], ["look"], ["change"], []), (way, number)
            assert len({site.operation.id for site in stage.toolshed.sites}) == len(stage.toolshed.sites)
            last = next(r.event for r in reversed(log) if isinstance(r.event, m.McpChanged))
            assert [one.phase for one in last.servers] == ["unavailable"], (way, number)


async def test_memory_thrown_away_after_every_append_changes_nothing():
    expected = crashing()
    await expected.boot()
    log = await rested(expected)
    await expected.kill()
    stage = crashing()
    stage.worker = Forgetful
    await stage.boot()
    assert essence(await rested(stage)) == essence(log)
    await stage.kill()


async def resident(stage: Stage) -> Sequence[Recorded]:
    """Tell a story of an agent that lives inside to its end, whatever dies on the way, and return its log."""
    stage.world.machine.script = (("do", "make"), ("say", "Done."))
    stage.toolshed.add("shop")
    stage.toolshed.add("wild", deny=("a*",))
    try:
        execution = await stage.start("scripted:none", "go", driver="resident")
    except Died:
        execution = (await stage.executions.find(ExecutionQuery(), limit=1))[0].id
        await stage.restart()
        if not (await stage.state(execution)).inputs:
            await stage.send(execution, "go")
    waits = asyncio.create_task(stage.until(execution, lambda s: s.phase == "WAITING_FOR_INPUT" and s.turn > 0))
    dead = asyncio.create_task(stage.server.link.dead.wait())
    await asyncio.wait({waits, dead}, return_when=asyncio.FIRST_COMPLETED)
    if not waits.done():
        await stage.restart()
    await waits
    dead.cancel()
    return await stage.log(execution)


async def test_an_agent_that_lives_inside_is_given_servers_also_when_the_server_dies():
    stage = stage_with()
    await stage.boot()
    log = await resident(stage)
    commits = len(stage.commits)
    await stage.kill()
    (told,) = [r.event for r in log if isinstance(r.event, m.McpChanged)]
    assert [(one.id, one.phase) for one in told.servers] == [("shop", "initializing"), ("wild", "failed")]
    assert "no patterns" in told.servers[1].failure
    for way in ("die_before", "die_after"):
        for number in range(1, commits + 1):
            stage = stage_with()
            before = way == "die_before"
            link = Link(stage.executions, die_before=number if before else 0, die_after=0 if before else number)
            await stage.boot(link)
            log = await resident(stage)
            await stage.kill()
            assert [r.seq for r in log] == list(range(1, len(log) + 1))
            assert any(isinstance(r.event, m.McpChanged) for r in log), (way, number)


async def test_planning_offers_and_calls_what_only_reads():
    asked: list[list[str]] = []

    def plan(request: ModelRequest) -> Step:
        asked.append([tool.name for tool in request.tools if tool.name.startswith("mcp__")])
        done = any(isinstance(message, UserMessage) and message.results for message in request.messages)
        return Step(text="Done.") if done else calling(CHANGE)

    stage = Stage(Registry({}, plans={"story": plan}))
    shelf = stage.toolshed.add("shop")
    await stage.boot()
    execution = await stage.start("scripted:story")
    text = "/ona:planning look at it"
    await stage.server.desk.command(
        execution, Send(stage.clock.new_id(), said(text, "i").block, "d", modes=("planning",))
    )
    await stage.until(execution, lambda state: state.phase == "WAITING_FOR_INPUT" and state.iterations == 2)
    log = await stage.log(execution)
    await stage.kill()
    assert asked[0] == [LOOK]
    assert results(log)[0][0] == "failed"
    assert not shelf.calls


async def test_tools_that_have_changed_are_listed_again_in_the_running_turn():
    stage = stage_with(calling(LOOK), calling("mcp__shop__more"), Step(text="Done."))
    shelf = stage.toolshed.add("shop")
    shelf.silent = True
    await stage.boot()
    execution = await stage.start("scripted:story", "look")
    await shelf.asked.wait()
    shelf.silent = False
    shelf.tools = (*shelf.tools, McpTool("more"))
    shelf.sessions[0].stale.set()
    await stage.until(execution, lambda state: "more" in state.mcp.servers[0].tools)
    shelf.die()
    await stage.until(execution, lambda state: phases(state)["shop"] == "failed")
    stage.clock.advance(1)
    await stage.until(execution, lambda state: state.phase == "WAITING_FOR_INPUT")
    await stage.kill()


async def test_a_server_that_does_not_answer_a_ping_is_started_again():
    stage = stage_with(calling(LOOK), Step(text="Done."))
    shelf = stage.toolshed.add("shop")
    await stage.boot()
    execution = await stage.start("scripted:story", "look")
    await stage.until(execution, lambda state: state.phase == "WAITING_FOR_INPUT")
    shelf.deaf = True
    stage.clock.advance(31)
    async with asyncio.timeout(20):
        await shelf.sessions[0].gone.wait()
    await stage.kill()
