"""Environments over HTTP in real sandboxes: set up through kill -9, used together, gone without a trace."""

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hostler.environments import processes
from tests.server import HostlerProcess, repository_at

pytestmark = pytest.mark.sandbox
SERVICE = "EnvironmentService"
SECRET = "a-secret-for-the-inside"


@pytest.fixture
def repository(place: Path) -> Path:
    files = place / "files"
    (files / ".devcontainer").mkdir(parents=True)
    container = {
        "image": "ubuntu",
        "containerEnv": {"COLOUR": "green"},
        "onCreateCommand": "echo created >> steps; echo colour-$COLOUR key-$KEY",
        "postCreateCommand": {"wait": "touch began; until [ -e go ]; do sleep 0.02; done; echo done >> steps"},
        "postStartCommand": ["sh", "-c", "echo started >> steps"],
    }
    (files / ".devcontainer" / "devcontainer.json").write_text(f"// for people\n{json.dumps(container)}")
    return repository_at(place / "project", files)


def created(server: HostlerProcess, repository: Path, **spec: Any) -> str:
    git = {"remoteUri": f"file://{repository}", "checkoutLocation": "team/project"}
    whole = {"content": {"initializer": {"specs": [{"git": git}]}}, **spec}
    return server.call("CreateEnvironment", {"spec": whole}, SERVICE)["environment"]["id"]


def got(server: HostlerProcess, environment: str) -> dict[str, Any]:
    return server.call("GetEnvironment", {"environmentId": environment}, SERVICE)["environment"]


def phase(server: HostlerProcess, environment: str) -> str:
    status = got(server, environment)["status"]
    assert "failureMessage" not in status, status
    return status["phase"].removeprefix("ENVIRONMENT_PHASE_")


def work(server: HostlerProcess, environment: str) -> Path:
    """The workspace as this machine sees it."""
    return server.folder / "environments" / environment / "files" / "work"


def shell(server: HostlerProcess, environment: str, line: str) -> str:
    """Run a command line inside and return what it says."""
    request = urllib.request.Request(
        f"{server.url}/api/environments/{environment}/ops/supervisor.v1.EnvironmentOpsService/Exec",
        data=json.dumps({"command": line}).encode(),
        headers={"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read()).get("stdout", "")


def log(server: HostlerProcess, environment: str) -> str:
    token = server.call("CreateEnvironmentLogsToken", {"environmentId": environment}, SERVICE)["accessToken"]
    url = got(server, environment)["status"]["environmentUrls"]["logs"]
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read().decode()


@contextmanager
def watched(server: HostlerProcess, environment: str) -> Iterator[Iterator[str]]:
    """Watch one environment; give its operations."""
    one = {"resourceType": "RESOURCE_TYPE_ENVIRONMENT", "resourceIds": [environment]}
    request = urllib.request.Request(
        f"{server.url}/api/gitpod.v1.EventService/WatchEvents",
        data=json.dumps({"organization": True, "resourceTypeFilters": [one]}).encode(),
        headers={
            "Authorization": f"Bearer {server.token}",
            "Content-Type": "application/json",
            "Accept": "application/jsonl",
        },
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        yield (json.loads(line)["operation"].removeprefix("RESOURCE_OPERATION_") for line in answer)


def test_an_environment_is_set_up_through_kill_9_and_lives_until_it_is_deleted(
    hostler: HostlerProcess, repository: Path
):
    secrets = [
        {"name": "key", "environmentVariable": "KEY", "source": "value", "sourceRef": SECRET},
        {"name": "netrc", "filePath": "~/.netrc", "source": "value", "sourceRef": f"{SECRET}-too"},
    ]
    environment = created(hostler, repository, secrets=secrets, timeout={"disconnected": "0s"})
    folder = work(hostler, environment)
    hostler.until(lambda: (folder / "began").exists())
    container = got(hostler, environment)["status"]["devcontainer"]
    assert (phase(hostler, environment), container["phase"]) == ("CREATING", "PHASE_CREATING")
    hostler.restart()
    (folder / "go").touch()
    hostler.until(lambda: phase(hostler, environment) == "RUNNING")
    assert (folder / "steps").read_text().split() == ["created", "done", "started"]
    status = got(hostler, environment)["status"]
    assert status["devcontainer"]["phase"] == "PHASE_RUNNING"
    assert status["devcontainer"]["devcontainerFilePath"] == ".devcontainer/devcontainer.json"
    assert any("image" in one for one in status["warningMessage"])
    seen = shell(
        hostler, environment, "cat ~/.netrc; echo; stat -c %a ~/.netrc; cat /workspaces/team/project/steps; pwd"
    )
    assert seen.split() == ["[redacted]", "600", "created", "done", "started", "/workspace"]
    said = log(hostler, environment)
    assert "colour-green key-[redacted]\n" in said
    assert SECRET not in said
    assert SECRET not in json.dumps(got(hostler, environment))
    assert SECRET not in hostler.said()
    held = subprocess.run(["grep", "-rl", SECRET, hostler.folder], check=False, capture_output=True, text=True)
    outside = {Path(name).relative_to(hostler.folder).parts[0] for name in held.stdout.split()}
    assert outside == {"environments", "secrets"}, "its own record and files, and the vault"

    with watched(hostler, environment) as events:
        assert next(events) == "UPDATE_STATUS"
        hostler.call("StopEnvironment", {"environmentId": environment}, SERVICE)
        assert next(events) == "UPDATE"
        assert phase(hostler, environment) == "STOPPED"
        assert shell(hostler, environment, "cat steps").split() == ["created", "done", "started", "started"]
        hostler.call("DeleteEnvironment", {"environmentId": environment}, SERVICE)
        assert "DELETE" in events
    assert not (hostler.folder / "environments" / environment).exists()
    assert list((hostler.folder / "secrets").iterdir()) == []
    label = processes.label_of(hostler.folder / "environments" / environment)
    assert not any(label.encode() in command for command in commands())


def commands() -> Iterator[bytes]:
    """The command lines of everything that runs here."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            yield (process / "cmdline").read_bytes()
        except OSError:
            continue


def test_agents_share_an_environment_and_leave_it_as_they_found_it(hostler: HostlerProcess, wordcount: Path):
    environment = hostler.call("CreateEnvironment", {}, SERVICE)["environment"]["id"]
    context = {"codeContext": {"environmentId": environment}}
    first, second = [hostler.call("StartAgent", context)["agentExecutionId"] for _ in range(2)]
    hostler.send(first, "run: until [ -e theirs ]; do sleep 0.02; done; echo mine > mine")
    hostler.send(second, "run: echo theirs > theirs; until [ -e mine ]; do sleep 0.02; done; echo met")
    for one in (first, second):
        assert hostler.rest(one)["status"]["phase"] == "PHASE_WAITING_FOR_INPUT"
        hostler.call("DeleteAgentExecution", {"agentExecutionId": one})
    assert shell(hostler, environment, "cat mine theirs").split() == ["mine", "theirs"]
    assert phase(hostler, environment) == "RUNNING"
