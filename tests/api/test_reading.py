"""Get, List, Stop, Delete, Update, ReportOutputs and the agents."""

from typing import Any

import pytest

from hostler.core.ports import ExecutionQuery
from tests.api.conftest import AGENT, Api, with_agent

A, B = "0190AAAA-0000-7000-8000-00000000000a", "0190aaaa-0000-7000-8000-00000000000b"


async def test_a_list_is_cut_into_pages_newest_first(api: Api) -> None:
    made = [await api.started() for _ in range(5)]
    first = await api.call("ListAgentExecutions", {"pagination": {"pageSize": 2}})
    second = await api.call(
        "ListAgentExecutions", {"pagination": {"pageSize": 100, "token": first["pagination"]["nextToken"]}}
    )
    listed = [one["id"] for one in first["agentExecutions"] + second["agentExecutions"]]
    assert listed == made[::-1]
    assert not second.get("pagination", {}).get("nextToken")


async def test_a_page_has_25_unless_asked_otherwise_and_a_full_last_page_has_no_next(api: Api) -> None:
    for _ in range(26):
        await api.started()
    for body in ({}, {"pagination": {"pageSize": 0}}):
        assert len((await api.call("ListAgentExecutions", body))["agentExecutions"]) == 25
    exact = await api.call("ListAgentExecutions", {"pagination": {"pageSize": 26}})
    assert not exact.get("pagination", {}).get("nextToken")


@pytest.mark.parametrize("token", ["nonsense", "e30", "WzEsMl0", "é", "====", "x" * 5000])
async def test_a_token_that_is_none_is_refused(api: Api, token: str) -> None:
    refused = await api.refused("ListAgentExecutions", {"pagination": {"token": token}})
    assert (refused["code"], refused["message"].split(":")[0]) == ("invalid_argument", "pagination.token")


async def test_a_token_belongs_to_its_filter(api: Api) -> None:
    for _ in range(3):
        await api.started()
    one = {"pagination": {"pageSize": 1}, "filter": {"statusPhases": ["PHASE_PENDING"], "annotations": {}}}
    token = (await api.call("ListAgentExecutions", one))["pagination"]["nextToken"]
    again = {"pagination": {"token": token, "pageSize": 2}, "filter": {"statusPhases": ["PHASE_PENDING"]}}
    assert len((await api.call("ListAgentExecutions", again))["agentExecutions"]) == 2
    for other in ({}, {"filter": {"statusPhases": ["PHASE_RUNNING"]}}):
        refused = await api.refused("ListAgentExecutions", {"pagination": {"token": token}, **other})
        assert refused["code"] == "invalid_argument"
        assert "filter" in refused["message"]


async def test_every_filter_reaches_the_store(api: Api) -> None:
    filtered: dict[str, Any] = {
        "agentIds": [A],
        "projectIds": [A],
        "environmentIds": [A, B],
        "creatorIds": [A],
        "statusPhases": ["PHASE_RUNNING", "PHASE_WAITING_FOR_INPUT"],
        "roles": ["AGENT_EXECUTION_ROLE_WORKFLOW"],
        "sessionIds": [A],
        "agentExecutionIds": [B],
        "annotations": {"k": "", "other": "v"},
    }
    await api.call("ListAgentExecutions", {"filter": filtered})
    a = A.lower()
    assert api.desk.executions.queries[-1] == ExecutionQuery(
        agent_ids=(a,),
        project_ids=(a,),
        environment_ids=(a, B),
        creator_ids=(a,),
        phases=("RUNNING", "WAITING_FOR_INPUT"),
        roles=("AGENT_EXECUTION_ROLE_WORKFLOW",),
        session_ids=(a,),
        execution_ids=(B,),
        annotations={"k": "", "other": "v"},
    )


@pytest.mark.parametrize(
    "filtered", [{"sessionIds": ["x"]}, {"projectIds": [A] * 26}, {"agentExecutionIds": [A] * 101}, {"roles": [9]}]
)
async def test_a_filter_that_breaks_the_rules_is_refused(api: Api, filtered: dict[str, Any]) -> None:
    assert (await api.refused("ListAgentExecutions", {"filter": filtered}))["code"] == "invalid_argument"


async def test_the_truth_about_the_owner_is_shown_while_it_matters(api: Api) -> None:
    execution = await api.prepared()
    get = {"agentExecutionId": execution}
    await api.send(execution, "x")
    for liveness, activity in (("recovering", "recovering"), ("waiting_for_slot", "waiting for a slot")):
        api.desk.live = liveness  # type: ignore[assignment]
        status = (await api.call("GetAgentExecution", get))["agentExecution"]["status"]
        assert status["currentActivity"] == activity
    await api.call("StopAgentExecution", get)
    api.desk.live = "live"
    status = (await api.call("GetAgentExecution", get))["agentExecution"]["status"]
    assert status.get("currentActivity") != "live"


async def test_stop_may_be_repeated_and_delete_may_not(api: Api) -> None:
    execution = await api.prepared()
    body = {"agentExecutionId": execution.upper()}
    await api.call("StopAgentExecution", body)
    await api.call("StopAgentExecution", body)
    await api.call("DeleteAgentExecution", body)
    for method in ("DeleteAgentExecution", "GetAgentExecution", "StopAgentExecution"):
        assert (await api.refused(method, body))["code"] == "not_found"
    assert (await api.call("ListAgentExecutions")).get("agentExecutions", []) == []


async def test_annotations_are_merged_and_an_empty_value_deletes(api: Api) -> None:
    execution = await api.started({"annotations": {"a": "1", "b": "2"}})
    body: dict[str, Any] = {"agentExecutionId": execution, "metadata": {"annotations": {"a": "", "c": "3"}}}
    shown = (await api.call("UpdateAgentExecution", body))["agentExecution"]
    assert shown["metadata"]["annotations"] == {"b": "2", "c": "3"}
    for annotations, code in (
        ({str(n): "x" for n in range(64)}, "invalid_argument"),
        ({"hostler/model": "scripted:demo"}, "unimplemented"),
        ({"hostler/until": "outputs.x =="}, "invalid_argument"),
    ):
        refused = await api.refused(
            "UpdateAgentExecution", {"agentExecutionId": execution, "metadata": {"annotations": annotations}}
        )
        assert refused["code"] == code


async def test_conditions_and_limits_are_set_shown_and_taken_away(api: Api) -> None:
    execution = await api.started({"annotations": {"hostler/until": "outputs.ready"}})
    condition = {"id": "green", "expression": "outputs.green == true", "description": "all green"}
    spec: dict[str, Any] = {"loopConditions": [condition], "limits": {"maxIterations": "7"}}
    body: dict[str, Any] = {"agentExecutionId": execution, "spec": spec}
    shown = (await api.call("GetAgentExecution", {"agentExecutionId": execution}))["agentExecution"]["spec"]
    assert [one["expression"] for one in shown["loopConditions"]] == ["outputs.ready"]
    shown = (await api.call("UpdateAgentExecution", body))["agentExecution"]["spec"]
    assert shown["loopConditions"] == [condition]
    assert shown["limits"]["maxIterations"] == "7"
    shown = (await api.call("UpdateAgentExecution", {**body, "spec": {}}))["agentExecution"]["spec"]
    assert "loopConditions" not in shown
    assert shown["limits"]["maxIterations"] == "7"


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("", "an expression is needed"),
        ("1 +", "at 1:"),
        ("output.green", "undeclared reference to 'output"),
        ("1 + 1", "it gives INT"),
        ("(" * 3000, "at most 2000"),
        ("(" * 900 + "true" + ")" * 900, "recursion"),
        ("x" * 2001, "at most 2000"),
    ],
)
async def test_an_expression_that_cannot_be_evaluated_is_refused_with_its_place(
    api: Api, expression: str, said: str
) -> None:
    execution = await api.started()
    spec = {"loopConditions": [{"id": "c", "expression": expression}]}
    refused = await api.refused("UpdateAgentExecution", {"agentExecutionId": execution, "spec": spec})
    assert refused["code"] == "invalid_argument"
    assert refused["message"].startswith("spec.loop_conditions[0].expression: ")
    assert said in refused["message"]


async def test_outputs_are_typed_and_kept_all_or_none(api: Api) -> None:
    execution = await api.started()
    outputs: dict[str, Any] = {
        "s": {"stringValue": ""},
        "i": {"intValue": "7"},
        "f": {"floatValue": 1.5},
        "b": {"boolValue": False},
    }
    body = {"agentExecutionId": execution, "outputs": outputs}
    assert (await api.call("ReportAgentExecutionOutputs", body))["agentExecution"]["status"]["outputs"] == outputs
    for bad in (
        {"x": {}},
        {"n": {"floatValue": "NaN"}},
        {"n": {"floatValue": "Infinity"}},
        {"k" * 129: {"intValue": 1}},
    ):
        refused = await api.refused(
            "ReportAgentExecutionOutputs", {"agentExecutionId": execution, "outputs": {"ok": {"intValue": 1}, **bad}}
        )
        assert refused["code"] == "invalid_argument"
    assert (await api.refused("ReportAgentExecutionOutputs", {"agentExecutionId": execution}))[
        "code"
    ] == "invalid_argument"
    shown = (await api.call("GetAgentExecution", {"agentExecutionId": execution}))["agentExecution"]
    assert shown["status"]["outputs"] == outputs


async def test_agents_are_listed_and_their_prompts_are_for_administrators(api: Api) -> None:
    with_agent(api, tools=("bash", "read"))
    for token, shown in (("owner-token", [{"systemPrompt": "be kind"}]), ("bot-token", None)):
        listed = (await api.call("ListAgents", token=token))["agents"]
        one = (await api.call("GetAgent", {"agentId": AGENT}, token=token))["agent"]
        assert listed == [one]
        assert one["id"] == AGENT
        assert one["metadata"] == {"name": "hostler", "description": "the built-in agent"}
        assert one["runnerSide"].get("prompts") == shown
        assert one["runnerSide"]["requiredTools"] == ["bash", "read"]
    assert (await api.refused("GetAgent", {"agentId": A}))["code"] == "not_found"
    assert await api.call("ListMCPIntegrations") == {"pagination": {}}
