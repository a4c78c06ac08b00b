"""Stories of calls that wait for a person's word, by the hand clock."""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from hostler.agents.builtin.context import followed
from hostler.core import events as ev
from hostler.core.approvals_events import ApprovalAsked, ApprovalGiven, Permission
from hostler.core.commands import DeleteInput, Send
from hostler.core.conversation import ModelMessage, UserMessage
from hostler.core.events import Recorded
from hostler.core.kept import WorkKept
from hostler.core.ports import ExecutionQuery
from hostler.core.state import State
from hostler.models.script import Call, Step
from hostler.projections.blocks import frames
from hostler.testing.link import Died, Link
from hostler.testing.stage import Stage
from tests.engine.stories import Forgetful, stage_of

RULES = (
    Permission("bash", "deny", "rm -rf *", "nothing is removed here"),
    Permission("bash", "ask", "git push *", "it leaves this machine"),
)
PUSH = Call("bash", {"command": "make test && git push origin main"})
LOOK = Call("bash", {"command": "git status"})
STEPS = (Step(text="I push.", calls=(PUSH, LOOK)), Step(text="Done."))


def of(log: Sequence[Recorded], kind: type[Any]) -> list[Any]:
    return [r.event for r in log if isinstance(r.event, kind)]


def results(log: Sequence[Recorded]) -> dict[str, tuple[str, str]]:
    return {one.call_id: (one.outcome, one.text) for one in of(log, ev.ToolFinished)}


def stage_with(*steps: Step, **fields: Any) -> Stage:
    return stage_of(*(steps or STEPS), permissions=RULES, **fields)


async def asked(stage: Stage, execution: str) -> ApprovalAsked:
    state = await stage.until(execution, lambda s: s.phase == "WAITING_FOR_INPUT" and bool(s.approvals.asked))
    return state.approvals.asked[0]


async def done(stage: Stage, execution: str) -> State:
    return await stage.until(execution, lambda s: s.phase == "WAITING_FOR_INPUT" and not s.tools)


async def pass_time(stage: Stage, seconds: float) -> None:
    stage.clock.advance(seconds)
    await stage.server.engine.sweep()


async def test_a_call_waits_for_a_word_over_the_end_of_its_turn_and_goes_on_with_it():
    stage = stage_with()
    await stage.boot()
    execution = await stage.start("scripted:story", "push it")
    one = await asked(stage, execution)
    assert (one.call_id, one.tool, one.subject) == ("c1.0", "bash", "make test && git push origin main")
    log = await stage.log(execution)
    assert list(results(log)) == ["c1.1"]
    await stage.send(execution, "allow")
    state = await done(stage, execution)
    log = await stage.log(execution)
    assert state.turn == 2
    assert {key: outcome for key, (outcome, _) in results(log).items()} == {"c1.0": "ok", "c1.1": "ok"}
    assert [one.allowed for one in of(log, ApprovalGiven)] == [True]
    assert state.external.asks == ()
    messages = followed(log).messages()
    heard = [one for one in messages if isinstance(one, UserMessage)]
    assert [len(one.results) for one in heard[:2]] == [0, 2]
    assert heard[1].parts == ()
    assert sum(isinstance(one, ModelMessage) for one in messages) == 2
    await stage.kill()


async def test_words_that_are_no_choice_deny_and_are_the_reason():
    stage = stage_with()
    await stage.boot()
    execution = await stage.start("scripted:story", "push it")
    await asked(stage, execution)
    await stage.send(execution, "no, open a pull request instead")
    await done(stage, execution)
    outcome, text = results(await stage.log(execution))["c1.0"]
    assert outcome == "failed"
    assert "a person denied it: no, open a pull request instead" in text
    assert stage.world.machine.started == ["c1.1"]
    await stage.kill()


@pytest.mark.parametrize("word", ["allow", "Allow for this conversation", "c1.0.1: Allow"])
async def test_what_a_visitor_says_approves_nothing(word: str):
    stage = stage_with()
    await stage.boot()
    execution = await stage.start("scripted:story", "push it")
    await asked(stage, execution)
    block = {"id": "i-visitor", "text": {"content": word}, "metadata": {"source": "share:0198c2 review"}}
    await stage.command(execution, Send("i-visitor", block, "digest"))
    await done(stage, execution)
    log = await stage.log(execution)
    assert [one.allowed for one in of(log, ApprovalGiven)] == [False]
    assert "can approve nothing" in results(log)["c1.0"][1]
    assert stage.world.machine.started == ["c1.1"]
    await stage.kill()


async def test_a_word_for_the_conversation_is_asked_for_once():
    stage = stage_with(Step(calls=(PUSH,)), Step(text="one"), Step(calls=(PUSH,)), Step(text="two"))
    await stage.boot()
    execution = await stage.start("scripted:story", "push it")
    await asked(stage, execution)
    await stage.send(execution, "Allow for this conversation")
    await done(stage, execution)
    await stage.send(execution, "again")
    await stage.until(execution, lambda s: s.phase == "WAITING_FOR_INPUT" and s.calls == 4)
    log = await stage.log(execution)
    assert [outcome for outcome, _ in results(log).values()] == ["ok", "ok"]
    assert len(of(log, ApprovalAsked)) == 1
    await stage.kill()


async def test_several_calls_are_asked_for_one_after_the_other():
    stage = stage_with(Step(calls=(PUSH, PUSH)), Step(text="Done."))
    await stage.boot()
    execution = await stage.start("scripted:story", "push it")
    assert (await asked(stage, execution)).call_id == "c1.0"
    await stage.send(execution, "deny")
    await stage.until(execution, lambda s: s.turn == 2 and s.phase == "WAITING_FOR_INPUT")
    assert (await asked(stage, execution)).call_id == "c1.1"
    await stage.send(execution, "allow")
    await done(stage, execution)
    assert [outcome for outcome, _ in results(await stage.log(execution)).values()] == ["failed", "ok"]
    await stage.kill()


async def test_what_is_denied_is_not_asked_for():
    stage = stage_with(Step(calls=(Call("bash", {"command": "ls; sudo rm -rf build"}),)), Step(text="Done."))
    await stage.boot()
    execution = await stage.start("scripted:story", "clean")
    await done(stage, execution)
    log = await stage.log(execution)
    assert results(log)["c1.0"][0] == "failed"
    assert "nothing is removed here" in results(log)["c1.0"][1]
    assert not of(log, ev.ToolStarted)
    assert not of(log, ApprovalAsked)
    await stage.kill()


async def test_nobody_answers_so_it_is_denied_at_the_deadline_also_by_a_later_server():
    for restarted in (False, True):
        stage = stage_with()
        await stage.boot()
        execution = await stage.start("scripted:story", "push it")
        await asked(stage, execution)
        await pass_time(stage, 3500)
        assert (await stage.state(execution)).phase == "WAITING_FOR_INPUT"
        if restarted:
            await stage.kill()
            stage.clock.advance(7200)
            await stage.boot()
        else:
            await pass_time(stage, 100)
        await done(stage, execution)
        outcome, text = results(await stage.log(execution))["c1.0"]
        assert (outcome, "nobody answered in time" in text) == ("failed", True)
        await pass_time(stage, 10)
        assert len(of(await stage.log(execution), ApprovalGiven)) == 1
        await stage.kill()


async def test_a_stop_gives_the_call_its_one_result():
    stage = stage_with()
    await stage.boot()
    execution = await stage.start("scripted:story", "push it")
    await asked(stage, execution)
    await stage.stop(execution)
    state = await stage.until(execution, lambda s: s.phase == "STOPPED")
    assert state.approvals.asked == ()
    assert state.external.asks == ()
    log = await stage.log(execution)
    assert results(log)["c1.0"][0] == "cancelled"
    await pass_time(stage, 4000)
    assert not of(await stage.log(execution), ApprovalGiven)
    await stage.send(execution, "go on")
    await stage.until(execution, lambda s: s.phase == "WAITING_FOR_INPUT")
    await stage.kill()


async def test_what_was_said_before_the_call_is_no_word_on_it():
    stage = stage_with(Step(text="I push.", calls=(LOOK,)), Step(calls=(PUSH,)), Step(text="Done."))
    free = asyncio.Event()

    async def slow(command: str) -> tuple[int, str]:
        await free.wait()
        return 0, command

    stage.world.machine.shell = slow
    await stage.boot()
    execution = await stage.start("scripted:story", "push it")
    await stage.until(execution, lambda s: any(tool.started for tool in s.tools))
    await stage.send(execution, "allow", "early")
    free.set()
    await asked(stage, execution)
    assert (await stage.state(execution)).inputs["early"].state == "queued"
    await stage.command(execution, DeleteInput("early"))
    assert not of(await stage.log(execution), ApprovalGiven)
    await stage.send(execution, "deny")
    await done(stage, execution)
    assert len(of(await stage.log(execution), ApprovalGiven)) == 1
    await stage.kill()


async def test_the_card_is_a_frame_with_three_choices_and_its_answer_is_seen():
    stage = stage_with()
    await stage.boot()
    execution = await stage.start("scripted:story", "push it")
    await asked(stage, execution)
    await stage.send(execution, "allow", "the-word")
    await done(stage, execution)
    shown = [frame.body for frame in frames(execution, await stage.log(execution))]
    (card,) = [body["clarifyingQuestions"]["questions"] for body in shown if "clarifyingQuestions" in body]
    assert [choice["label"] for choice in card[0]["choices"]] == ["Allow", "Allow for this conversation", "Deny"]
    assert {"id": "the-word"} in [body["userInputSeen"] for body in shown if "userInputSeen" in body]
    await stage.kill()


async def test_an_input_answers_a_card_and_the_questions_beside_it():
    ask = Call("ask", {"questions": [{"question": "Which branch?"}]})
    stage = stage_with(Step(calls=(PUSH, ask)), Step(text="Done."))
    await stage.boot()
    execution = await stage.start("scripted:story", "push it")
    await asked(stage, execution)
    given = {"c1.0.1": "allow", "c1.1.1": "the main one"}
    await stage.send(execution, json.dumps(given))
    state = await done(stage, execution)
    assert state.external.asks == ()
    assert [outcome for outcome, _ in results(await stage.log(execution)).values()] == ["ok", "ok"]
    assert len(of(await stage.log(execution), ev.ModelCallStarted)) == 2
    messages = [one for one in followed(await stage.log(execution)).messages() if isinstance(one, UserMessage)]
    assert "→ the main one" in str(messages[1].parts)
    await stage.kill()


async def test_a_wake_meanwhile_waits_until_there_is_a_word():
    stage = stage_with()
    await stage.boot()
    execution = await stage.start("scripted:story", "push it")
    await asked(stage, execution)
    news = Send("news", {"payload": "hello"}, "news", "agent")
    await stage.command(execution, news)
    await stage.until(execution, lambda s: s.turn == 2 and s.phase == "WAITING_FOR_INPUT")
    assert [one.id for one in (await stage.state(execution)).queue] == ["news"]
    await stage.send(execution, "allow")
    await stage.until(execution, lambda s: s.phase == "WAITING_FOR_INPUT" and not s.queue)
    log = await stage.log(execution)
    assert results(log)["c1.0"][0] == "ok"
    assert [id_ for taken in of(log, ev.InputTaken) for id_ in taken.input_ids][-1] == "news"
    await stage.kill()


def essence(log: Sequence[Recorded]) -> Counter[str]:
    again = (ev.TurnAdopted, ev.EnvironmentReady, ev.ModelCallCut, WorkKept)
    return Counter(type(r.event).__name__ for r in log if not isinstance(r.event, again))


async def tell(stage: Stage, word: str) -> Sequence[Recorded]:
    """Tell the story to its end in one life after another."""
    try:
        execution = await stage.start(
            "scripted:story",
            "push it",
        )
    except Died:
        rows = await stage.executions.find(ExecutionQuery(), limit=1)
        await stage.restart()
        execution = rows[0].id
        if not (await stage.state(execution)).inputs:
            await stage.send(execution, "push it")
    for goal in (asked, done, Stage.rest):
        reached, dead = asyncio.create_task(goal(stage, execution)), asyncio.create_task(stage.server.link.dead.wait())
        while not reached.done():
            await asyncio.wait({reached, dead}, return_when=asyncio.FIRST_COMPLETED)
            if stage.server.link.dead.is_set():
                dead.cancel()
                await stage.restart()
                dead = asyncio.create_task(stage.server.link.dead.wait())
                if goal is not asked and not word:
                    await stage.server.engine.sweep()
        dead.cancel()
        await reached
        if goal is asked and not word:
            await pass_time(stage, 3700)
        elif goal is asked:
            try:
                await stage.send(execution, word, "the-word")
            except Died:
                await stage.restart()
                await stage.send(execution, word, "the-word")
    return await stage.log(execution)


@pytest.mark.parametrize("word", ["allow", "no", ""])
async def test_the_story_survives_a_crash_at_every_commit(word: str):
    stage = stage_with()
    await stage.boot()
    expected = essence(await tell(stage, word))
    await stage.kill()
    commits = len(stage.commits)
    assert commits > 6
    for way in ("die_before", "die_after"):
        for number in range(1, commits + 1):
            stage = stage_with()
            await stage.boot(
                Link(
                    stage.executions, die_before=number * (way == "die_before"), die_after=number * (way == "die_after")
                )
            )
            log = await tell(stage, word)
            await stage.kill()
            assert essence(log) == expected, (way, number)


async def test_memory_thrown_away_after_every_append_changes_nothing():
    stage = stage_with()
    await stage.boot()
    expected = essence(await tell(stage, "allow"))
    await stage.kill()
    stage = stage_with(worker=Forgetful)
    await stage.boot()
    assert essence(await tell(stage, "allow")) == expected
    await stage.kill()
