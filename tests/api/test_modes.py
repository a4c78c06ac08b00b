"""Modes on the wire: how a turn says them, what is refused by name, and what the status reports."""

from typing import Any

import pytest

from hostler.core import events as ev
from hostler.core.conversation import Usage
from hostler.core.plan import Session, due
from hostler.core.state import fold
from tests.api.conftest import Api, with_agent

RALPH, SPEC, GOAL = "AGENT_MODE_RALPH", "AGENT_MODE_SPEC", "AGENT_MODE_GOAL"
PLANNING, EXECUTION = "AGENT_MODE_PLANNING", "AGENT_MODE_EXECUTION"


async def settled(api: Api, execution: str) -> dict[str, Any]:
    """Return the status when all that is to be decided is."""
    if (now := fold(await api.parts.executions.read(execution))).phase == "RUNNING" and not now.environment.ready:
        await api.desk.append(execution, ev.EnvironmentReady("e", "i"))
    while events := due(fold(await api.parts.executions.read(execution)), Session("life", 0.0)):
        await api.desk.append(execution, *events)
    return (await api.call("GetAgentExecution", {"agentExecutionId": execution}))["agentExecution"]["status"]


def said(execution: str, text: str, *modes: str) -> dict[str, Any]:
    options = {"turnOptions": {"modes": list(modes)}} if modes else {}
    return {"agentExecutionId": execution, "userInput": {"inputs": [{"text": {"content": text}}]}, **options}


async def queued(api: Api, execution: str) -> ev.InputQueued:
    log = await api.parts.executions.read(execution)
    return [r.event for r in log if isinstance(r.event, ev.InputQueued) and r.event.origin == "user"][-1]


@pytest.mark.parametrize("mode", [RALPH, SPEC, PLANNING, GOAL])
async def test_a_mode_comes_with_the_start_a_turn_or_the_text(api: Api, mode: str) -> None:
    word = mode.removeprefix("AGENT_MODE_").lower()
    for start, text, modes in (
        ({"mode": mode}, "Build it", ()),
        ({"turnOptions": {"modes": [mode]}}, "Build it", ()),
        ({}, "Build it", (mode,)),
        ({}, f"/ona:{word} Build it", ()),
    ):
        execution = await api.prepared(start)
        await api.call("SendToAgentExecution", said(execution, text, *modes))
        assert (await settled(api, execution))["mode"] == mode, (start, text)


async def test_a_text_that_names_a_mode_is_shown_as_typed_and_heard_without_it(api: Api) -> None:
    execution = await api.prepared()
    await api.send(execution, "/ona:planning How?")
    one = await queued(api, execution)
    assert one.block["inputs"][0]["text"]["content"] == "/ona:planning How?"
    assert (one.expansion, one.modes) == ("How?", ("planning",))


async def test_a_goal_of_one_turns_options_has_its_budget_and_is_told_once(api: Api) -> None:
    execution = await api.prepared()
    await api.call("SendToAgentExecution", said(execution, "--budget 5k All tests pass", GOAL))
    goal = (await settled(api, execution))["goal"]
    assert (goal["objective"], goal["status"], goal["tokenBudget"]) == ("All tests pass", "GOAL_STATUS_ACTIVE", "5000")


async def test_planning_that_a_start_asked_for_lasts_until_execution_is(api: Api) -> None:
    execution = await api.prepared({"mode": PLANNING})
    await api.send(execution, "How?")
    assert (await settled(api, execution))["mode"] == PLANNING
    await api.desk.append(execution, ev.ModelReplied("c1", (), Usage()), ev.TurnEnded(1))
    await api.send(execution, "And then?")
    assert (await settled(api, execution))["mode"] == PLANNING
    await api.desk.append(execution, ev.ModelReplied("c2", (), Usage()), ev.TurnEnded(2))
    await api.call("SendToAgentExecution", said(execution, "Do it", EXECUTION))
    assert (await settled(api, execution))["mode"] == EXECUTION
    await api.desk.append(execution, ev.ModelReplied("c3", (), Usage()), ev.TurnEnded(3))
    assert (await settled(api, execution))["mode"] == EXECUTION


@pytest.mark.parametrize(
    ("modes", "text", "field"),
    [
        (["AGENT_MODE_UNSPECIFIED"], "x", "turn_options.modes"),
        ([RALPH, RALPH], "x", "turn_options.modes"),
        ([EXECUTION, PLANNING], "x", "turn_options.modes"),
        ([RALPH, GOAL], "x", "turn_options.modes"),
        ([SPEC], "/ona:ralph x", "turn_options.modes"),
        ([PLANNING], "/ona:execution x", "turn_options.modes"),
        ([99], "x", ""),
        ([], "/ona:ralph", "user_input"),
        ([], "/ona:goal  ", "user_input"),
    ],
)
async def test_modes_that_make_no_sense_are_refused_and_change_nothing(
    api: Api, modes: list[Any], text: str, field: str
) -> None:
    execution = await api.prepared()
    before = await api.desk.log(execution)
    body = {**said(execution, text), "turnOptions": {"modes": modes}}
    refused = await api.refused("SendToAgentExecution", body)
    assert (refused["code"], refused["message"].startswith(field)) == ("invalid_argument", True), refused
    assert await api.desk.log(execution) == before


@pytest.mark.parametrize("mode", [RALPH, SPEC, PLANNING])
async def test_an_agent_without_a_mode_says_so(api: Api, mode: str) -> None:
    with_agent(api, driver="codex")
    refused = await api.refused("StartAgent", {"mode": mode})
    assert (refused["code"], refused["message"][:5]) == ("failed_precondition", "mode:")
    execution = await api.prepared()
    word = mode.removeprefix("AGENT_MODE_").lower()
    for body in (said(execution, "x", mode), said(execution, f"/ona:{word} x")):
        refused = await api.refused("SendToAgentExecution", body)
        assert (refused["code"], f"does not support mode {word.upper()}" in refused["message"]) == (
            "failed_precondition",
            True,
        )


async def test_an_edited_message_keeps_the_modes_of_its_turn(api: Api) -> None:
    execution = await api.started()
    await api.call("SendToAgentExecution", {**said(execution, "x", PLANNING)})
    one = await queued(api, execution)
    assert (await api.post(f"hostler/v1/executions/{execution}/queue/{one.input_id}/edit", {"text": "y"})).is_success
    assert (await queued(api, execution)).modes == ("planning",)
