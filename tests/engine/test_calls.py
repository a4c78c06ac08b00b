"""The table of model calls: one row a call, and a sum that is the usage in the status."""

from datetime import UTC, datetime

from hostler.core import agent_events as ae
from hostler.core import events as ev
from hostler.core.conversation import Usage
from hostler.core.events import Event, Recorded
from hostler.models.script import Step
from hostler.projections.calls import calls, counters, total
from tests.engine.stories import BASH, stage_of

AT = datetime(2026, 1, 1, tzinfo=UTC)


def log_of(*events: Event) -> list[Recorded]:
    return [Recorded(number, AT, event) for number, event in enumerate(events, 1)]


async def test_every_call_of_the_built_in_agent_is_a_row_and_their_sum_is_the_usage():
    stage = stage_of(Step(calls=(BASH,)), Step(text="Done."))
    await stage.boot()
    execution = await stage.start("scripted:story", "go")
    state = await stage.rest(execution)
    table = calls(await stage.log(execution))
    await stage.kill()
    assert [(call.agent, call.turn, call.outcome, call.tries) for call in table] == [("builtin", 1, "finished", 1)] * 2
    assert total(table) == state.usage
    assert state.usage.output > 0


def test_calls_through_the_gateway_stand_in_the_same_table_and_guesses_apart():
    used, guessed = Usage(10, 20, 3, 4), Usage(5, 0, 0, 1)
    table = calls(
        log_of(
            ev.TurnStarted(1, "life"),
            ae.AgentCallStarted("a", "openai-responses:m", "/v1/responses"),
            ae.AgentCallStarted("b", "openai-responses:m", "/v1/responses"),
            ae.AgentCallFinished("a", used),
            ae.AgentCallCut("b", guessed, "the turn was stopped"),
        )
    )
    assert [(call.id, call.outcome, call.estimated) for call in table] == [("a", "finished", False), ("b", "cut", True)]
    assert total(table) == used
    assert total(table, estimated=True) == guessed
    assert counters(used) == {"input": 10, "cachedInput": 20, "cacheCreation": 3, "output": 4}


def test_tries_failures_and_a_stop_are_told():
    table = calls(
        log_of(
            ev.TurnStarted(1, "life"),
            ev.ModelCallStarted("c1", "m"),
            ev.ModelCallFailed("c1", "429", AT),
            ev.ModelReplied("c1", (), Usage(1, 0, 0, 1)),
            ev.ModelCallStarted("c2", "m"),
            ev.ModelCallFailed("c2", "no such model", None),
            ev.ModelCallStarted("c3", "m"),
            ev.Stopped(1),
        )
    )
    assert [(call.outcome, call.tries) for call in table] == [("finished", 2), ("failed", 1), ("cut", 1)]
    assert table[1].reason == "no such model"
