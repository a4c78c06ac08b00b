"""The prompt library over the wire."""

from typing import Any

import pytest

from hostler.core.prompts import PromptQuery
from hostler.testing.desk import MemoryPrompts
from tests.api.conftest import OWNER, Api

TEXT = {"name": "Review", "description": "Reviews a change", "prompt": "Look at it."}


async def created(api: Api, **more: Any) -> dict[str, Any]:
    return (await api.call("CreatePrompt", {**TEXT, **more}))["prompt"]


async def test_a_prompt_is_kept_whole(api: Api) -> None:
    prompt = await created(api, isCommand=True, command="review", isTemplate=True)
    assert prompt["spec"] == {"prompt": "Look at it.", "isTemplate": True, "isCommand": True, "command": "review"}
    assert prompt["metadata"] == {
        "organizationId": api.parts.organization_id,
        "name": "Review",
        "description": "Reviews a change",
        "creator": {"id": OWNER.id, "principal": "PRINCIPAL_USER"},
        "createdAt": "2026-01-01T00:00:00Z",
        "updatedAt": "2026-01-01T00:00:00Z",
    }
    assert (await api.call("GetPrompt", {"promptId": prompt["id"]}))["prompt"] == prompt


async def test_only_the_fields_that_are_present_are_changed(api: Api) -> None:
    prompt = await created(api, isCommand=True, command="review")
    api.clock.advance(60)
    body: dict[str, Any] = {"promptId": prompt["id"], "spec": {"isCommand": False}, "metadata": {"name": "Other"}}
    changed = (await api.call("UpdatePrompt", body))["prompt"]
    assert changed["spec"] == {"prompt": "Look at it.", "command": "review"}
    assert changed["metadata"]["name"] == "Other"
    assert changed["metadata"]["description"] == "Reviews a change"
    assert changed["metadata"]["createdAt"] == prompt["metadata"]["createdAt"]
    assert changed["metadata"]["updatedAt"] == "2026-01-01T00:01:00Z"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"spec": {"command": ""}}, "spec.command"),
        ({"spec": {"prompt": ""}}, "spec.prompt"),
        ({"metadata": {"name": ""}}, "metadata.name"),
        ({"metadata": {"description": ""}}, "metadata.description"),
        ({"spec": {"command": "with blank"}}, "spec.command"),
    ],
)
async def test_a_change_that_would_break_a_prompt_changes_nothing(api: Api, change: dict[str, Any], field: str) -> None:
    prompt = await created(api, isCommand=True, command="review")
    refused = await api.refused("UpdatePrompt", {"promptId": prompt["id"], **change})
    assert (refused["code"], refused["message"].split(":")[0]) == ("invalid_argument", field)
    assert (await api.call("GetPrompt", {"promptId": prompt["id"]}))["prompt"] == prompt


@pytest.mark.parametrize(
    "bad",
    [
        {"name": ""},
        {"name": "x" * 256},
        {"description": ""},
        {"prompt": ""},
        {"prompt": "x" * 20001},
        {"command": "a b"},
        {"command": "x" * 51},
        {"isCommand": True},
    ],
)
async def test_a_prompt_that_breaks_a_rule_is_refused(api: Api, bad: dict[str, Any]) -> None:
    refused = await api.refused("CreatePrompt", {**TEXT, **bad})
    assert (refused["code"], refused["message"].split(":")[0]) == (
        "invalid_argument",
        next(iter(bad)).replace("isC", "c"),
    )


async def test_a_command_is_unique_whatever_its_case(api: Api) -> None:
    await created(api, isCommand=True, command="Review")
    refused = await api.refused("CreatePrompt", {**TEXT, "isCommand": True, "command": "rEVIEW"})
    assert (refused["status"], refused["code"]) == (409, "already_exists")


@pytest.mark.parametrize("field", ["name", "description", "prompt"])
async def test_hidden_characters_are_refused_in_every_text(api: Api, field: str) -> None:
    refused = await api.refused("CreatePrompt", {**TEXT, field: "good\u200b \u202ebad"})
    assert (refused["code"], refused["message"].split(":")[0]) == ("invalid_argument", field)
    assert refused["details"][0]["type"] == "gitpod.v1.PromptValidationErrorDetails"


async def test_the_list_filters_and_may_leave_the_text_out(api: Api) -> None:
    prompt = await created(api, isTemplate=True, isCommand=True, isSkill=True, command="c")
    body: dict[str, Any] = {
        "isTemplate": True,
        "isCommand": True,
        "isSkill": True,
        "command": "c",
        "commandPrefix": "p",
        "search": "word",
        "excludePromptContent": True,
    }
    listed = (await api.call("ListPrompts", {"filter": body}))["prompts"]
    assert listed[0]["metadata"] == prompt["metadata"]
    assert "prompt" not in listed[0].get("spec", {})
    prompts = api.parts.prompts
    assert isinstance(prompts, MemoryPrompts)
    assert prompts.queries[-1] == PromptQuery(True, True, True, "c", "p", "word")


async def test_a_deleted_prompt_is_gone(api: Api) -> None:
    prompt = await created(api)
    await api.call("DeletePrompt", {"promptId": prompt["id"]})
    for method in ("DeletePrompt", "GetPrompt", "UpdatePrompt"):
        assert (await api.refused(method, {"promptId": prompt["id"]}))["code"] == "not_found"


async def test_prompts_are_listed_in_pages(api: Api) -> None:
    made = [(await created(api))["id"] for _ in range(3)]
    first = await api.call("ListPrompts?pageSize=2")
    second = await api.call(f"ListPrompts?pageSize=2&token={first['pagination']['nextToken']}")
    assert [one["id"] for one in first["prompts"] + second["prompts"]] == made[::-1]
