"""What clients make of being refused."""

from uuid import uuid4

from tests import sdks
from tests.sdk.clients import Client
from tests.server import HostlerProcess

NOWHERE = str(uuid4())
CODEX = "00000000-0000-0000-0000-000000007800"


def test_a_json_client_tells_refusals_apart(old: Client) -> None:
    seen = old.run(
        f"""
        run = start()
        agents.delete_execution(agent_execution_id=run)
        tell(missing=refusal(get, {NOWHERE!r}), malformed=refusal(get, "not-a-uuid"),
             no_agent=refusal(agents.start_execution, agent_id={NOWHERE!r}),
             long=refusal(agents.start_execution, name="n" * 101),
             later=refusal(agents.start_execution, agent_id={CODEX!r}, mode="AGENT_MODE_RALPH"),
             gone=refusal(agents.delete_execution, agent_execution_id=run),
             page=refusal(agents.list_executions, token="nonsense"))
        """
    )
    assert (seen["missing"]["class"], seen["missing"]["code"]) == ("NotFoundError", "not_found")
    assert (seen["malformed"]["class"], seen["malformed"]["code"]) == ("BadRequestError", "invalid_argument")
    assert "agent_execution_id" in seen["malformed"]["message"]
    assert (seen["no_agent"]["class"], "agent_id" in seen["no_agent"]["message"]) == ("NotFoundError", True)
    assert (seen["long"]["class"], "name" in seen["long"]["message"]) == ("BadRequestError", True)
    assert (seen["later"]["status"], seen["later"]["code"], "mode" in seen["later"]["message"]) == (
        400,
        "failed_precondition",
        True,
    )
    assert seen["gone"]["code"] == "not_found"
    assert (seen["page"]["class"], "pagination.token" in seen["page"]["message"]) == ("BadRequestError", True)


def test_a_connect_client_tells_refusals_apart(new: Client) -> None:
    seen = new.run(
        f"""
        run = start().id()
        tell(missing=refusal(get, {NOWHERE!r}), malformed=refusal(get, "not-a-uuid"),
             no_agent=refusal(call, "StartAgent", agentId={NOWHERE!r}),
             long=refusal(call, "StartAgent", name="n" * 101),
             later=refusal(call, "StartAgent", agentId={CODEX!r}, mode="AGENT_MODE_RALPH"),
             empty=refusal(call, "SendToAgentExecution", agentExecutionId=run),
             gone=(call("DeleteAgentExecution", agentExecutionId=run),
                   refusal(call, "DeleteAgentExecution", agentExecutionId=run)),
             page=refusal(call, "ListAgentExecutions", pagination={{"token": "nonsense"}}),
             workflow=refusal(AgentSession(client, {NOWHERE!r}).watch_result),
             codex=refusal(call, "StartAgent", codexSettings={{"model": "CODEX_OPEN_AI_MODEL_GPT_5_5"}}))
        """
    )
    codes = {name: one["code"] for name, one in seen.items() if isinstance(one, dict) and "code" in one}
    assert codes == {
        "missing": "not_found",
        "malformed": "invalid_argument",
        "no_agent": "not_found",
        "long": "invalid_argument",
        "later": "failed_precondition",
        "empty": "invalid_argument",
        "page": "invalid_argument",
        "codex": "invalid_argument",
    }
    for name, field in {
        "malformed": "agent_execution_id",
        "no_agent": "agent_id",
        "long": "name",
        "later": "mode",
        "page": "pagination.token",
        "codex": "codex_settings",
    }.items():
        assert field in seen[name]["message"]
    assert seen["gone"][1]["code"] == "not_found"
    assert seen["workflow"]["class"] == "NotFoundError"


STRANGER = "hostler_nobody"


def test_a_json_client_tells_an_unknown_key_apart(old: Client) -> None:
    seen = old.with_key(STRANGER).run(
        f"tell(seen=[refusal(get, {NOWHERE!r}), refusal(client.identity.get_authenticated_identity)])"
    )
    assert [(one["class"], one["code"]) for one in seen["seen"]] == [("AuthenticationError", "unauthenticated")] * 2


def test_a_connect_client_tells_an_unknown_key_apart(new: Client) -> None:
    seen = new.with_key(STRANGER).run(
        f"""
        tell(seen=[refusal(get, {NOWHERE!r}), refusal(call, "GetAuthenticatedIdentity", "identity"),
                   refusal(list, events(organization=True))],
             workflow=refusal(AgentSession(client, {NOWHERE!r}).watch_result))
        """
    )
    assert [one["code"] for one in seen["seen"]] == ["unauthenticated"] * 3
    assert seen["workflow"]["class"] == "AuthenticationRequiredError"


def test_every_client_is_told_who_it_is(server: HostlerProcess) -> None:
    me = server.call("GetAuthenticatedIdentity", service="IdentityService")
    assert me["subject"]["principal"] == "PRINCIPAL_USER"
    for sdk in (sdks.GITPOD_0_5, sdks.GITPOD_0_11):
        assert Client(sdk, server).run("tell(**client.identity.get_authenticated_identity().to_dict())") == me
    for sdk in (sdks.GITPOD_1_2, sdks.ONA_0_1):
        assert Client(sdk, server).run("tell(**call('GetAuthenticatedIdentity', 'identity'))") == me


def test_what_cannot_be_waited_for_or_evaluated_is_refused(new: Client) -> None:
    seen = new.run(
        """
        run = start().id()
        def send(**what):
            call("SendToAgentExecution", agentExecutionId=run, **what)
        tell(wake=refusal(send, wakeEvent={"interestId": "timer-1"}),
             until=refusal(call, "StartAgent", annotations={"hostler/until": "outputs.done =="}))
        """
    )
    assert {name: one["code"] for name, one in seen.items()} == {
        "wake": "failed_precondition",
        "until": "invalid_argument",
    }
    for name, field in {"wake": "wake_event", "until": "hostler/until"}.items():
        assert field in seen[name]["message"]


def test_what_an_agent_cannot_do_is_refused_before_it_is_asked(new: Client) -> None:
    seen = new.run(
        """
        run = start().id()
        def send(**what):
            call("SendToAgentExecution", agentExecutionId=run, **what)
        tell(paused=refusal(send, controlInput={"goal": {"pause": {}}}),
             compact=refusal(send, controlInput={"compact": {}}),
             settings=refusal(send, userInput={"inputs": [{"text": {"content": "x"}}]},
                              codexSettings={"reasoningEffort": "CODEX_REASONING_EFFORT_LOW"}))
        """
    )
    codes = {name: one["code"] for name, one in seen.items()}
    assert codes == {
        **dict.fromkeys(("paused", "compact"), "failed_precondition"),
        "settings": "invalid_argument",
    }
    assert all("control_input" in seen[name]["message"] for name in ("paused", "compact"))
    assert "codex_settings" in seen["settings"]["message"]
