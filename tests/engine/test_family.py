"""Sub-agents in stories: they are started, report, are stopped with their parent, and none of it is lost in a crash."""

import asyncio

import pytest

from hostler.core import events as ev
from hostler.core import family_events as m
from hostler.core.commands import Delete
from hostler.core.events import Limits
from hostler.core.family import child_id
from hostler.models.script import Call, Rule, Step
from hostler.testing.link import Link
from hostler.testing.stage import Stage
from tests.engine.families import DIG, HEARD, boss, events, heard, rows, settled, spawn, stage_of, through
from tests.engine.test_crashes import check

STOP_WAITS = Rule(match="^hold", steps=(Step(calls=(Call("bash", {"command": "hold"}),)), Step(text="held")))
DEEP = Rule(
    match="^deep", steps=(Step(calls=(spawn("below", "hold"),)), Step(calls=(Call("bash", {"command": "hold"}),)))
)


def holding(stage: Stage) -> asyncio.Event:
    """Let every `hold` of the world wait for what is returned."""
    gate = asyncio.Event()

    async def shell(line: str) -> tuple[int, str]:
        if line == "hold":
            await gate.wait()
        return 0, ""

    stage.world.machine.shell = shell
    return gate


async def test_a_sub_agent_works_and_its_last_message_wakes_its_parent():
    stage = stage_of(HEARD, DIG, boss(spawn("digger", "dig here")))
    await stage.boot()
    parent = await stage.start("scripted:story", "lead")
    state = await stage.until(parent, lambda s: s.turn >= 2 and s.phase == "WAITING_FOR_INPUT")
    (child,) = state.family.children
    assert child.execution == child_id(parent, child.call_id, child.since)
    assert child.doing == "resting"
    assert child.used.iterations == 2
    log = await stage.log(parent)
    (said,) = [e for e in events(log, ev.InputQueued) if e.origin == "agent"]
    assert said.block == {
        "type": "TYPE_COMPLETE",
        "payload": "I found gold.",
        "role": "ROLE_CHILD",
        "senderExecutionId": child.execution,
    }
    assert events(log, ev.ModelReplied)[-1].parts[0].text == "digger is done."
    below = await stage.state(child.execution)
    assert below.begun.parent == ev.Parent(parent, child.call_id, 1)
    assert below.annotations["hostler/parent"] == parent
    assert below.begun.session_id == state.begun.session_id
    assert below.environment.id == state.environment.id
    await stage.kill()


async def family_story(stage: Stage) -> None:
    """Two sub-agents are started in one step, and both come to rest."""

    async def start() -> None:
        known = [
            row for row in await rows(stage) if "hostler/parent" not in row.view["metadata"].get("annotations", {})
        ]
        parent = known[0].id if known else await stage.start("scripted:story")
        if not (await stage.state(parent)).inputs:
            await stage.send(parent, "lead")

    await through(stage, start)


def two() -> Stage:
    return stage_of(HEARD, DIG, boss(spawn("one", "dig here"), spawn("two", "dig there", environment="new")))


async def check_two(stage: Stage) -> None:
    everybody = await rows(stage)
    logs = {row.id: await stage.log(row.id) for row in everybody}
    for log in logs.values():
        check(log)
    (parent,) = [id_ for id_, log in logs.items() if log[0].event.parent is None]
    state = await stage.state(parent)
    assert [(c.name, c.doing, c.live, c.used.iterations) for c in state.family.children] == [
        ("one", "resting", False, 2),
        ("two", "resting", False, 2),
    ]
    assert sorted(logs) == sorted([parent, *(c.execution for c in state.family.children)])
    assert heard(logs[parent]) == ["I found gold."] * 2
    assert len(events(logs[parent], m.SubAgentReported)) == 2
    for child in state.family.children:
        assert heard(logs[child.execution]) == ["dig here" if child.name == "one" else "dig there"]
        assert len(events(logs[child.execution], m.ParentNotified)) == 1


async def test_two_sub_agents_survive_a_crash_at_every_commit():
    stage = two()
    await stage.boot()
    await family_story(stage)
    await check_two(stage)
    commits = len(stage.commits)
    await stage.kill()
    for way in ("die_before", "die_after"):
        for number in range(1, commits + 1):
            stage = two()
            await stage.boot(Link(stage.executions, **{way: number}))
            await family_story(stage)
            await check_two(stage)
            await stage.kill()


def three() -> Stage:
    return stage_of(HEARD, STOP_WAITS, DEEP, boss(spawn("middle", "deep", budget={"subagents": 1})))


@pytest.mark.parametrize("way", ["", "die_before", "die_after"])
async def test_a_stop_reaches_the_whole_tree_whenever_the_server_dies(way: str):
    number, commits = 0, 1
    while number < commits:
        number += 1
        stage = three()
        holding(stage)
        await stage.boot()
        parent = await stage.start("scripted:story", "lead")
        async with stage.executions.watch() as watch:
            while len([r for r in await rows(stage) if (await stage.state(r.id)).tools]) < 2:
                await watch.changed(20)
        before = len(stage.commits)
        await stage.kill()
        await stage.boot(Link(stage.executions, **{way: number} if way else {}))
        await through(stage, lambda stage=stage, parent=parent: stage.stop(parent))
        commits = max(commits, len(stage.commits) - before) if way else 1
        everybody = await rows(stage)
        assert len(everybody) == 3
        assert {row.phase for row in everybody} == {"STOPPED"}
        for row in everybody:
            log = await stage.log(row.id)
            check(log)
            children = (await stage.state(row.id)).family.children
            assert all(c.doing == "stopped" and not c.stop and not c.live for c in children)
            assert len(events(log, ev.Stopped)) == 1
        assert heard(await stage.log(parent)) == []
        await stage.kill()


async def test_a_parent_that_is_removed_takes_its_tree_along():
    stage = three()
    holding(stage)
    await stage.boot()
    parent = await stage.start("scripted:story", "lead")
    async with stage.executions.watch() as watch:
        while len(await rows(stage)) < 3:
            await watch.changed(20)
    known = [row.id for row in await rows(stage)]
    await stage.command(parent, Delete())
    async with stage.executions.watch() as watch:
        while any([await stage.executions.row(one) for one in known]):
            await watch.changed(20)
    await stage.kill()


async def test_a_sub_agent_that_is_stopped_leaves_its_parent_and_the_others_alone():
    ending = Rule(
        match="^end",
        steps=(Step(calls=(Call("stop_agent", {"agent": "one"}), Call("bash", {"command": "mine"}))), Step(text="ok")),
    )
    stage = stage_of(HEARD, STOP_WAITS, ending, boss(spawn("one", "hold"), spawn("two", "hold")))
    holding(stage)
    await stage.boot()
    parent = await stage.start("scripted:story", "lead")
    state = await stage.until(parent, lambda s: s.phase == "WAITING_FOR_INPUT" and len(s.family.children) == 2)
    one, two_ = state.family.children
    await stage.until(two_.execution, lambda s: bool(s.tools))
    await stage.send(parent, "end it")
    state = await stage.until(
        parent, lambda s: s.family.children[0].doing == "stopped" and s.phase == "WAITING_FOR_INPUT"
    )
    assert (await stage.state(one.execution)).phase == "STOPPED"
    assert (await stage.state(two_.execution)).phase == "RUNNING"
    assert {execution for execution, _ in stage.world.kills} == {one.execution}
    assert heard(await stage.log(parent)) == []  # Its own stop is no news to it.
    await stage.kill()


async def test_messages_go_both_ways_and_a_last_one_lets_the_sub_agent_end():
    asking = Rule(
        match="^ask",
        steps=(Step(calls=(Call("message_agent", {"to": "parent", "message": "which one?"}),)), Step(text=".")),
    )
    telling = Rule(
        match="which one",
        steps=(
            Step(calls=(Call("message_agent", {"to": "asker", "message": "the left", "last": True}),)),
            Step(text="told"),
        ),
    )
    left = Rule(match="the left", steps=(Step(text="Left it is."),))
    stage = stage_of(HEARD, asking, telling, left, boss(spawn("asker", "ask")))
    await stage.boot()
    parent = await stage.start("scripted:story", "lead")
    state = await stage.until(parent, lambda s: bool(s.family.children) and s.family.children[0].doing == "stopped")
    child = state.family.children[0].execution
    await settled(stage)
    below = await stage.state(child)
    assert below.phase == "STOPPED"
    assert below.failure is None
    told = [e.block for e in events(await stage.log(child), ev.InputQueued)]
    assert [(one["role"], one["type"]) for one in told] == [
        ("ROLE_PARENT", "TYPE_UPDATE"),
        ("ROLE_PARENT", "TYPE_COMPLETE"),
    ]
    assert told[1]["senderExecutionId"] == parent
    assert heard(await stage.log(parent))[0] == "which one?"
    await stage.kill()


async def test_sub_agents_started_in_one_step_do_not_overdraw_the_budget_and_depth_and_number_are_capped():
    calls = [spawn(f"n{i}", "hold", budget={"iterations": 4}) for i in range(4)]
    stage = stage_of(HEARD, STOP_WAITS, boss(*calls))
    holding(stage)
    await stage.boot()
    parent = await stage.start("scripted:story", "lead", Limits(max_iterations=12, max_subagents=3))
    state = await stage.until(parent, lambda s: len(s.family.children) == 3 and not s.tools)
    shares = [c.share.iterations for c in state.family.children]
    assert shares == [4, 4, 2]
    results = events(await stage.log(parent), ev.ToolFinished)
    assert results[3].outcome == "failed"
    assert "max_subagents" in results[3].text
    await stage.kill()


async def test_a_sub_agent_that_is_spoken_to_after_its_report_gets_a_new_share_or_is_told_that_nothing_is_left():
    more = Rule(match="^more", steps=(Step(text="More."),))
    stage = stage_of(HEARD, DIG, more, boss(spawn("digger", "dig", budget={"iterations": 3})))
    await stage.boot()
    parent = await stage.start("scripted:story", "lead", Limits(max_iterations=8))
    state = await stage.until(parent, lambda s: s.turn == 2 and s.phase == "WAITING_FOR_INPUT")
    child = state.family.children[0]
    assert (child.used.iterations, child.live) == (2, False)
    await settled(stage)
    turns = 0
    while (below := await stage.state(child.execution)).phase != "STOPPED":
        await stage.send(child.execution, "more of it")
        turns += 1
        await settled(stage)
        assert turns < 8
    assert below.failure is not None
    assert "nothing left" in below.failure.message or "limit" in below.failure.message
    whole = (await stage.state(parent)).iterations + below.iterations
    assert whole <= 8
    await stage.kill()


async def test_the_same_message_passed_again_and_again_is_stopped_and_asked_about():
    ping = Rule(match="ping", steps=(Step(calls=(Call("message_agent", {"to": "parent", "message": "pong"}),)), Step()))
    pong = Rule(match="pong", steps=(Step(calls=(Call("message_agent", {"to": "it", "message": "ping"}),)), Step()))
    stage = stage_of(Rule(match="nothing left", steps=(Step(text="."),)), ping, pong, boss(spawn("it", "ping")))
    await stage.boot()
    parent = await stage.start("scripted:story", "lead")
    state = await stage.until(parent, lambda s: bool(s.family.children) and bool(s.family.children[0].execution))
    child = state.family.children[0].execution
    both = (parent, child)
    async with stage.executions.watch() as watch:
        while not any([(await stage.state(one)).external.asks for one in both]):
            await watch.changed(20)
    await settled(stage)
    states = [await stage.state(one) for one in both]
    asked = [state.external.asks[0].questions[0].text for state in states if state.external.asks]
    assert "times in a row" in asked[0]
    assert sum(state.iterations for state in states) < 60
    await stage.kill()


async def test_a_wait_for_a_sub_agent_ends_with_its_report_alone():
    waits = Rule(
        match="^lead",
        steps=(
            Step(calls=(spawn("digger", "dig"),)),
            Step(calls=(Call("wait", {"sub_agents": ["digger"]}),)),
            Step(text="?"),
        ),
    )
    stage = stage_of(HEARD, DIG, waits)
    await stage.boot()
    parent = await stage.start("scripted:story", "lead")
    await stage.until(parent, lambda s: s.turn >= 2 or (s.iterations >= 3 and s.phase == "WAITING_FOR_INPUT"))
    await settled(stage)
    state = await stage.state(parent)
    log = await stage.log(parent)
    assert not state.interests.open
    assert [e.origin for e in events(log, ev.InputQueued)] == ["user", "agent"]
    await stage.kill()


async def test_a_sub_agent_begins_in_the_mode_that_its_parent_chose():
    stage = stage_of(HEARD, DIG, boss(spawn("digger", "dig", mode="planning")))
    await stage.boot()
    parent = await stage.start("scripted:story", "lead")
    state = await stage.until(parent, lambda s: s.turn >= 2 and s.phase == "WAITING_FOR_INPUT")
    below = await stage.state(state.family.children[0].execution)
    assert below.modes.mode == "planning"
    await stage.kill()


def again_stage() -> Stage:
    more = Rule(match="more", steps=(Step(text="More gold."),))
    again = Rule(
        match="^again",
        steps=(Step(calls=(Call("message_agent", {"to": "digger", "message": "more"}),)), Step(text="ok")),
    )
    return stage_of(HEARD, DIG, more, again, boss(spawn("digger", "dig", budget={"iterations": 4})))


async def again_story(stage: Stage) -> tuple[str, str]:
    """A sub-agent that has reported is sent a message, and goes on with a new share."""

    async def start() -> None:
        known = [row for row in await rows(stage) if not row.view["metadata"].get("annotations")]
        parent = known[0].id if known else await stage.start("scripted:story", "", Limits(max_iterations=14))
        if not (await stage.state(parent)).inputs:
            await stage.send(parent, "lead")

    await through(stage, start)
    parent = next(row.id for row in await rows(stage) if not row.view["metadata"].get("annotations"))
    await through(stage, lambda: stage.send(parent, "again", "00000000-0000-4000-8000-000000000001"))
    (child,) = (await stage.state(parent)).family.children
    return parent, child.execution


@pytest.mark.parametrize("way", ["die_before", "die_after"])
async def test_a_message_and_the_share_to_go_on_with_survive_a_crash_at_every_commit(way: str):
    number, commits = 0, 1
    while number < commits:
        number += 1
        stage = again_stage()
        await stage.boot(Link(stage.executions, **{way: number}))
        parent, child = await again_story(stage)
        commits = max(commits, len(stage.commits))
        assert heard(await stage.log(child)) == ["dig", "more"], number
        assert heard(await stage.log(parent)) == ["I found gold.", "More gold."], number
        above, below = await stage.state(parent), await stage.state(child)
        (known,) = above.family.children
        assert (known.grant, known.live, known.used.iterations) == (1, False, 3), number
        assert below.family.grant == 1
        assert below.iterations == 3
        check(await stage.log(parent))
        check(await stage.log(child))
        await stage.kill()


async def test_a_parent_whose_budget_is_all_set_aside_waits_until_some_of_it_is_back():
    calls = [spawn(f"n{i}", "dig", budget={"iterations": 5}) for i in range(2)]
    stage = stage_of(
        HEARD,
        Rule(match="^dig", steps=(Step(calls=(Call("bash", {"command": "hold"}),)), Step(text="Dug."))),
        boss(*calls),
    )
    gate = holding(stage)
    await stage.boot()
    parent = await stage.start("scripted:story", "lead", Limits(max_iterations=10))
    state = await stage.until(parent, lambda s: s.iterations == 2 and s.phase == "WAITING_FOR_INPUT")
    assert [c.share.iterations for c in state.family.children] == [5, 3]
    await stage.send(parent, "hello")
    await stage.until(parent, lambda s: s.turn == 2 and s.environment.ready)
    await stage.restart()
    state = await stage.until(parent, lambda s: bool(s.session == "life-2") and s.environment.ready)
    assert (state.phase, state.iterations) == ("RUNNING", 2)
    gate.set()
    await settled(stage)
    state = await stage.state(parent)
    assert state.phase == "WAITING_FOR_INPUT"
    assert [c.used.iterations for c in state.family.children] == [2, 2]
    await stage.kill()


async def test_a_share_of_cost_needs_a_price_and_what_was_set_aside_for_a_refused_sub_agent_is_free_again():
    stage = stage_of(HEARD, DIG, boss(spawn("digger", "dig"), spawn("other", "dig", agent="nobody")))
    await stage.boot()
    parent = await stage.start("scripted:story", "lead", Limits(max_cost=1.0, max_iterations=50))
    state = await stage.rest(parent)
    results = [e.text for e in events(await stage.log(parent), ev.ToolFinished)]
    assert "price" in results[0]
    assert "no agent 'nobody'" in results[1]
    assert state.family.children == ()
    assert len(await rows(stage)) == 1
    await stage.kill()


async def test_who_waits_for_what_a_sub_agent_has_set_aside_leaves_it_the_only_slot():
    steps = Step(calls=(spawn("digger", "dig", budget={"iterations": 3}),)), Step(calls=(Call("todo", {"todos": []}),))
    stage = stage_of(HEARD, DIG, Rule(match="^lead", steps=(*steps, Step(text="Started."))), slots=1)
    await stage.boot()
    parent = await stage.start("scripted:story", "lead", Limits(max_iterations=4))
    await stage.until(parent, lambda state: bool(state.family.children) and not state.family.children[0].live)
    await settled(stage)
    assert heard(await stage.log(parent)) == ["I found gold."]
    await stage.kill()
