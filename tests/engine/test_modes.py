"""Modes that change what an agent may do, and those that go on by themselves: stories, cut at every commit."""

from collections.abc import Callable, Sequence

import pytest

from hostler.core import agent_events as ae
from hostler.core import events as ev
from hostler.core import modes_events as m
from hostler.core.agents import GoalAction, GoalChange
from hostler.core.commands import ChangeGoal, Command, Send
from hostler.core.conversation import ModelRequest, Text, UserMessage
from hostler.core.errors import FailedPrecondition
from hostler.core.events import Limits, Recorded
from hostler.core.memory_events import ContextCleared
from hostler.core.modes import GO_ON, STOP_HERE
from hostler.core.modes_plan import PLAN, SPEC
from hostler.core.ports import ExecutionQuery
from hostler.models.registry import Registry
from hostler.models.script import Call, Step
from hostler.projections.blocks import frames
from hostler.projections.status import status
from hostler.testing.link import Died, Link
from hostler.testing.stage import Stage, said
from tests.engine.stories import Forgetful, live_on
from tests.engine.test_crashes import check, essence

Playing = Callable[[ModelRequest], Step]


def stage_with(plan: Playing, **fields: object) -> Stage:
    return Stage(Registry({}, plans={"story": plan}), **fields)  # pyright: ignore[reportArgumentType]


def words(asked: ModelRequest) -> str:
    return "\n".join(part.text for msg in asked.messages for part in msg.parts if isinstance(part, Text))


def answered(asked: ModelRequest) -> int:
    """Return how many calls of the last message have results."""
    last = asked.messages[-1]
    return len(last.results) if isinstance(last, UserMessage) else 0


def ralph(asked: ModelRequest) -> Step:
    """Make a plan of two steps, then do and tick off one a round."""
    if answered(asked):
        return Step(text="That is done.")
    if "you remember nothing" not in words(asked):
        return Step(calls=(Call("write", {"path": PLAN, "content": "- [ ] one\n- [ ] two\n"}),))
    name = "one" if "- [ ] one" in words(asked) else "two"
    return Step(calls=(Call("edit", {"path": PLAN, "old": f"- [ ] {name}", "new": f"- [x] {name}"}),))


def idle_ralph(asked: ModelRequest) -> Step:
    """Make a plan and never do anything about it."""
    if "you remember nothing" in words(asked) or answered(asked):
        return Step(text="I thought about it.")
    return Step(calls=(Call("write", {"path": PLAN, "content": "- [ ] one\n"}),))


def pursuer(asked: ModelRequest) -> Step:
    """Write another file each round; the goal is complete in the third."""
    rounds = words(asked).count("Go on towards the goal")
    if answered(asked):
        return Step(text=f"Round {rounds} is done.")
    if rounds >= 3:
        return Step(calls=(Call("goal", {"status": "complete", "reason": "three files are there"}),))
    return Step(calls=(Call("write", {"path": f"file-{rounds}", "content": str(rounds)}),))


def endless(asked: ModelRequest) -> Step:
    """Write another file each round, for ever."""
    rounds = words(asked).count("Go on towards the goal")
    return (
        Step(text="On.") if answered(asked) else Step(calls=(Call("write", {"path": f"f-{rounds}", "content": "1"}),))
    )


def in_mode(text: str, *modes: str, input_id: str = "i-1") -> Send:
    send = said(text, input_id)
    return Send(send.input_id, send.block, send.digest, modes=modes)


def goal(action: GoalAction = "set", objective: str = "", budget: int = 0, request: str = "g-1") -> ChangeGoal:
    return ChangeGoal(request, GoalChange(action, objective, token_budget=budget))


def events(log: Sequence[Recorded], kind: type[ev.Event]) -> list[ev.Event]:
    return [r.event for r in log if isinstance(r.event, kind)]


async def play(stage: Stage, command: Command) -> Sequence[Recorded]:
    """Tell a story that begins with a command to its end, in one life after another."""
    try:
        execution = await stage.start("scripted:story")
        await stage.command(execution, command)
    except Died:
        execution = (await stage.executions.find(ExecutionQuery(), limit=1))[0].id
        await stage.restart()
        state = await stage.state(execution)
        if not state.inputs and state.external.goal is None:
            await stage.command(execution, command)
    return await live_on(stage, execution)


async def told(plan: Playing, *commands: Command) -> tuple[Stage, str, Sequence[Recorded]]:
    stage = stage_with(plan)
    await stage.boot()
    execution = await stage.start("scripted:story")
    for command in commands:
        await stage.command(execution, command)
        await stage.rest(execution)
    return stage, execution, await stage.log(execution)


async def test_ralph_plans_and_goes_through_its_plan_in_rounds_that_remember_nothing_else():
    stage, execution, log = await told(ralph, in_mode("build it", "ralph"))
    states = [f.body["agentModeChange"]["state"] for f in frames("e", log) if "agentModeChange" in f.body]
    assert states == ["STATE_SPEC_COMPLETE", "STATE_ITERATION_COMPLETE", "STATE_COMPLETE"]
    assert len(events(log, ContextCleared)) == 2
    last = [r.event for r in log if isinstance(r.event, ev.InputQueued)][-1]
    assert last.origin == "harness"
    assert "build it" in str(last.block)
    assert "- [x] one" in str(last.block)
    assert stage.world.machine.files[PLAN] == b"- [x] one\n- [x] two\n"
    assert status(await stage.state(execution))["mode"] == "AGENT_MODE_EXECUTION"
    await stage.kill()


@pytest.mark.parametrize(
    ("plan", "command"),
    [
        (ralph, in_mode("build it", "ralph")),
        (pursuer, goal(objective="three files")),
        (idle_ralph, in_mode("x", "ralph")),
    ],
    ids=["ralph", "goal", "breaker"],
)
async def test_a_run_that_goes_on_by_itself_is_the_same_with_a_crash_at_every_commit(plan: Playing, command: Command):
    whole = stage_with(plan)
    await whole.boot()
    expected = essence(await play(whole, command))
    commits = whole.server.link.appends
    await whole.kill()
    assert commits > 10
    for way in ("die_before", "die_after"):
        for number in range(1, commits + 1):
            stage = stage_with(plan)
            before = number if way == "die_before" else 0
            await stage.boot(Link(stage.executions, die_before=before, die_after=number - before))
            log = await play(stage, command)
            await stage.kill()
            check(log)
            assert essence(log) == expected, (way, number)
            assert stage.world.machine.files == whole.world.machine.files


async def test_nothing_of_a_mode_is_in_memory_alone():
    whole, _, expected = await told(ralph, in_mode("build it", "ralph"))
    await whole.kill()
    stage = stage_with(ralph, worker=Forgetful)
    await stage.boot(Link(stage.executions, doubled=True))
    log = await play(stage, in_mode("build it", "ralph"))
    await stage.kill()
    assert essence(log) == essence(expected)


async def test_rounds_that_change_nothing_stop_and_ask_and_go_on_when_told_so():
    stage, execution, log = await told(idle_ralph, in_mode("build it", "ralph"))
    state = await stage.state(execution)
    assert state.phase == "WAITING_FOR_INPUT"
    [stuck] = events(log, m.NoProgress)
    assert isinstance(stuck, m.NoProgress)
    assert stuck.what == "same changes"
    assert [choice.label for choice in state.external.asks[0].questions[0].choices] == [GO_ON, STOP_HERE]
    await stage.send(execution, GO_ON)
    await stage.rest(execution)
    assert len(events(await stage.log(execution), m.NoProgress)) == 2
    await stage.send(execution, STOP_HERE)
    state = await stage.rest(execution)
    assert status(state)["mode"] == "AGENT_MODE_EXECUTION"
    assert not state.external.asks
    assert len(events(await stage.log(execution), m.NoProgress)) == 2
    await stage.kill()


async def test_a_goal_goes_on_until_it_is_complete_and_user_input_goes_first():
    stage = stage_with(pursuer)
    await stage.boot()
    execution = await stage.start("scripted:story")
    await stage.command(execution, goal(objective="three files"))
    await stage.send(execution, "and be quick", "u-1")
    state = await stage.rest(execution)
    assert state.external.goal is not None
    assert state.external.goal.status == "completed"
    log = await stage.log(execution)
    done = next(r.seq for r in log if r.event == ae.GoalChanged(state.external.goal))
    spent = [r.event.usage for r in log if r.seq < done and isinstance(r.event, ev.ModelReplied)]
    assert state.external.goal.tokens_used == sum(usage.whole_input + usage.output for usage in spent)
    taken = [i for r in log if isinstance(r.event, ev.InputTaken) for i in r.event.input_ids]
    assert taken.index("u-1") < 2
    with pytest.raises(FailedPrecondition):
        await stage.command(execution, goal("pause", request="g-2"))
    await stage.command(execution, goal("clear", request="g-3"))
    assert (await stage.state(execution)).external.goal is None
    await stage.kill()


async def test_a_goal_runs_out_of_budget_to_the_token():
    stage, execution, log = await told(endless, goal(objective="never", budget=2000))
    state = await stage.state(execution)
    assert state.phase == "WAITING_FOR_INPUT"
    assert state.external.goal is not None
    assert state.external.goal.status == "budget_exhausted"
    used = [r.event.usage.whole_input + r.event.usage.output for r in log if isinstance(r.event, ev.ModelReplied)]
    assert sum(used) == state.external.goal.tokens_used >= 2000 > sum(used[:-1])
    await stage.kill()


async def test_a_limit_and_a_stop_do_not_leave_a_goal_active():
    stage = stage_with(endless)
    await stage.boot()
    execution = await stage.start("scripted:story", limits=Limits(max_iterations=5))
    await stage.command(execution, goal(objective="never"))
    state = await stage.rest(execution)
    assert state.phase == "STOPPED"
    assert state.external.goal is not None
    assert state.external.goal.status == "usage_limited"
    other = await stage.start("scripted:story")
    await stage.command(other, goal(objective="never"))
    await stage.until(other, lambda state: state.iterations > 2)
    await stage.stop(other)
    state = await stage.rest(other)
    assert state.external.goal is not None
    assert state.external.goal.status == "paused"
    await stage.command(other, goal("resume", request="g-2"))
    await stage.until(other, lambda state: state.phase == "RUNNING")
    await stage.command(other, goal("pause", request="g-3"))
    state = await stage.rest(other)
    assert state.phase == "WAITING_FOR_INPUT"
    await stage.kill()


async def test_a_goal_that_is_blocked_waits_for_a_person():
    def blocked(asked: ModelRequest) -> Step:
        if answered(asked):
            return Step(text="I wait.")
        return Step(calls=(Call("goal", {"status": "blocked", "reason": "no key"}),))

    stage, execution, _ = await told(blocked, goal(objective="deploy"))
    state = await stage.state(execution)
    assert state.external.goal is not None
    assert state.external.goal.status == "blocked"
    assert status(state)["goal"]["status"] == "GOAL_STATUS_BLOCKED"
    await stage.kill()


async def test_planning_offers_nothing_that_changes_things_and_lasts_one_turn():
    seen: list[set[str]] = []

    def plan(asked: ModelRequest) -> Step:
        seen.append({tool.name for tool in asked.tools})
        if len(seen) == 1:
            return Step(calls=(Call("write", {"path": "a", "content": "1"}),))
        return Step(text="This is how.")

    stage, _, log = await told(plan, in_mode("how?", "planning"), said("do it", "i-2"))
    assert "write" not in seen[0]
    assert "bash" not in seen[0]  # The world in memory cannot keep a command from writing.
    assert "read" in seen[0]
    assert {"write", "bash"} <= seen[-1]
    [refused] = [r.event for r in log if isinstance(r.event, ev.ToolFinished)]
    assert refused.outcome == "failed"
    assert "a" not in stage.world.machine.files
    await stage.kill()


async def test_a_specification_is_written_before_anything_else():
    def plan(asked: ModelRequest) -> Step:
        match answered(asked), words(asked).count("Only .hostler"):
            case 0, _ if "spec is read" in words(asked):
                return Step(text="I begin.")
            case 0, _:
                return Step(
                    calls=(Call("write", {"path": "a", "content": "1"}), Call("write", {"path": SPEC, "content": "S"}))
                )
            case _:
                return Step(text="Read it.")

    stage, execution, log = await told(plan, in_mode("build it", "spec"), said("spec is read", "i-2"))
    assert set(stage.world.machine.files) == {SPEC}
    states = [f.body["agentModeChange"]["state"] for f in frames("e", log) if "agentModeChange" in f.body]
    assert states == ["STATE_ONA_SPEC_COMPLETE"]
    assert not events(log, ae.QuestionsAsked)
    assert status(await stage.state(execution))["mode"] == "AGENT_MODE_EXECUTION"
    await stage.kill()


async def test_a_paused_goal_leaves_a_person_answered_and_begins_nothing():
    stage = stage_with(endless)
    await stage.boot()
    execution = await stage.start("scripted:story")
    await stage.command(execution, goal(objective="never"))
    await stage.until(execution, lambda state: state.iterations > 2)
    await stage.command(execution, goal("pause", request="g-2"))
    await stage.rest(execution)
    before = len(await stage.log(execution))
    await stage.send(execution, "how far are you?", "u-1")
    state = await stage.rest(execution)
    assert state.phase == "WAITING_FOR_INPUT"
    assert state.external.goal is not None
    assert state.external.goal.status == "paused"
    later = (await stage.log(execution))[before:]
    assert [i for r in later if isinstance(r.event, ev.InputTaken) for i in r.event.input_ids] == ["u-1"]
    await stage.kill()
