"""Calls that need a person's word, over the command line, the API and a kill -9, in a real sandbox."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_env_live import command
from tests.docs.pages import ROOT, blocks
from tests.server import HostlerProcess

pytestmark = pytest.mark.sandbox
PAGE = [one for one in blocks(ROOT / "docs" / "how-to" / "approvals.md") if one.kind in ("toml", "json")]


@pytest.fixture
def server(place: Path) -> Iterator[HostlerProcess]:
    rules, policy, script = PAGE
    steps = json.loads(script.text)["rules"][0]["steps"]
    steps.insert(1, {"calls": [{"name": "bash", "arguments": {"command": "ls && sudo -n true"}}]})
    (place / "script.json").write_text(json.dumps({"rules": [{"steps": steps}]}))
    folder = place / "data"
    folder.mkdir(mode=0o711)
    (folder / "hostler.toml").write_text(f"{rules.text}\n{policy.text}\n")
    server = HostlerProcess(folder, {"HOSTLER_MODEL": f"scripted:{place}/script.json"}).start()
    try:
        yield server
    finally:
        server.close()


def hostler(server: HostlerProcess, *words: str) -> subprocess.CompletedProcess[str]:
    argv, env = command(server, *words)
    return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=120)


def results(server: HostlerProcess, execution: str) -> list[dict[str, Any]]:
    return [body for kind, body in server.log(execution) if kind == "ToolFinished"]


def test_the_example_of_the_page_asks_outlives_the_server_and_is_answered(server: HostlerProcess) -> None:
    asked = hostler(server, "run", "Publish it")
    assert asked.returncode == 3, asked.stderr
    assert "May the agent do this?" in asked.stdout
    execution = next(line for line in asked.stdout.splitlines() if line)
    server.restart()
    shown = json.loads(hostler(server, "show", execution, "--json").stdout)
    [card] = shown["hostler"]["openQuestions"]
    assert [one["label"] for one in card["choices"]] == ["Allow", "Allow for this conversation", "Deny"]
    assert "git push origin main" in card["text"]
    assert results(server, execution) == []
    told = hostler(server, "answer", execution, "Not on a Friday")
    assert told.returncode == 0, told.stderr
    server.rest(execution)
    first, second = results(server, execution)
    assert "a person denied it: Not on a Friday" in first["text"]
    assert "denied here (policy.denied_commands)" in second["text"]
    kinds = [kind for kind, _ in server.log(execution)]
    assert [kinds.count(one) for one in ("ApprovalAsked", "ApprovalGiven", "ToolStarted")] == [1, 1, 0]


def test_a_call_that_was_allowed_runs_and_a_stop_ends_one_that_waits(server: HostlerProcess) -> None:
    execution = next(line for line in hostler(server, "run", "Publish it").stdout.splitlines() if line)
    assert hostler(server, "answer", execution, "1").returncode == 0
    server.rest(execution)
    kinds = [kind for kind, _ in server.log(execution)]
    assert kinds.count("ToolStarted") == 1
    other = next(line for line in hostler(server, "run", "Publish it").stdout.splitlines() if line)
    assert hostler(server, "stop", other).returncode == 0
    server.until(lambda: server.get(other)["status"]["phase"] == "PHASE_STOPPED")
    assert [one["outcome"] for one in results(server, other)] == ["cancelled"]
