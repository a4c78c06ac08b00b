"""What clients may say about parents and sub-agents: nothing that only the server knows."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server import HostlerProcess, Refused

pytestmark = pytest.mark.sandbox
SPAWN = {"name": "spawn_agent", "arguments": {"name": "helper", "task": "help", "environment": "new"}}
CODEX = {"name": "spawn_agent", "arguments": {"task": "help", "agent": "codex"}}
RULES = [
    {"match": "nothing left", "steps": [{"text": "Heard."}]},
    {"match": "(^|\\n)help\\b", "steps": [{"text": "Helped."}]},
    {"match": "^end", "steps": [{"text": "Ended."}]},
    {"match": "^codex", "steps": [{"calls": [CODEX]}, {"text": "Started."}]},
    {"match": "", "steps": [{"calls": [SPAWN]}, {"text": "Started."}]},
]
OTHER = "01990000-0000-7000-8000-000000000000"


@pytest.fixture
def server(place: Path) -> Iterator[HostlerProcess]:
    (place / "script.json").write_text(json.dumps({"rules": RULES}))
    folder = place / "data"
    folder.mkdir(mode=0o711)
    server = HostlerProcess(folder, {"HOSTLER_MODEL": f"scripted:{place}/script.json"}).start()
    try:
        yield server
    finally:
        server.close()


def refused(server: HostlerProcess, method: str, body: dict[str, Any]) -> str:
    with pytest.raises(Refused) as problem:
        server.call(method, body)
    return str(problem.value)


def message(execution: str, **fields: Any) -> dict[str, Any]:
    return {"agentExecutionId": execution, "agentMessage": {"payload": "hm", **fields}}


def test_only_the_server_says_whose_sub_agent_an_execution_is(server: HostlerProcess) -> None:
    asked = {"annotations": {"hostler/parent": OTHER}}
    assert "hostler/parent" in refused(server, "StartAgent", asked)
    parent = server.start_agent("go")
    update = {"agentExecutionId": parent, "metadata": asked}
    assert "hostler/parent" in refused(server, "UpdateAgentExecution", update)
    assert "sub-agent" in refused(server, "SendToAgentExecution", message(parent, type="TYPE_COMPLETE"))

    def helped() -> dict[str, Any] | None:
        found = server.get(parent)["status"].get("subagents", [])
        return found[0] if found and found[0]["phase"] == "PHASE_WAITING_FOR_INPUT" else None

    child = server.until(helped)
    assert child["name"] == "helper"
    assert "parentId" not in child
    assert child["conversationUrls"]["live"].endswith(f"/{child['id']}/live")
    below = server.get(child["id"])
    assert below["metadata"]["annotations"] == {"hostler/parent": parent}
    assert below["metadata"]["sessionId"] == server.get(parent)["metadata"]["sessionId"]
    theirs = [server.get(one)["status"]["usedEnvironments"][0]["environmentId"] for one in (parent, child["id"])]
    assert theirs[0] != theirs[1]
    removed = {"agentExecutionId": child["id"], "metadata": {"annotations": {"hostler/parent": ""}}}
    assert "hostler/parent" in refused(server, "UpdateAgentExecution", removed)

    claimed = message(child["id"], type="TYPE_COMPLETE", role="ROLE_PARENT", senderExecutionId=OTHER, payload="end")
    server.call("SendToAgentExecution", claimed)
    server.until(lambda: server.phase(child["id"]) == "STOPPED")
    said = [body for kind, body in server.log(child["id"]) if kind == "InputQueued"][-1]["block"]
    assert said.get("senderExecutionId", "") == ""
    assert said.get("role", "ROLE_UNSPECIFIED") == "ROLE_UNSPECIFIED"
    request = urllib.request.Request(
        f"{server.url}/api/executions/{parent}/transcript?tree=1", headers={"Authorization": f"Bearer {server.token}"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        tree = [json.loads(line) for line in answer.read().splitlines()]
    assert any(one.get("parent") == parent for one in tree)


def test_codex_works_as_a_sub_agent_and_is_stopped_with_its_parent(server: HostlerProcess) -> None:
    parent = server.start_agent("codex")
    state = server.rest(parent)
    (child,) = state["status"]["subagents"]

    def helped() -> dict[str, Any] | None:
        found = server.get(parent)["status"]["subagents"][0]
        return found if found["phase"] == "PHASE_WAITING_FOR_INPUT" else None

    server.until(helped)
    server.until(lambda: "SubAgentReported" in [kind for kind, _ in server.log(parent)])
    said = [body["block"] for kind, body in server.log(parent) if kind == "InputQueued"][-1]
    assert (said["role"], said["type"], said["payload"]) == ("ROLE_CHILD", "TYPE_COMPLETE", "Helped.")
    assert server.get(child["id"])["spec"]["agentId"].endswith("7800")
    server.call("StopAgentExecution", {"agentExecutionId": parent})
    server.until(lambda: server.phase(child["id"]) == "STOPPED")
