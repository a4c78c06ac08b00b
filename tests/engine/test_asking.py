"""The built-in agent asks: its turn ends with the question open, the next input answers, whatever dies in between."""

import asyncio
import json
from collections.abc import Sequence

import pytest

from hostler.core import agent_events as ae
from hostler.core import events as ev
from hostler.core.conversation import ModelMessage, ToolResult, UserMessage
from hostler.core.events import Recorded
from hostler.core.ports import ExecutionQuery
from hostler.models.script import Call, Step
from hostler.projections.blocks import frames
from hostler.projections.status import view
from hostler.testing.link import Died, Link
from hostler.testing.stage import Stage
from tests.engine.stories import BASH, Forgetful, stage_of
from tests.engine.test_crashes import check, essence

CHOICES = [{"label": "SQLite", "description": "one file"}, {"label": "Postgres"}]
ASK = Call("ask", {"questions": [{"question": "Which database?", "choices": CHOICES}, {"question": "Why?"}]})
STEPS = (Step(text="I must know.", calls=(BASH, ASK)), Step(text="So be it.", calls=(BASH,)), Step(text="Done."))
ANSWER = json.dumps({"c1.1.1": "postgres", "c1.1.2": "many writers"})


async def heard(stage: Stage, execution: str) -> list[UserMessage]:
    """Return what the model heard, message by message, as its next call would have it."""
    from hostler.agents.builtin.context import request

    made = request(await stage.state(execution), await stage.log(execution), ())
    return [message for message in made.messages if not isinstance(message, ModelMessage)]


async def asked(stage: Stage) -> str:
    """Tell the story to its question."""
    execution = await stage.start("scripted:story", "mend it")
    await stage.rest(execution)
    return execution


@pytest.fixture
async def stage():
    stage = stage_of(*STEPS)
    await stage.boot()
    yield stage
    await stage.kill()


async def test_a_question_ends_the_turn_and_stays_open_in_the_view(stage: Stage):
    execution = await asked(stage)
    state = await stage.state(execution)
    assert (state.phase, state.iterations) == ("WAITING_FOR_INPUT", 1)
    facts = view(state)["hostler"]["openQuestions"]
    assert [(one["id"], one["ask"], one["text"], one["allowOther"]) for one in facts] == [
        ("c1.1.1", "c1.1", "Which database?", True),
        ("c1.1.2", "c1.1", "Why?", True),
    ]
    assert [choice["label"] for choice in facts[0]["choices"]] == ["SQLite", "Postgres"]


async def test_a_question_is_a_block_with_its_choices(stage: Stage):
    execution = await asked(stage)
    blocks = [frame.body for frame in frames(execution, await stage.log(execution))]
    [shown] = [body["clarifyingQuestions"]["questions"] for body in blocks if "clarifyingQuestions" in body]
    assert shown[0] == {
        "questionId": "c1.1.1",
        "question": "Which database?",
        "allowOther": True,
        "choices": [
            {"label": "SQLite", "text": "SQLite", "description": "one file"},
            {"label": "Postgres", "text": "Postgres", "description": ""},
        ],
    }
    assert [choice["label"] for choice in shown[1]["choices"]] == ["Decide yourself", "Skip this"]
    assert shown[1]["allowOther"] is True


async def test_the_next_input_answers_and_the_agent_goes_on(stage: Stage):
    execution = await asked(stage)
    await stage.send(execution, ANSWER)
    state = await stage.rest(execution)
    assert view(state)["hostler"]["openQuestions"] == []
    assert state.iterations == 3
    messages = await heard(stage, execution)
    assert [result.name for result in messages[1].results] == ["bash", "ask"]
    assert "next message" in messages[1].results[1].text
    assert [part.text for part in messages[1].parts] == ["Which database?\n→ Postgres\nWhy?\n→ many writers"]
    check(await stage.log(execution))


async def test_an_answer_in_plain_words_reaches_the_model_as_it_is(stage: Stage):
    execution = await asked(stage)
    await stage.send(execution, "Postgres, and do not ask why")
    await stage.rest(execution)
    assert [part.text for part in (await heard(stage, execution))[1].parts] == ["Postgres, and do not ask why"]


async def test_an_input_that_was_queued_before_the_question_answers_it():
    gate = asyncio.Event()

    async def slow(line: str) -> tuple[int, str]:
        await gate.wait()
        return 0, ""

    stage = stage_of(*STEPS)
    stage.world.machine.shell = slow
    await stage.boot()
    execution = await stage.start("scripted:story", "mend it")
    await stage.until(execution, lambda state: bool(state.external.asks))
    await stage.send(execution, "Postgres")
    gate.set()
    state = await stage.rest(execution)
    assert (state.iterations, state.turn, state.external.asks) == (3, 1, ())
    await stage.kill()


async def test_a_stop_closes_the_question_and_the_next_input_is_no_answer(stage: Stage):
    execution = await asked(stage)
    assert view(await stage.stop(execution))["hostler"]["openQuestions"] == []
    await stage.send(execution, ANSWER)
    await stage.rest(execution)
    assert [part.text for part in (await heard(stage, execution))[1].parts] == [ANSWER]


@pytest.mark.parametrize(
    ("questions", "says"),
    [
        ([], "at least 1 item"),
        ([{"question": "?"}] * 5, "at most 4 items"),
        ([{"question": ""}], "at least 1 character"),
        ([{"question": "?", "choices": [{"label": "a"}]}], "at least 2 choices, or none"),
        ([{"question": "?", "choices": [{"label": "a"}, {"label": "A"}]}], "the same label"),
        ([{"question": "?", "choices": [{"label": str(n)} for n in range(7)]}], "at most 6 items"),
        ([{"text": "?"}], "question"),
    ],
)
async def test_questions_that_nobody_could_answer_are_refused_and_the_turn_goes_on(questions: object, says: str):
    stage = stage_of(Step(calls=(Call("ask", {"questions": questions}),)), Step(text="Then not."))
    await stage.boot()
    execution = await asked(stage)
    log = await stage.log(execution)
    [result] = [r.event for r in log if isinstance(r.event, ev.ToolFinished)]
    assert result.outcome == "failed"
    assert says in result.text
    assert not [r for r in log if isinstance(r.event, ae.QuestionsAsked)]
    assert (await stage.state(execution)).iterations == 2
    await stage.kill()


async def test_next_steps_stand_in_the_view_until_the_next_input():
    steps = [{"title": "Add tests", "prompt": "Add tests for it."}]
    stage = stage_of(Step(calls=(Call("next_steps", {"actions": steps}),)), Step(text="Done."))
    await stage.boot()
    execution = await asked(stage)
    assert view(await stage.state(execution))["hostler"]["nextSteps"] == steps
    blocks = [frame.body for frame in frames(execution, await stage.log(execution))]
    assert [body["nextStepsProposal"] for body in blocks if "nextStepsProposal" in body] == [{"actions": steps}]
    await stage.send(execution, "Add tests for it.")
    await stage.until(execution, lambda state: not state.next_steps)
    await stage.kill()


# Whatever dies in between.


async def alive(stage: Stage, execution: str) -> None:
    """Come to rest, in another life where this one ends."""
    dead, rest = asyncio.create_task(stage.server.link.dead.wait()), asyncio.create_task(stage.rest(execution))
    await asyncio.wait({dead, rest}, return_when=asyncio.FIRST_COMPLETED)
    if stage.server.link.dead.is_set():
        await stage.restart()
    await rest
    dead.cancel()


async def said(stage: Stage, execution: str, text: str, input_id: str) -> None:
    """Send an input, once more in another life where this one ends."""
    try:
        await stage.send(execution, text, input_id)
    except Died:
        await stage.restart()
        await stage.send(execution, text, input_id)


async def tell(stage: Stage) -> Sequence[Recorded]:
    """Tell the story with its question and answer."""
    try:
        execution = await stage.start("scripted:story")
    except Died:
        rows = await stage.executions.find(ExecutionQuery(), limit=1)
        await stage.restart()
        execution = rows[0].id
    await said(stage, execution, "mend it", "i1")
    await alive(stage, execution)
    assert len((await stage.state(execution)).external.asks) == 1
    await said(stage, execution, ANSWER, "i2")
    await alive(stage, execution)
    log = await stage.log(execution)
    results = [result for message in await heard(stage, execution) for result in message.results]
    assert [(result.name, result.failed) for result in results] == [("bash", False), ("ask", False), ("bash", False)]
    assert all(isinstance(result, ToolResult) for result in results)
    await stage.kill()
    check(log)
    return log


async def test_the_question_survives_a_crash_at_every_commit():
    stage = stage_of(*STEPS)
    await stage.boot()
    expected = essence(await tell(stage))
    commits = len(stage.commits)
    assert expected["QuestionsAsked"] == expected["QuestionsClosed"] == 1
    for way in ("die_before", "die_after"):
        for number in range(2, commits + 1):
            stage = stage_of(*STEPS)
            await stage.boot(Link(stage.executions, **{way: number}))
            assert essence(await tell(stage)) == expected, (way, number)


async def test_every_step_doubled_and_memory_thrown_away_ask_once():
    stage = stage_of(*STEPS)
    await stage.boot()
    expected = essence(await tell(stage))
    doubled = stage_of(*STEPS)
    await doubled.boot(Link(doubled.executions, doubled=True))
    assert essence(await tell(doubled)) == expected
    forgetful = stage_of(*STEPS, worker=Forgetful)
    await forgetful.boot()
    assert essence(await tell(forgetful)) == expected
