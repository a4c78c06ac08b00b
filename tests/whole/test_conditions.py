"""Conditions, a kill -9 between their rounds, and usage that adds up: over the command line, in a real sandbox."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server import HostlerProcess
from tests.whole.test_asking import hostler

pytestmark = pytest.mark.sandbox
GREEN = {"name": "add_agent_execution_result", "arguments": {"key": "green", "value": True}}
RULES = [
    {"match": "green.*not met", "steps": [{"text": "I try.", "calls": [GREEN]}, {"text": "Done."}]},
    {"steps": [{"text": "Done, I say."}]},
]


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


def ran(done: subprocess.CompletedProcess[str]) -> str:
    return next(line for line in done.stdout.splitlines() if line)


def test_run_until_goes_on_until_it_holds_and_its_usage_adds_up(server: HostlerProcess) -> None:
    done = hostler(server, "run", "Make it green", "--until", "outputs.green == true")
    assert done.returncode == 0, done.stdout + done.stderr
    execution = ran(done)
    shown = json.loads(hostler(server, "show", execution, "--json").stdout)
    [result] = shown["status"]["loopConditionResults"]
    assert (result["conditionId"], result["met"], result["iteration"]) == ("until", True, 2)
    server.restart()
    tree = json.loads(hostler(server, "show", execution, "--usage", "--json").stdout)
    assert tree["reconciled"]
    assert len(tree["calls"]) == int(shown["status"]["iterations"]) == 3
    assert tree["treeTotal"] == tree["total"]
    assert "as its status says" in hostler(server, "show", execution, "--usage").stdout


def test_run_until_ends_with_1_when_it_never_holds_and_asks_whether_to_go_on(server: HostlerProcess) -> None:
    done = hostler(server, "run", "Make it red", "--until", "outputs.red == true")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "3 rounds went by without progress" in done.stdout
    refused = hostler(server, "run", "Make it red", "--until", "outputs.red ==")
    assert refused.returncode == 1
    assert "hostler/until" in refused.stderr
