"""What a run is judged by: conditions, required outputs, a judge that reads receipts; cut at every commit."""

from collections.abc import Sequence

import pytest

from hostler.core import events as ev
from hostler.core import judging_events as m
from hostler.core.commands import ReportOutputs, SetTerms
from hostler.core.conversation import ModelRequest
from hostler.core.desk import NewEnvironment, NewExecution
from hostler.core.events import Agent, Limits, Recorded
from hostler.core.judging_events import Condition, OutputRule
from hostler.core.ports import ExecutionQuery
from hostler.core.providers import Scratch
from hostler.models.script import Call, Step
from hostler.projections.calls import calls, total
from hostler.projections.status import status
from hostler.testing.link import Died, Link
from hostler.testing.stage import SOMEBODY, Stage
from hostler.tools.registry import INSIDE, TOOLS
from tests.engine.stories import live_on
from tests.engine.test_crashes import check, essence
from tests.engine.test_modes import Playing, answered, events, stage_with, words

GREEN = Condition("green", "outputs.green == true", "the tests are green")


async def start(stage: Stage, **terms: object) -> str:
    agent = Agent("agent", "stage", "builtin", "scripted:story", tools=tuple(TOOLS), tools_inside=INSIDE, **terms)  # pyright: ignore[reportArgumentType]
    new = NewExecution({}, agent, NewEnvironment("class", Scratch()), SOMEBODY, "session", name="story")
    return await stage.server.desk.start(new)


async def told(plan: Playing, **terms: object) -> tuple[Stage, str]:
    stage = stage_with(plan)
    await stage.boot()
    execution = await start(stage, **terms)
    await stage.send(execution, "make it green", "i-1")
    await stage.rest(execution)
    return stage, execution


def third_time(asked: ModelRequest) -> Step:
    """Set the output only when it was told twice that it is not done."""
    if "You judge" in asked.system:
        return Step(text="Done, as far as the receipts show.")
    if answered(asked):
        return Step(text="Done, I say.")
    if words(asked).count("You are not done") >= 2:
        return Step(calls=(Call("add_agent_execution_result", {"key": "green", "value": True}),))
    return Step(calls=(Call("write", {"path": f"f{words(asked).count('You are not done')}", "content": "x"}),))


def never(asked: ModelRequest) -> Step:
    return Step(text="Done, I say.")


async def test_an_unmet_condition_wakes_the_agent_with_its_reason_until_it_is_met():
    stage, execution = await told(third_time, conditions=(GREEN,))
    log, state = await stage.log(execution), await stage.state(execution)
    woken = [r.event for r in log if isinstance(r.event, ev.InputQueued) and r.event.origin == "wake"]
    assert len(woken) == 2
    unmet = woken[-1].block["loopRetrigger"]["unmetConditions"][0]
    assert (unmet["id"], unmet["iteration"], unmet["maxIterations"]) == ("green", 2, 10)
    assert "green" in unmet["reason"]
    [result] = status(state)["loopConditionResults"]
    assert (result["conditionId"], result["met"], result["iteration"]) == ("green", True, 3)
    assert state.phase == "WAITING_FOR_INPUT"
    await stage.kill()


async def test_a_condition_that_is_never_met_is_stopped_by_the_breaker_or_its_cap():
    stage, execution = await told(never, conditions=(GREEN,))
    state = await stage.state(execution)
    assert state.phase == "WAITING_FOR_INPUT"
    assert state.modes.stuck
    assert not status(state)["loopConditionResults"][0]["met"]
    await stage.kill()
    stage, execution = await told(never, conditions=(Condition("g", "outputs.green == true", "", 1),))
    rounds = [r for r in await stage.log(execution) if isinstance(r.event, ev.InputQueued) and r.event.origin == "wake"]
    assert len(rounds) == 1
    await stage.kill()


async def test_outputs_reported_from_outside_meet_a_condition_that_was_set_later():
    stage, execution = await told(never)
    await stage.command(execution, SetTerms((GREEN,), {"max_iterations": 9}))
    await stage.command(execution, ReportOutputs({"green": True}))
    await stage.send(execution, "again", "i-2")
    state = await stage.rest(execution)
    assert status(state)["loopConditionResults"][0]["met"]
    assert state.limits.max_iterations == 9
    await stage.kill()


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        (OutputRule("verdict"), "verdict: it is not set"),
        (OutputRule("green", "string"), "green: it must be of type string"),
        (OutputRule("green", "boolean", "value == false"), "green: value == false must hold, but it is false"),
    ],
)
async def test_a_run_without_its_required_outputs_is_not_done(rule: OutputRule, why: str):
    def plan(asked: ModelRequest) -> Step:
        if answered(asked):
            return Step(text="Done, I say.")
        return Step(calls=(Call("add_agent_execution_result", {"key": "green", "value": True}),))

    stage, execution = await told(plan, requires=(rule,))
    log, state = await stage.log(execution), await stage.state(execution)
    reminders = [r.event for r in log if isinstance(r.event, ev.InputQueued) and r.event.origin == "harness"]
    assert len(reminders) == 3 or state.modes.stuck
    assert why in str(reminders[0].block)
    assert state.phase in ("STOPPED", "WAITING_FOR_INPUT")
    if state.phase == "STOPPED":
        assert state.failure is not None
        assert why in state.failure.message
    await stage.kill()


async def test_the_judge_reads_receipts_and_its_calls_are_counted():
    seen: list[ModelRequest] = []

    def plan(asked: ModelRequest) -> Step:
        if "You judge" in asked.system:
            seen.append(asked)
            return Step(text="Not shown: no check ran.")
        if answered(asked):
            return Step(text="All the tests pass, believe me.")
        return Step(calls=(Call("write", {"path": "a", "content": "1"}),))

    stage, execution = await told(plan, judgement_prompt="Be strict.")
    log, state = await stage.log(execution), await stage.state(execution)
    [asked] = seen
    assert "Be strict." in asked.system
    assert "make it green" in words(asked)
    assert '"a"' in words(asked)
    assert "believe me" not in words(asked)
    assert status(state)["judgement"] == "Not shown: no check ran."
    assert total(calls(log)) == state.usage
    assert len(calls(log)) == state.iterations == 3
    await stage.kill()


async def test_a_judge_that_cannot_be_asked_is_a_warning_and_nothing_more():
    stage, execution = await told(never, judgement_prompt="Judge.", judgement_model="nobody:nothing")
    state = await stage.state(execution)
    assert state.phase == "WAITING_FOR_INPUT"
    assert "there is no verdict" in status(state)["warningMessage"]
    await stage.kill()


async def test_a_price_makes_a_cost_and_a_limit_of_it_ends_the_run():
    prices = {"scripted:story": (1000.0, 0.0, 0.0, 0.0)}
    stage, execution = await told(never, prices=prices, conditions=(GREEN,), limits=Limits(max_cost=0.000001))
    state = await stage.state(execution)
    assert state.phase == "STOPPED"
    assert state.failure is not None
    assert state.failure.limit == "max_cost"
    await stage.kill()


async def test_a_story_with_conditions_and_a_judge_survives_a_crash_at_every_commit():
    async def play(stage: Stage) -> Sequence[Recorded]:
        try:
            execution = await start(stage, conditions=(GREEN,), judgement_prompt="Judge.")
            await stage.send(execution, "make it green", "i-1")
        except Died:
            execution = (await stage.executions.find(ExecutionQuery(), limit=1))[0].id
            await stage.restart()
            await stage.send(execution, "make it green", "i-1")
        return await live_on(stage, execution)

    whole = stage_with(third_time)
    await whole.boot()
    expected = essence(await play(whole))
    commits = whole.server.link.appends
    await whole.kill()
    assert expected["Judged"] == 1
    assert expected["ConditionsEvaluated"] == 3
    for way in ("die_before", "die_after"):
        for number in range(1, commits + 1):
            stage = stage_with(third_time)
            await stage.boot(Link(stage.executions, **{way: number}))  # pyright: ignore[reportArgumentType]
            log = await play(stage)
            await stage.kill()
            check(log)
            assert essence(log) == expected, (way, number)
            assert len(events(log, m.Judged)) == 1
