"""Agents that live in the environment: the same promises, whoever is the agent."""

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest

from hostler.core import agent_events as ae
from hostler.core import events as ev
from hostler.core.agents import GoalChange
from hostler.core.commands import ChangeGoal, Compact, SteerInput
from hostler.core.errors import FailedPrecondition
from hostler.core.events import Recorded
from hostler.core.machines import Signalled
from hostler.core.ports import ExecutionQuery
from hostler.core.state import State
from hostler.models.registry import Registry
from hostler.testing.link import Died, Link
from hostler.testing.resident import Act
from hostler.testing.stage import Stage
from tests.engine.stories import Forgetful

STORY: tuple[Act, ...] = (("say", "I look."), ("do", "make test"), ("do", "mend"), ("say", "Done."))


def stage_of(*script: Act, **fields: object) -> Stage:
    stage = Stage(Registry({}), **fields)  # pyright: ignore[reportArgumentType]
    stage.world.machine.script = script or STORY
    return stage


async def begin(stage: Stage, task: str = "mend it") -> str:
    return await stage.start("scripted:none", task, driver="resident")


def idle(state: State) -> bool:
    return state.phase in ("WAITING_FOR_INPUT", "STOPPED")


def said(log: Sequence[Recorded]) -> list[str]:
    return [r.event.text for r in log if isinstance(r.event, ae.AgentSaid)]


def essence(log: Sequence[Recorded]) -> Counter[str]:
    again = (ev.TurnAdopted, ev.EnvironmentReady, ae.AgentRead)
    return Counter(type(r.event).__name__ for r in log if not isinstance(r.event, again))


def check(log: Sequence[Recorded]) -> None:
    """Hold what must hold of every log."""
    assert [r.seq for r in log] == list(range(1, len(log) + 1))
    started = [r.event.item for r in log if isinstance(r.event, ae.ActionStarted)]
    finished = [r.event.item for r in log if isinstance(r.event, ae.ActionFinished)]
    assert sorted(started) == sorted(set(started)) == sorted(finished)
    seen = [r.event.input_id for r in log if isinstance(r.event, ae.InputSeen)]
    taken = [i for r in log if isinstance(r.event, ev.InputTaken) for i in r.event.input_ids]
    assert len(taken) == len(set(taken))
    assert set(seen) == set(taken)


async def tell(stage: Stage) -> Sequence[Recorded]:
    """Tell the story to its end in one life after another, and return its log."""
    try:
        execution = await begin(stage)
    except Died:
        execution = (await stage.executions.find(ExecutionQuery(), limit=1))[0].id
        await stage.restart()
        if not (await stage.state(execution)).inputs:
            await stage.send(execution, "mend it")
    link = stage.server.link
    dead, rest = asyncio.create_task(link.dead.wait()), asyncio.create_task(stage.until(execution, idle))
    await asyncio.wait({dead, rest}, return_when=asyncio.FIRST_COMPLETED)
    if link.dead.is_set():
        await stage.restart()
    await rest
    dead.cancel()
    return await stage.log(execution)


async def whole_story() -> tuple[Counter[str], int]:
    stage = stage_of()
    await stage.boot()
    log = await tell(stage)
    await stage.kill()
    check(log)
    return essence(log), len(stage.commits)


async def test_a_turn_of_a_resident_is_a_turn():
    stage = stage_of()
    await stage.boot()
    log = await tell(stage)
    await stage.kill()
    assert said(log) == ["I look.", "Done."]
    assert stage.world.machine.thread.done == ["turn-1.1", "turn-1.2"]
    state = await stage.state((await stage.executions.find(ExecutionQuery()))[0].id)
    assert state.phase == "WAITING_FOR_INPUT"
    assert state.external.thread == "thread-1"


async def test_the_story_survives_a_crash_at_every_commit():
    expected, commits = await whole_story()
    assert commits > 5
    for way in ("die_before", "die_after"):
        for number in range(1, commits + 1):
            stage = stage_of()
            await stage.boot(Link(stage.executions, **{way: number}))
            log = await tell(stage)
            await stage.kill()
            check(log)
            assert essence(log) == expected, (way, number)
            assert stage.world.machine.thread.done == ["turn-1.1", "turn-1.2"], (way, number)
            assert stage.world.machine.started == ["agent-1"], (way, number)


async def test_every_step_doubled_changes_nothing():
    expected, _ = await whole_story()
    stage = stage_of()
    await stage.boot(Link(stage.executions, doubled=True))
    log = await tell(stage)
    await stage.kill()
    assert essence(log) == expected


async def test_memory_thrown_away_after_every_append_changes_nothing():
    expected, _ = await whole_story()
    stage = stage_of(worker=Forgetful)
    await stage.boot()
    log = await tell(stage)
    await stage.kill()
    assert essence(log) == expected


async def test_a_killed_agent_is_started_again_and_told_so():
    stage = stage_of(("do", "make"), ("wait",))
    await stage.boot()
    execution = await begin(stage)
    await stage.until(
        execution, lambda s: bool(stage.world.machine.thread.done and s.external.turn) and not s.external.actions
    )
    stage.world.machine.script = STORY
    await stage.world.machine.residents["agent-1"].end(Signalled(9))
    await stage.until(execution, idle)
    log = await stage.log(execution)
    await stage.kill()
    check(log)
    thread = stage.world.machine.thread
    assert len(thread.seen) == 1, "what the agent has seen is not delivered again"
    assert "restarted" in thread.notes[0]
    assert said(log) == ["I look.", "Done."]


async def test_an_agent_that_dies_at_once_again_and_again_stops_the_execution():
    stage = stage_of(("die",))
    await stage.boot()
    execution = await begin(stage)
    state = await stage.until(execution, lambda s: s.phase == "STOPPED")
    await stage.kill()
    assert state.failure is not None
    assert state.failure.reason == "agent_execution"
    assert "3 times in a row" in state.failure.message
    assert "signalled" in state.failure.message


async def test_a_lost_supervisor_means_unknown_actions_and_a_new_process():
    held = asyncio.Event()

    async def shell(line: str) -> tuple[int, str]:
        held.set()
        await asyncio.Event().wait()
        return 0, ""

    stage = stage_of(("do", "make"), ("say", "Never said."))
    stage.world.machine.shell = shell
    await stage.boot()
    execution = await begin(stage)
    await held.wait()
    await stage.until(execution, lambda s: bool(s.external.actions))
    stage.world.machine.script = (("say", "Back."),)
    await stage.kill()
    stage.world.machine.lose_supervisor()
    await stage.boot()
    await stage.until(execution, idle)
    log = await stage.log(execution)
    await stage.kill()
    check(log)
    assert [r.event.outcome for r in log if isinstance(r.event, ae.ActionFinished)] == ["unknown"]
    assert said(log) == ["Back."]


async def test_a_stop_ends_the_agent_at_once_and_the_next_input_goes_to_a_new_process():
    stage = stage_of(("do", "make"), ("wait",))
    await stage.boot()
    execution = await begin(stage)
    await stage.until(
        execution, lambda s: bool(stage.world.machine.thread.done and s.external.turn) and not s.external.actions
    )
    await stage.stop(execution)
    state = await stage.until(execution, lambda s: s.phase == "STOPPED" and not s.killing)
    assert state.external.process == ""
    assert state.external.thread == "thread-1"
    stage.world.machine.script = (("say", "Again."),)
    await stage.send(execution, "go on")
    await stage.until(execution, lambda s: s.phase == "WAITING_FOR_INPUT")
    log = await stage.log(execution)
    await stage.kill()
    assert said(log) == ["Again."]
    assert stage.world.machine.thread.notes == [], "a stopped turn is not gone on with"
    assert len(stage.world.machine.thread.seen) == 2


async def test_steered_input_joins_the_running_turn_and_queued_input_waits_for_its_end():
    go = asyncio.Event()

    async def shell(line: str) -> tuple[int, str]:
        await go.wait()
        return 0, "ok"

    stage = stage_of(("do", "make"), ("say", "Done."))
    stage.world.machine.shell = shell
    await stage.boot()
    execution = await begin(stage)
    await stage.until(execution, lambda s: bool(s.external.actions))
    await stage.send(execution, "later", "later")
    await stage.send(execution, "now", "now")
    await stage.command(execution, SteerInput("now"))
    await stage.until(execution, lambda s: s.inputs["now"].state == "taken" and not s.external.given)
    resident = stage.world.machine.residents["agent-1"]
    assert resident.steered == ["now"]
    assert (await stage.state(execution)).inputs["later"].state == "queued"
    go.set()
    await stage.until(execution, idle)
    await stage.kill()
    assert stage.world.machine.thread.seen[1:] == ["now", "later"]


async def test_a_question_is_waited_for_and_answered_by_the_next_input_across_a_crash():
    stage = stage_of(("ask", "Which one?"), ("say", "Done."))
    await stage.boot()
    execution = await begin(stage)
    state = await stage.until(execution, lambda s: s.phase == "WAITING_FOR_INPUT")
    assert [q.text for ask in state.external.asks for q in ask.questions] == ["Which one?"]
    await stage.restart()
    await stage.send(execution, "the red one")
    await stage.until(execution, lambda s: idle(s) and not s.external.asks)
    log = await stage.log(execution)
    await stage.kill()
    assert said(log) == ["You said the red one.", "Done."]


async def test_compaction_and_goals_reach_the_agent_and_are_confirmed_by_it():
    stage = stage_of(("say", "Done."))
    await stage.boot()
    execution = await begin(stage)
    await stage.until(execution, idle)
    await stage.command(execution, Compact("r1"))
    await stage.until(execution, lambda s: idle(s) and not s.external.compact)
    with pytest.raises(FailedPrecondition):
        await stage.command(execution, ChangeGoal("r2", GoalChange("pause")))
    await stage.command(execution, ChangeGoal("r3", GoalChange("set", "all green", "paused")))
    state = await stage.until(execution, lambda s: idle(s) and s.external.goal is not None)
    log = await stage.log(execution)
    await stage.kill()
    assert state.external.goal is not None
    assert state.external.goal.objective == "all green"
    assert [r.event.problem for r in log if isinstance(r.event, ae.Compacted)] == [""]


async def test_an_idle_agent_is_closed_after_a_minute_and_comes_back_with_its_thread():
    stage = stage_of(("say", "Done."))
    await stage.boot()
    execution = await begin(stage)
    await stage.until(execution, idle)
    stage.clock.advance(61)
    state = await stage.until(execution, lambda s: not s.external.process)
    assert state.phase == "WAITING_FOR_INPUT"
    await stage.send(execution, "more")
    await stage.until(execution, lambda s: idle(s) and len(s.inputs) == 2)
    await stage.kill()
    assert list(stage.world.machine.residents) == ["agent-1", "agent-2"]
    assert len(stage.world.machine.thread.seen) == 2
