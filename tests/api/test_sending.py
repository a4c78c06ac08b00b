"""SendToAgentExecution: the three forms of input, messages, and control of the queue."""

import base64
from typing import Any

import pytest

from hostler.core import events as ev
from hostler.core.agents import GoalChange
from hostler.core.commands import ChangeGoal, Send
from tests.api.conftest import SECRET, Api, with_agent

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\nrest").decode()
JPEG = base64.b64encode(b"\xff\xd8\xffrest").decode()
ID = "0190aaaa-0000-7000-8000-00000000000a"


async def send(api: Api, execution: str, **more: Any) -> dict[str, Any]:
    return await api.call("SendToAgentExecution", {"agentExecutionId": execution, **more})


async def refused(api: Api, execution: str, **more: Any) -> dict[str, Any]:
    return await api.refused("SendToAgentExecution", {"agentExecutionId": execution, **more})


def last(api: Api) -> Send:
    command = api.desk.commands[-1]
    assert isinstance(command, Send)
    return command


@pytest.mark.parametrize(
    "form",
    [
        {"text": {"content": "hi"}},
        {"image": {"data": PNG, "mimeType": "image/png"}},
        {"inputs": [{"text": {"content": "see"}}, {"image": {"data": JPEG, "mimeType": "image/jpeg"}}]},
    ],
)
async def test_all_three_forms_are_kept_as_they_came(api: Api, form: dict[str, Any]) -> None:
    execution = await api.prepared()
    await send(
        api, execution, userInput={"id": ID, **form, "metadata": {"source": "cli"}, "createdAt": "2001-01-01T00:00:00Z"}
    )
    block = dict(last(api).block)
    assert block.pop("createdAt") == "2026-01-01T00:00:00Z"
    assert block == {"id": ID, **form, "metadata": {"source": "cli"}}


@pytest.mark.parametrize(
    ("block", "code", "field"),
    [
        ({}, "invalid_argument", "user_input.inputs"),
        ({"inputs": []}, "invalid_argument", "user_input.inputs"),
        ({"inputs": [{}]}, "invalid_argument", "user_input.inputs[0].input"),
        ({"inputs": [{"text": {"content": " \n\t"}}]}, "invalid_argument", "user_input.inputs[0].text"),
        ({"text": {"content": "  "}}, "invalid_argument", "user_input.text"),
        ({"text": {"content": ""}}, "invalid_argument", "user_input.text.content"),
        (
            {"text": {"content": "a"}, "inputs": [{"text": {"content": "b"}}]},
            "invalid_argument",
            "user_input.inputs",
        ),
        ({"inputs": [{"text": {"content": "a"}}] * 11}, "invalid_argument", "user_input.inputs"),
        ({"image": {"data": JPEG, "mimeType": "image/png"}}, "invalid_argument", "user_input.image.data"),
        ({"image": {"data": PNG, "mimeType": "image/gif"}}, "invalid_argument", "user_input.image.mime_type"),
        (
            {"image": {"data": PNG, "mimeType": "image/png", "dataRef": "blob"}},
            "invalid_argument",
            "user_input.image.data_ref",
        ),
        ({"id": "x" * 129, "text": {"content": "a"}}, "invalid_argument", "user_input.id"),
    ],
)
async def test_input_that_says_nothing_or_too_much_is_refused(
    api: Api, block: dict[str, Any], code: str, field: str
) -> None:
    execution = await api.prepared()
    answer = await refused(api, execution, userInput=block)
    assert answer["code"] == code
    assert answer["message"].startswith(f"{field}: ")
    assert api.desk.commands == []


async def test_an_id_makes_a_repeat_harmless_whatever_its_form(api: Api) -> None:
    execution = await api.prepared()
    await send(api, execution, userInput={"id": ID, "text": {"content": "hi"}})
    await send(api, execution, userInput={"id": ID, "inputs": [{"text": {"content": "hi"}}]})
    answer = await refused(api, execution, userInput={"id": ID, "text": {"content": "other"}})
    assert (answer["status"], answer["code"]) == (409, "already_exists")
    log = await api.desk.log(execution)
    assert sum(isinstance(recorded.event, ev.InputQueued) for recorded in log) == 1


async def test_an_input_without_an_id_gets_a_fresh_one(api: Api) -> None:
    execution = await api.prepared()
    await api.send(execution, "a")
    first = last(api)
    await api.send(execution, "a")
    assert last(api).input_id != first.input_id
    assert first.block["id"] == first.input_id


async def test_a_model_that_cannot_see_is_sent_no_image(api: Api) -> None:
    execution = await api.prepared({"annotations": {"hostler/model": "scripted:blind"}})
    answer = await refused(api, execution, userInput={"image": {"data": PNG, "mimeType": "image/png"}})
    assert answer["code"] == "failed_precondition"
    assert "scripted:blind" in answer["message"]
    await api.send(execution, "words are fine")


async def test_a_text_sets_a_goal_where_the_agent_has_goals(api: Api) -> None:
    with_agent(api, driver="codex")
    execution = await api.prepared()
    text = f"/ona:goal --budget 200k Make {SECRET} work"
    await send(api, execution, userInput={"id": ID, "inputs": [{"text": {"content": text}}]})
    assert api.desk.commands[-1] == ChangeGoal(ID, GoalChange("set", "Make [redacted] work", "active", 200_000))
    await send(api, execution, userInput={"text": {"content": "/ona:goals are fine"}})
    assert last(api).block["text"] == {"content": "/ona:goals are fine"}
    answer = await refused(api, execution, userInput={"text": {"content": "/ona:goal --budget 5k "}})
    assert (answer["code"], "user_input.text" in answer["message"]) == ("invalid_argument", True)


async def test_a_text_that_begins_with_a_mode_is_heard_without_it_in_that_mode(api: Api) -> None:
    execution = await api.prepared()
    await send(api, execution, userInput={"text": {"content": "/ona:planning How would you do it?"}})
    sent = last(api)
    assert (sent.modes, sent.expansion) == (("planning",), "How would you do it?")
    assert sent.block["text"] == {"content": "/ona:planning How would you do it?"}
    await send(api, execution, userInput={"text": {"content": "x"}}, turnOptions={"modes": ["AGENT_MODE_SPEC"]})
    assert last(api).modes == ("spec",)
    answer = await refused(api, execution, userInput={"text": {"content": "/ona:ralph "}})
    assert (answer["code"], "user_input.text" in answer["message"]) == ("invalid_argument", True)


@pytest.mark.parametrize(
    ("more", "code", "field"),
    [
        ({}, "invalid_argument", "input"),
        ({"wakeEvent": {"interestId": "x"}}, "failed_precondition", "wake_event"),
        ({"controlInput": {}}, "invalid_argument", "control_input"),
        ({"controlInput": {"compact": {}}}, "failed_precondition", "control_input"),
        ({"controlInput": {"goal": {}}}, "invalid_argument", "control_input.goal.action"),
        ({"controlInput": {"goal": {"pause": {}}}}, "failed_precondition", "control_input.goal: there is no goal"),
        (
            {"controlInput": {"goal": {"set": {"objective": "x", "status": "GOAL_STATUS_COMPLETED"}}}},
            "invalid_argument",
            "control_input.goal.set.status",
        ),
        (
            {"controlInput": {"goal": {"set": {"objective": "--budget 5k "}}}},
            "invalid_argument",
            "control_input.goal.set.objective",
        ),
        ({"controlInput": {"deleteQueuedMessage": {"userInputId": ID}}}, "not_found", "user_input_id"),
        (
            {"userInput": {"text": {"content": "x"}}, "turnOptions": {"modes": ["AGENT_MODE_SPEC", "AGENT_MODE_GOAL"]}},
            "invalid_argument",
            "turn_options.modes",
        ),
        (
            {"userInput": {"text": {"content": "x"}}, "codexSettings": {"serviceTier": "CODEX_SERVICE_TIER_FAST"}},
            "invalid_argument",
            "codex_settings",
        ),
        ({"agentMessage": {"payload": " "}}, "invalid_argument", "agent_message.payload"),
        ({"agentMessage": {"payload": "x", "type": "TYPE_COMPLETE"}}, "failed_precondition", "agent_message.type"),
    ],
)
async def test_what_cannot_be_sent_is_refused_by_name(api: Api, more: dict[str, Any], code: str, field: str) -> None:
    execution = await api.prepared()
    before = await api.desk.log(execution)
    answer = await refused(api, execution, **more)
    assert answer["code"] == code
    assert answer["message"].startswith(f"{field}")
    assert await api.desk.log(execution) == before


async def test_two_inputs_at_once_are_refused(api: Api) -> None:
    execution = await api.prepared()
    answer = await refused(api, execution, userInput={"text": {"content": "x"}}, agentMessage={"payload": "y"})
    assert (answer["code"], "exclude each other" in answer["message"]) == ("invalid_argument", True)


async def test_a_message_says_nothing_about_its_sender_that_the_credential_does_not(api: Api) -> None:
    execution = await api.prepared()
    message = {"payload": "news", "type": "TYPE_UPDATE", "role": "ROLE_PARENT", "senderExecutionId": "somebody"}
    await send(api, execution, agentMessage=message)
    assert last(api).origin == "agent"
    assert last(api).block == {"type": "TYPE_UPDATE", "payload": "news"}


async def queued(api: Api, *ids: str) -> str:
    """Return a running execution with inputs in its queue."""
    execution = await api.prepared()
    await api.send(execution, "first")
    row = (await api.desk.seen(execution)).row
    await api.desk.append(execution, ev.InputTaken(tuple(row.view["hostler"]["queue"])), ev.ModelCallStarted("c1", "m"))
    for one in ids:
        await api.send(execution, one, id=one)
    return execution


async def test_the_queue_is_moved_steered_and_cut(api: Api) -> None:
    execution = await queued(api, "a", "b", "c")
    await send(api, execution, controlInput={"moveQueuedMessage": {"userInputId": "c", "beforeUserInputId": "a"}})
    await send(api, execution, controlInput={"deleteQueuedMessage": {"userInputId": "a"}})
    await send(api, execution, controlInput={"steerQueuedMessage": {"userInputId": "b"}})
    row = (await api.desk.seen(execution)).row
    assert row.view["hostler"]["queue"] == ["c", "b"]
    assert any(isinstance(recorded.event, ev.SteerRequested) for recorded in await api.desk.log(execution))
    gone = await refused(api, execution, controlInput={"deleteQueuedMessage": {"userInputId": "a"}})
    assert gone["code"] == "failed_precondition"
    unknown = await refused(
        api, execution, controlInput={"moveQueuedMessage": {"userInputId": "c", "beforeUserInputId": "x"}}
    )
    assert (unknown["code"], unknown["message"].split(":")[0]) == ("not_found", "before_user_input_id")


async def test_nothing_is_sent_to_nobody(api: Api) -> None:
    answer = await refused(api, ID, userInput={"text": {"content": "x"}})
    assert answer["code"] == "not_found"
