"""Slash commands, words to Hostler, typed commands, compaction and better prompts over the wire."""

from typing import Any

import pytest

from hostler.agents.builtin.context import parts
from hostler.core import events as ev
from hostler.core import memory_events as m
from hostler.core.conversation import Text
from tests.api.conftest import SECRET, Api, with_agent

REVIEW = {
    "name": "Review",
    "description": "Reviews a change",
    "prompt": "Review $1 with care for $2. All: $ARGUMENTS.",
    "isCommand": True,
    "command": "review",
}


async def queued(api: Api, execution: str) -> list[ev.InputQueued]:
    log = await api.parts.executions.read(execution)
    return [recorded.event for recorded in log if isinstance(recorded.event, ev.InputQueued)]


async def kinds(api: Api, execution: str) -> list[str]:
    return [type(recorded.event).__name__ for recorded in await api.parts.executions.read(execution)]


async def test_a_slash_command_is_shown_as_typed_and_heard_as_its_prompt(api: Api) -> None:
    await api.call("CreatePrompt", REVIEW)
    execution = await api.prepared()
    await api.send(execution, '/review src/a.py "race conditions"')
    (one,) = await queued(api, execution)
    assert one.block["inputs"][0]["text"]["content"] == '/review src/a.py "race conditions"'
    heard = 'Review src/a.py with care for race conditions. All: src/a.py "race conditions".'
    assert one.expansion == heard
    assert parts(one) == [Text(heard)]


@pytest.mark.parametrize("text", ["/nothing here", "/usr/bin/env is what?", "look at /review", "// comment", "/"])
async def test_what_names_no_command_is_what_it_says(api: Api, text: str) -> None:
    await api.call("CreatePrompt", REVIEW)
    execution = await api.prepared()
    await api.send(execution, text)
    (one,) = await queued(api, execution)
    assert (one.expansion, one.local) == ("", "")
    assert parts(one) == [Text(text)]


async def test_arguments_without_a_place_come_behind_and_are_not_filled_in_twice(api: Api) -> None:
    await api.call("CreatePrompt", {**REVIEW, "prompt": "Do it."})
    await api.call("CreatePrompt", {**REVIEW, "command": "twice", "prompt": "$1 and $9."})
    execution = await api.prepared()
    await api.send(execution, "/Review the $1 thing")
    await api.send(execution, "/twice $2 two")
    assert [one.expansion for one in await queued(api, execution)] == ["Do it.\n\nthe $1 thing", "$2 and ."]


async def test_a_secret_in_a_command_is_masked(api: Api) -> None:
    await api.call("CreatePrompt", {**REVIEW, "prompt": "$ARGUMENTS"})
    execution = await api.prepared()
    await api.send(execution, f"/review {SECRET}")
    (one,) = await queued(api, execution)
    assert SECRET not in str(one)


async def test_an_edited_message_means_its_command_and_is_none_for_hostler(api: Api) -> None:
    await api.call("CreatePrompt", REVIEW)
    execution = await api.started()
    await api.send(execution, "hello", id="i1")
    path = f"hostler/v1/executions/{execution}/queue/i1/edit"
    refused = await api.refused(path, {"text": "!rm -rf /"})
    assert (refused["code"], refused["message"][:5]) == ("invalid_argument", "text:")
    assert (await api.post(path, {"text": "/review a b", "id": "i2"})).status_code == 200
    assert (await queued(api, execution))[-1].expansion == "Review a with care for b. All: a b."


async def test_support_bundle_is_answered_without_the_agent(api: Api) -> None:
    execution = await api.prepared()
    await api.send(execution, "/support-bundle")
    log = await api.parts.executions.read(execution)
    (answer,) = [recorded.event for recorded in log if isinstance(recorded.event, m.Answered)]
    assert f"/api/executions/{execution}/bundle" in answer.text
    assert "TurnStarted" not in await kinds(api, execution)


async def test_clear_is_for_an_agent_at_rest_and_not_for_codex(api: Api) -> None:
    execution = await api.prepared()
    await api.send(execution, "work")
    sent: dict[str, Any] = {"agentExecutionId": execution, "userInput": {"inputs": [{"text": {"content": "/clear"}}]}}
    refused = await api.refused("SendToAgentExecution", sent)
    assert refused["code"] == "failed_precondition"
    await api.desk.append(execution, ev.InputTaken((next(iter(await queued(api, execution))).input_id,)))
    await api.desk.append(execution, ev.TurnEnded(1))
    await api.call("SendToAgentExecution", sent)
    assert (await kinds(api, execution))[-1] == "ContextCleared"
    with_agent(api, driver="codex")
    other = await api.prepared()
    refused = await api.refused("SendToAgentExecution", {**sent, "agentExecutionId": other})
    assert refused["code"] == "failed_precondition"


async def test_a_typed_command_starts_a_turn_and_waits_in_no_queue(api: Api) -> None:
    execution = await api.prepared()
    await api.send(execution, "! make test", id="i1")
    await api.send(execution, "! make test", id="i1")
    log = await api.parts.executions.read(execution)
    assert [type(recorded.event).__name__ for recorded in log][-2:] == ["InputQueued", "TurnStarted"]
    status = (await api.call("GetAgentExecution", {"agentExecutionId": execution}))["agentExecution"]["status"]
    assert status["phase"] == "PHASE_RUNNING"
    (one,) = await queued(api, execution)
    assert one.local == "shell"


async def test_compacting_what_is_empty_is_refused_and_else_it_starts_a_turn(api: Api) -> None:
    execution = await api.prepared()
    control = {"agentExecutionId": execution, "controlInput": {"compact": {}}}
    refused = await api.refused("SendToAgentExecution", control)
    assert (refused["code"], "nothing to compact" in refused["message"]) == ("failed_precondition", True)
    await api.send(execution, "hello")
    await api.call("SendToAgentExecution", control)
    assert (await kinds(api, execution))[-1] == "CompactRequested"


async def test_announced_commands_are_a_block(api: Api) -> None:
    execution = await api.prepared()
    await api.desk.append(execution, m.CommandsAnnounced((m.Announced("review", "Reviews a change"),)))
    from hostler.projections.blocks import frames

    shown = frames(execution, await api.parts.executions.read(execution))[-1]
    assert shown.body["availableCommands"] == {"commands": [{"name": "review", "description": "Reviews a change"}]}


async def test_improve_prompt_names_what_is_wrong(api: Api) -> None:
    agent = api.parts.agents.default().agent.id
    refused = await api.refused("ImprovePromptForAgent", {"agentId": agent, "prompt": "  "})
    assert (refused["code"], refused["message"][:7]) == ("invalid_argument", "prompt:")
    refused = await api.refused("ImprovePromptForAgent", {"agentId": agent, "prompt": "x" * 20_001})
    assert refused["code"] == "invalid_argument"
    unknown = "00000000-0000-4000-8000-00000000dead"
    refused = await api.refused("ImprovePromptForAgent", {"agentId": unknown, "prompt": "mend it"})
    assert refused["code"] == "not_found"


async def test_twenty_typed_commands_run_at_once_at_most(api: Api) -> None:
    execution = await api.prepared()
    for number in range(20):
        await api.send(execution, f"!sleep {number}")
    body = {"agentExecutionId": execution, "userInput": {"inputs": [{"text": {"content": "!id"}}]}}
    refused = await api.refused("SendToAgentExecution", body)
    assert refused["code"] == "resource_exhausted"
