"""A real server stops an environment that fills the disk, says so, and lets somebody tidy up."""

import base64
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server import HostlerProcess

pytestmark = pytest.mark.sandbox
TINY = "44444444-4444-4444-8444-00000000d15c"
CLASSES = json.dumps([{"id": TINY, "name": "Regular", "disk_gib": 0.03}])
FILL = "for i in $(seq 16); do head -c 4194304 /dev/zero > f$i; done; sync; sleep 1000"


@pytest.fixture
def server(place: Path) -> Iterator[HostlerProcess]:
    folder = place / "data"
    folder.mkdir(mode=0o711)
    process = HostlerProcess(folder, env={"HOSTLER_CLASSES": CLASSES}).start()
    yield process
    process.close()


def ops(server: HostlerProcess, environment: str, method: str, body: dict[str, Any]) -> dict[str, Any]:
    path = f"environments/{environment}/ops/supervisor.v1.EnvironmentOpsService/{method}"
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{server.url}/api/{path}", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


def test_an_environment_that_fills_the_disk_is_stopped_says_so_and_can_be_tidied_up(server: HostlerProcess) -> None:
    made = server.call("CreateEnvironment", {}, "EnvironmentService")["environment"]["id"]

    def status() -> dict[str, Any]:
        return server.call("GetEnvironment", {"environmentId": made}, "EnvironmentService")["environment"]["status"]

    server.until(lambda: status()["phase"].endswith("RUNNING"))
    terminal = ops(server, made, "CreateTerminal", {"shell": "/bin/sh"})["terminalId"]
    typed = base64.b64encode(f"{FILL}\n".encode()).decode()
    ops(server, made, "WriteTerminal", {"terminalId": terminal, "data": typed})
    server.until(lambda: status()["phase"].endswith("STOPPED"))
    said = status()["failureMessage"][0]
    assert "MiB of disk" in said
    assert "may take 31 MiB" in said
    server.call("StartEnvironment", {"environmentId": made}, "EnvironmentService")
    server.until(lambda: status()["phase"].endswith("RUNNING"))
    assert "failureMessage" not in status()
    assert ops(server, made, "Exec", {"command": "rm -f f*; ls | wc -l"})["stdout"].strip() == "0"
    assert status()["phase"].endswith("RUNNING")
