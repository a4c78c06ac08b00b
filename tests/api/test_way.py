"""The whole way through the API, over a real socket, against the desk in memory."""

from tests.api.conftest import Api


async def test_start_send_get_stop(api: Api) -> None:
    execution = await api.prepared({"name": "mend it"})
    await api.send(execution, "Hello")
    shown = (await api.call("GetAgentExecution", {"agentExecutionId": execution}))["agentExecution"]
    assert shown["status"]["phase"] == "PHASE_RUNNING"
    assert shown["metadata"]["name"] == "mend it"
    assert shown["status"]["conversationUrls"]["live"] == f"{api.url}/api/executions/{execution}/live"
    await api.call("StopAgentExecution", {"agentExecutionId": execution})
    listed = await api.call("ListAgentExecutions")
    assert [one["id"] for one in listed["agentExecutions"]] == [execution]
