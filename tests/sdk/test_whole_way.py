"""The main job through each official client: start, send, watch, read, get, stop, delete."""

from tests.sdk.clients import Client

TASK = "Mend the failing test"


def mended(execution: dict[str, object]) -> None:
    """Check what the agent's run on the example project comes to."""
    status = execution["status"]
    assert isinstance(status, dict)
    assert status["phase"] == "PHASE_WAITING_FOR_INPUT"
    assert status["outputs"]["tests"] == {"stringValue": "5 passed"}
    assert status["outputs"]["mended"] == {"stringValue": "wordcount/ranking.py"}
    assert int(status["iterations"]) == 7
    assert int(status["inputTokensUsed"]) > 0
    assert int(status["cachedInputTokensUsed"]) > int(status["inputTokensUsed"])
    assert int(status["cachedCreationTokensUsed"]) > 0
    assert int(status["outputTokensUsed"]) > 0
    assert "failureMessage" not in status
    assert "warningMessage" not in status


def test_a_connect_client_starts_watches_reads_stops_and_deletes(new: Client, project: str) -> None:
    seen = new.run(
        f"""
        session = start(arguments[0], {TASK!r})
        running = agent_pb2.AgentExecution.Phase.Name(session.wait_running().status.phase)
        text = "".join(session.message_stream())
        updates = []
        session.watch_result(lambda execution: updates.append(execution.status.phase))
        result = get(session.id())
        environment = result["status"]["usedEnvironments"][0]["environmentId"]
        call("StopAgentExecution", agentExecutionId=session.id())
        stopped = get(session.id())
        call("DeleteAgentExecution", agentExecutionId=session.id())
        gone = refusal(call, "GetAgentExecution", agentExecutionId=session.id())
        tell(running=running, text=text, result=result, stopped=stopped, gone=gone)
        """,
        project,
    )
    assert seen["running"] == "PHASE_RUNNING"
    assert seen["text"].startswith(f"> {TASK}\n\nI begin with the tests, to see what fails.\n\n")
    assert seen["text"].endswith("I changed it to `ranked[:limit]`, and all 5 tests pass now.\n\n")
    mended(seen["result"])
    assert seen["result"]["metadata"]["name"] == TASK
    assert seen["result"]["spec"]["codeContext"] == {"contextUrl": {"url": project}}
    assert seen["stopped"]["status"]["phase"] == "PHASE_STOPPED"
    assert seen["stopped"]["spec"]["desiredPhase"] == "PHASE_STOPPED"
    assert seen["gone"]["code"] == "not_found"


def test_a_json_client_starts_watches_gets_stops_and_deletes(old: Client, project: str) -> None:
    seen = old.run(
        f"""
        execution = start(arguments[0], {TASK!r})
        phases = watch(execution, "PHASE_WAITING_FOR_INPUT", "PHASE_STOPPED")
        result = get(execution)
        token = agents.create_execution_conversation_token(agent_execution_id=execution).token
        agents.stop_execution(agent_execution_id=execution)
        stopped = get(execution)
        agents.delete_execution(agent_execution_id=execution)
        gone = refusal(get, execution)
        tell(phases=phases, result=result, token=token, stopped=stopped, gone=gone)
        """,
        project,
    )
    assert seen["phases"][-1] == "PHASE_WAITING_FOR_INPUT"
    assert set(seen["phases"][:-1]) <= {"PHASE_PENDING", "PHASE_RUNNING"}
    mended(seen["result"])
    assert seen["result"]["metadata"]["name"] == TASK
    assert seen["result"]["spec"]["codeContext"] == {"contextUrl": {"url": project}}
    assert seen["token"].count(".") == 2
    assert seen["stopped"]["status"]["phase"] == "PHASE_STOPPED"
    assert (seen["gone"]["class"], seen["gone"]["code"]) == ("NotFoundError", "not_found")
