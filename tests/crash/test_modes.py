"""Modes through a kill -9 of the real server, in a real sandbox: a plan's rounds, planning, a goal's budget."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import ROOT, blocks
from tests.server import HostlerProcess

pytestmark = [pytest.mark.crash, pytest.mark.sandbox]
Serve = Callable[[Mapping[str, Any]], HostlerProcess]


@pytest.fixture
def serve(place: Path) -> Iterator[Serve]:
    """Start a server whose agent follows a script."""
    servers: list[HostlerProcess] = []

    def start(script: Mapping[str, Any]) -> HostlerProcess:
        (place / "script.json").write_text(json.dumps(script))
        folder = place / "data"
        folder.mkdir(mode=0o711)
        servers.append(HostlerProcess(folder, {"HOSTLER_MODEL": f"scripted:{place}/script.json"}).start())
        return servers[0]

    yield start
    for server in servers:
        server.close()


def of(server: HostlerProcess, execution: str, kind: str) -> list[dict[str, Any]]:
    return [body for name, body in server.log(execution) if name == kind]


def test_the_plan_of_the_page_is_worked_through_over_a_kill(serve: Serve) -> None:
    (script,) = (one.text for one in blocks(ROOT / "docs" / "how-to" / "modes.md") if one.kind == "json")
    server = serve(json.loads(script))
    execution = server.start_agent("/ona:ralph Greet the world")
    server.until(lambda: of(server, execution, "ModeChanged"))
    server.restart()
    status = server.rest(execution)["status"]
    assert status["phase"] == "PHASE_WAITING_FOR_INPUT"
    assert status["mode"] == "AGENT_MODE_EXECUTION"
    changes = [body["milestone"] for body in of(server, execution, "ModeChanged")]
    assert changes == ["spec_complete", "iteration_complete", "complete"]
    assert len(of(server, execution, "ContextCleared")) == 2
    assert not of(server, execution, "NoProgress")


def test_planning_cannot_write_and_a_command_may_look(serve: Serve) -> None:
    steps = [
        {"calls": [{"name": "bash", "arguments": {"command": "echo x > made || echo kept-from; ls -d ."}}]},
        {"calls": [{"name": "write", "arguments": {"path": "made", "content": "x"}}]},
        {"text": "This is how."},
    ]
    server = serve({"rules": [{"steps": steps}]})
    execution = server.start_agent("/ona:planning How?")
    assert server.rest(execution)["status"]["phase"] == "PHASE_WAITING_FOR_INPUT"
    looked, refused = of(server, execution, "ToolFinished")
    ready = of(server, execution, "EnvironmentReady")[0]
    assert ("kept-from" if ready.get("read_only") else "There is no tool 'bash'") in looked["text"]
    assert "There is no tool 'write'" in refused["text"]


def test_a_goal_spends_its_budget_over_a_kill_and_not_a_call_more(serve: Serve) -> None:
    step = {"calls": [{"name": "bash", "arguments": {"command": "date +%N >> log"}}]}
    server = serve({"rules": [{"steps": [step, {"text": "On."}]}]})
    execution = server.start_agent("/ona:goal --budget 40k Never done")
    server.until(lambda: len(of(server, execution, "ModelReplied")) >= 2)
    server.restart()
    goal = server.rest(execution)["status"]["goal"]
    assert goal["status"] == "GOAL_STATUS_BUDGET_EXHAUSTED"
    used = [whole(body["usage"]) for body in of(server, execution, "ModelReplied")]
    assert sum(used) == int(goal["tokensUsed"])
    assert sum(used) >= 40_000 > sum(used[:-1])


def whole(usage: Mapping[str, int]) -> int:
    return sum(usage.get(part, 0) for part in ("input", "cached_input", "cache_creation", "output"))
