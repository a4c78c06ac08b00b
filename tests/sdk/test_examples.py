"""The examples do what they say, each with the official client that it names."""

import os
import re
import subprocess
from collections.abc import Callable, Mapping

import pytest

from tests import sdks
from tests.conftest import ROOT
from tests.docs.pages import blocks
from tests.server import HostlerProcess

EXAMPLES = ROOT / "examples"
TASK = "Mend the failing test"
Run = Callable[[HostlerProcess, str], subprocess.CompletedProcess[str]]


def json_client(server: HostlerProcess, project: str) -> subprocess.CompletedProcess[str]:
    env = {"GITPOD_BASE_URL": f"{server.url}/api/", "GITPOD_API_KEY": server.token}
    return sdks.run(sdks.GITPOD_0_11, (EXAMPLES / "python_json.py").read_text(), env, project, TASK)


def connect_client(server: HostlerProcess, project: str) -> subprocess.CompletedProcess[str]:
    env = {"ONA_BASE_URL": f"{server.url}/api", "ONA_API_KEY": server.token}
    return sdks.run(sdks.GITPOD_1_2, (EXAMPLES / "python_connect.py").read_text(), env, project, TASK)


def typescript_client(server: HostlerProcess, project: str) -> subprocess.CompletedProcess[str]:
    env = {"GITPOD_BASE_URL": f"{server.url}/api", "GITPOD_API_KEY": server.token}
    return sdks.run_typescript((EXAMPLES / "typescript" / "run.mjs").read_text(), env, project, TASK)


def curl(server: HostlerProcess, project: str) -> subprocess.CompletedProcess[str]:
    env: Mapping[str, str] = {**os.environ, "HOSTLER_URL": server.url, "HOSTLER_TOKEN": server.token}
    command = ("sh", EXAMPLES / "curl.sh", project, TASK)
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("run", [json_client, connect_client, typescript_client, curl], ids=lambda run: run.__name__)
def test_an_example_runs_an_agent_and_shows_what_came_of_it(run: Run, server: HostlerProcess, project: str) -> None:
    before = len(all_executions(server))
    done = run(server, project)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    execution = next(line.split()[1] for line in lines if line.startswith("Execution "))
    outputs, used, listed = lines[-5:-3], lines[-3], lines[-2:]
    assert outputs == ["mended: wordcount/ranking.py", "tests: 5 passed"]
    assert re.fullmatch(r"7 calls of the model, \d+ \+ \d+ tokens in, \d+ out", used)
    assert listed == [f"{before + 1} executions, the newest is this one", "PHASE_STOPPED"]
    assert server.phase(execution) == "STOPPED"
    if run in (connect_client, curl):  # these two read the conversation as well
        assert "I begin with the tests, to see what fails." in done.stdout
        assert "I changed it to `ranked[:limit]`, and all 5 tests pass now." in done.stdout


def test_codex_works_on_a_repository_as_the_example_says(server: HostlerProcess, tool: str) -> None:
    env = {"ONA_BASE_URL": f"{server.url}/api", "ONA_API_KEY": server.token}
    script = (EXAMPLES / "python_codex.py").read_text()
    done = sdks.run(sdks.GITPOD_1_2, script, env, tool, "Write 2 instead of two", timeout_s=120)
    assert (done.returncode, done.stderr) == (0, "")
    for said in ("It says 2 now.\n", "> Thank you\n", "You are welcome.\n", "4 calls of the model\n", "-two\n+2\n"):
        assert said in done.stdout
    assert done.stdout.rstrip().endswith("notes.md\n+# Notes")


def test_the_page_about_the_sdk_does_what_it_says(server: HostlerProcess, tool: str) -> None:
    env = {"ONA_BASE_URL": f"{server.url}/api", "ONA_API_KEY": server.token}
    (shown,) = (one for one in blocks(ROOT / "docs" / "how-to" / "use-the-official-sdk.md") if one.kind == "python")
    done = sdks.run(sdks.GITPOD_1_2, shown.text.replace("REPOSITORY", tool), env, timeout_s=120)
    assert (done.returncode, done.stderr) == (0, "")
    first, *rest = [line for line in done.stdout.splitlines() if line]
    assert first.endswith(" first")
    assert rest == ["one", "two", "notes.txt 1"]


def all_executions(server: HostlerProcess) -> list[str]:
    """Return the ids of everything on the server."""
    found: list[str] = []
    token = ""
    while True:
        answer = server.call("ListAgentExecutions", {"pagination": {"pageSize": 100, "token": token}})
        found += [one["id"] for one in answer.get("agentExecutions", [])]
        token = answer.get("pagination", {}).get("nextToken", "")
        if not token:
            return found


def test_the_typescript_lock_file_names_no_host() -> None:
    lock = (EXAMPLES / "typescript" / "package-lock.json").read_text()
    assert "resolved" not in lock
    assert "://" not in lock
