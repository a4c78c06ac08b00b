"""StartAgent: what is accepted, what is refused by name, and that a refusal changes nothing."""

import json
from typing import Any

import pytest

from hostler.core.desk import NewEnvironment
from hostler.core.providers import LocalRepository, RemoteRepository, Scratch
from hostler.testing.desk import RUNNER
from tests.api.conftest import AGENT, CLASSES, OWNER, Api, with_agent

NOBODY = "0190aaaa-0000-7000-8000-00000000ffff"


def environment(api: Api) -> NewEnvironment:
    """Return the environment that the last start asked for."""
    made = api.desk.started[-1].environment
    assert isinstance(made, NewEnvironment)
    return made


async def test_nothing_is_needed_to_start(api: Api) -> None:
    execution = await api.started()
    shown = (await api.call("GetAgentExecution", {"agentExecutionId": execution}))["agentExecution"]
    assert shown["id"] == execution
    assert shown["spec"]["agentId"] == AGENT
    assert shown["status"]["phase"] == "PHASE_PENDING"
    assert shown["metadata"]["creator"] == {"id": OWNER.id, "principal": "PRINCIPAL_USER"}
    assert shown["metadata"]["sessionId"]
    assert (environment(api).class_id, environment(api).source) == (CLASSES[0].id, Scratch())


@pytest.mark.parametrize(
    ("context", "source"),
    [
        ({"contextUrl": {"url": "https://github.com/o/r"}}, RemoteRepository("https://github.com/o/r")),
        ({"contextUrl": {"url": "https://github.com/o/r/tree/dev"}}, RemoteRepository("https://github.com/o/r", "dev")),
        ({"contextUrl": {"url": "file:///srv/code"}}, LocalRepository("/srv/code")),
        ({"contextUrl": {"url": "/srv/code"}}, LocalRepository("/srv/code")),
        (
            {"contextUrl": {"url": "https://h/o/r"}, "pullRequest": {"fromBranch": "fix"}},
            RemoteRepository("https://h/o/r", "fix"),
        ),
        (
            {"contextUrl": {"url": "https://h/o/r/pull/7"}, "pullRequest": {"fromBranch": "fix"}},
            RemoteRepository("https://h/o/r", "refs/pull/7/head"),
        ),
        (
            {"pullRequest": {"headSha": "abcdef1", "repository": {"cloneUrl": "https://h/o/r.git"}}},
            RemoteRepository("https://h/o/r.git", "abcdef1"),
        ),
        ({"pullRequest": {"url": "https://h/o/r/pull/7"}}, RemoteRepository("https://h/o/r", "refs/pull/7/head")),
    ],
)
async def test_the_code_that_a_context_names(api: Api, context: dict[str, Any], source: object) -> None:
    execution = await api.started({"codeContext": context})
    assert environment(api).source == source
    shown = (await api.call("GetAgentExecution", {"agentExecutionId": execution}))["agentExecution"]
    assert shown["spec"]["codeContext"] == context


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"agentId": NOBODY}, "not_found", "agent_id"),
        ({"runnerId": NOBODY}, "not_found", "runner_id"),
        ({"codeContext": {"projectId": NOBODY}}, "not_found", "code_context.project_id"),
        (
            {"codeContext": {"contextUrl": {"url": "https://h/o/r", "environmentClassId": NOBODY}}},
            "not_found",
            "code_context.context_url.environment_class_id",
        ),
        (
            {"codeContext": {"contextUrl": {"url": "git@github.com:o/r"}}},
            "invalid_argument",
            "code_context.context_url.url",
        ),
        ({"codeContext": {"contextUrl": {}}}, "invalid_argument", "code_context.context_url.url"),
        ({"codeContext": {"pullRequest": {"title": "x"}}}, "invalid_argument", "code_context.pull_request"),
        ({"turnOptions": {"modes": ["AGENT_MODE_RALPH", "AGENT_MODE_GOAL"]}}, "invalid_argument", "turn_options.modes"),
        ({"turnOptions": {"modes": ["AGENT_MODE_UNSPECIFIED"]}}, "invalid_argument", "turn_options.modes"),
        ({"turnOptions": {"modes": ["AGENT_MODE_GOAL", "AGENT_MODE_GOAL"]}}, "invalid_argument", "turn_options.modes"),
        (
            {"turnOptions": {"modes": ["AGENT_MODE_EXECUTION", "AGENT_MODE_PLANNING"]}},
            "invalid_argument",
            "turn_options.modes",
        ),
        ({"codexSettings": {"model": "CODEX_OPEN_AI_MODEL_GPT_5_5"}}, "invalid_argument", "codex_settings"),
        ({"name": "x" * 101}, "invalid_argument", "name"),
        ({"annotations": {"": "x"}}, "invalid_argument", "annotations"),
        ({"annotations": {"k" * 257: "x"}}, "invalid_argument", "annotations"),
        ({"annotations": {"k": "x" * 4097}}, "invalid_argument", "annotations[k]"),
        ({"annotations": {str(n): "x" for n in range(65)}}, "invalid_argument", "annotations"),
        ({"annotations": {"hostler/until": "1 + 1"}}, "invalid_argument", "annotations[hostler/until]"),
        ({"annotations": {"hostler/requires": "{}"}}, "invalid_argument", "annotations[hostler/requires]"),
        (
            {"annotations": {"hostler/requires": '[{"key": "a", "accept": "value +"}]'}},
            "invalid_argument",
            "annotations[hostler/requires]",
        ),
        ({"annotations": {"hostler/modle": "a:b"}}, "invalid_argument", "annotations[hostler/modle]"),
        ({"annotations": {"hostler/model": "scripted:forbidden"}}, "invalid_argument", "annotations[hostler/model]"),
        ({"annotations": {"hostler/model": "no:such"}}, "failed_precondition", "model 'no:such'"),
        ({"annotations": {"hostler/limits": "{"}}, "invalid_argument", "annotations[hostler/limits]"),
        ({"annotations": {"hostler/limits": "[1]"}}, "invalid_argument", "annotations[hostler/limits]"),
        (
            {"annotations": {"hostler/limits": '{"max_itrations": 1}'}},
            "invalid_argument",
            "annotations[hostler/limits]",
        ),
        ({"annotations": {"hostler/limits": '{"max_seconds": -1}'}}, "invalid_argument", "annotations[hostler/limits]"),
        (
            {"annotations": {"hostler/limits": '{"max_seconds": true}'}},
            "invalid_argument",
            "annotations[hostler/limits]",
        ),
        (
            {"annotations": {"hostler/limits": '{"max_seconds": 1.5}'}},
            "invalid_argument",
            "annotations[hostler/limits]",
        ),
    ],
)
async def test_what_cannot_start_is_refused_by_name(api: Api, body: dict[str, Any], code: str, field: str) -> None:
    refused = await api.refused("StartAgent", body)
    assert refused["code"] == code
    assert refused["message"].startswith(field)
    assert api.desk.started == []


async def test_an_ssh_address_is_told_what_is_accepted(api: Api) -> None:
    refused = await api.refused("StartAgent", {"codeContext": {"contextUrl": {"url": "git@github.com:o/r.git"}}})
    assert "https://HOST/OWNER/REPO" in refused["message"]


async def test_an_environment_by_id_is_used_as_it_is(api: Api) -> None:
    await api.started({"codeContext": {"environmentId": NOBODY.upper()}})
    assert api.desk.started[-1].environment == NOBODY


async def test_this_runner_and_execution_mode_and_empty_ids_are_fine(api: Api) -> None:
    await api.started(
        {
            "runnerId": RUNNER,
            "agentId": "",
            "sessionId": "",
            "mode": "AGENT_MODE_EXECUTION",
            "turnOptions": {"modes": ["AGENT_MODE_EXECUTION"]},
            "codeContext": {"contextUrl": {"url": "https://h/o/r", "environmentClassId": CLASSES[1].id}},
        }
    )
    assert environment(api).class_id == CLASSES[1].id


async def test_model_and_limits_come_from_annotations(api: Api) -> None:
    limits = json.dumps({"max_iterations": 3, "max_seconds": 60})
    execution = await api.started(
        {"annotations": {"hostler/model": "scripted:blind", "hostler/limits": limits, "mine": "1"}}
    )
    agent = api.desk.started[-1].agent
    assert (agent.model, agent.context_window) == ("scripted:blind", 1000)
    assert (agent.limits.max_iterations, agent.limits.max_seconds) == (3, 60)
    shown = (await api.call("GetAgentExecution", {"agentExecutionId": execution}))["agentExecution"]
    assert shown["metadata"]["annotations"]["mine"] == "1"
    assert shown["spec"]["limits"] == {"maxIterations": "3"}


async def test_a_default_model_without_its_key_is_said_at_once(api: Api) -> None:
    with_agent(api, model="anthropic:claude")
    refused = await api.refused("StartAgent")
    assert refused["code"] == "failed_precondition"


async def test_an_idempotency_key_starts_once(api: Api) -> None:
    key = {"idempotency-key": "k1"}
    first = await api.call("StartAgent", {"name": "a", "annotations": {"x": "1", "y": "2"}}, more=key)
    again = await api.call("StartAgent", {"annotations": {"y": "2", "x": "1"}, "name": "a"}, more=key)
    assert again == first
    other = await api.refused("StartAgent", {"name": "b"}, key)
    assert (other["status"], other["code"]) == (409, "already_exists")
    assert (await api.call("StartAgent", {"name": "b"}, more=key, token="bot-token")) != first
    assert (await api.refused("StartAgent", {}, {"idempotency-key": "k" * 257}))["code"] == "invalid_argument"


async def test_a_stopping_server_starts_nothing(api: Api) -> None:
    execution = await api.prepared()
    api.stopping = True
    refused = await api.refused("StartAgent")
    assert (refused["code"], refused["headers"]["retry-after"]) == ("unavailable", "5")
    refused = await api.refused(
        "SendToAgentExecution", {"agentExecutionId": execution, "userInput": {"text": {"content": "x"}}}
    )
    assert refused["code"] == "unavailable"
    await api.call("GetAgentExecution", {"agentExecutionId": execution})
    await api.call("StopAgentExecution", {"agentExecutionId": execution})


async def test_a_limit_of_cost_is_refused_where_the_price_is_not_known(api: Api) -> None:
    refused = await api.refused("StartAgent", {"annotations": {"hostler/limits": '{"max_cost": 2.5}'}})
    assert refused["code"] == "failed_precondition"
    assert "needs the price of" in refused["message"]
    assert await api.started({"annotations": {"hostler/limits": '{"max_cost": 0}'}})
