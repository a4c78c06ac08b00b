"""MCP servers in real sandboxes: of the repository and of the configuration, through death and kill -9."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hostler.testing import mcp_fake
from tests.conftest import ROOT
from tests.server import HostlerProcess, repository_at

pytestmark = pytest.mark.sandbox
FAKE = Path(mcp_fake.__file__)
PHASE = "MCP_INTEGRATION_PHASE_"


def call(name: str, **arguments: Any) -> Mapping[str, Any]:
    return {"name": name, "arguments": arguments}


@contextmanager
def far() -> Generator[int]:
    """A server that is reached over HTTP, on this machine."""
    process = subprocess.Popen([sys.executable, str(FAKE), "0"], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@contextmanager
def serving(place: Path, *steps: Mapping[str, Any], **env: str) -> Generator[HostlerProcess]:
    (place / "script.json").write_text(json.dumps({"rules": [{"steps": [*steps, {"text": "Done."}]}]}))
    folder = place / "data"
    folder.mkdir(mode=0o711)
    server = HostlerProcess(folder, {"HOSTLER_MODEL": f"scripted:{place}/script.json", **env}).start()
    try:
        yield server
    finally:
        server.close()


def repository(place: Path, **servers: Mapping[str, Any]) -> Path:
    files = place / "files"
    (files / ".ona").mkdir(parents=True)
    shutil.copy(FAKE, files / "fake.py")
    fake = {"command": "python3", "args": ["fake.py"], "env": {"FAKE_SECRET": "${exec:printf hidden-; echo value}"}}
    (files / ".ona" / "mcp-config.json").write_text(json.dumps({"mcpServers": {"fake": fake, **servers}}))
    return repository_at(place / "project", files)


def results(server: HostlerProcess, execution: str) -> list[tuple[str, str]]:
    return [(body["outcome"], body["text"]) for kind, body in server.log(execution) if kind == "ToolFinished"]


def phases(server: HostlerProcess, execution: str) -> dict[str, str]:
    found = server.get(execution)["status"].get("mcpIntegrationStatuses", [])
    return {one["id"]: one["phase"].removeprefix(PHASE) for one in found}


def running(mark: str) -> list[int]:
    """The processes whose command line ends with this."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        try:
            if (entry / "cmdline").read_bytes().rstrip(b"\0").endswith(mark.encode()):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def test_servers_inside_and_outside_are_called_by_the_environments_rules(place: Path) -> None:
    with far() as port, far() as other:
        ours = {"far": {"url": f"http://127.0.0.1:{port}/mcp", "headers": {"X-Token": "t"}}}
        theirs = {"near": {"url": f"http://127.0.0.1:{other}/mcp"}, "odd": {"command": "a", "url": "http://b"}}
        steps = (
            {"calls": [call("mcp__fake__echo", text="hello"), call("mcp__far__echo", text="from far")]},
            {"calls": [call("mcp__fake__secret"), call("mcp__near__echo"), call("mcp__far__big")]},
        )
        env = {"HOSTLER_MCP": json.dumps(ours), "HOSTLER_PRIVATE_HOSTS": f"127.0.0.1:{port}"}
        with serving(place, *steps, **env) as server:
            listed = server.call("ListMCPIntegrations")["mcpIntegrations"]
            assert listed == [{"id": "far", "name": "far", "url": ours["far"]["url"], "enabled": True}]
            execution = server.start_agent("go", repository(place, **theirs))
            server.rest(execution)
            assert phases(server, execution) == {"fake": "READY", "far": "READY", "near": "FAILED", "odd": "FAILED"}
            failures = {
                one["id"]: one.get("failureMessage", "")
                for one in server.get(execution)["status"]["mcpIntegrationStatuses"]
            }
            assert "list of allowed hosts" in failures["near"]
            assert "exactly one of command and url" in failures["odd"]
            said = results(server, execution)
            assert sorted(said[:2]) == [("ok", "from far"), ("ok", "hello")]
            assert sorted(outcome for outcome, _ in said[2:]) == ["failed", "ok", "ok"]
            assert "hidden-value" not in json.dumps(server.log(execution))
            assert any("characters left out" in text for _, text in said)


def test_a_server_that_ends_in_a_call_fails_it_and_comes_back(place: Path) -> None:
    steps = (
        {"calls": [call("mcp__fake__die")]},
        {"calls": [call("bash", command="until [ -e go ]; do sleep 0.02; done")]},
        {"calls": [call("mcp__fake__echo", text="again")]},
    )
    with serving(place, *steps) as server:
        execution = server.start_agent("go", repository(place))
        server.until(lambda: phases(server, execution) == {"fake": "FAILED"})
        server.until(lambda: phases(server, execution) == {"fake": "READY"})
        (environment,) = server.get(execution)["status"]["usedEnvironments"]
        (server.folder / "environments" / environment["environmentId"] / "files" / "work" / "go").touch()
        server.rest(execution)
        outcomes = [outcome for outcome, _ in results(server, execution)]
        assert outcomes == ["failed", "ok", "ok"]
        assert "exit code 3" in results(server, execution)[0][1]


def test_the_example_of_the_page_runs(place: Path) -> None:
    page = (ROOT / "docs" / "how-to" / "mcp.md").read_text()
    files = place / "files"
    (files / ".ona").mkdir(parents=True)
    for name in ("clock.py", ".ona/mcp-config.json"):
        body = page.partition(f"cat > {name} <<")[2].partition("\n")[2]
        end = "\nPY\n" if name.endswith(".py") else "\nJSON\n"
        (files / name).write_text(body.partition(end)[0] + "\n")
    with serving(place, {"calls": [call("mcp__clock__now")]}) as server:
        execution = server.start_agent("What time is it?", repository_at(place / "project", files))
        server.rest(execution)
        ((outcome, text),) = results(server, execution)
        assert outcome == "ok"
        assert re.fullmatch(r"\d\d:\d\d", text)


@pytest.mark.crash
def test_a_call_in_flight_over_a_kill_is_unknown_and_its_server_is_replaced(place: Path) -> None:
    steps = ({"calls": [call("mcp__fake__slow")]}, {"calls": [call("mcp__fake__echo", text="later")]})
    repo = repository(place)
    with serving(place, *steps) as server:
        execution = server.start_agent("go", repo)
        server.until(lambda: any(kind == "ToolStarted" for kind, _ in server.log(execution)))
        before = set(running("fake.py"))
        server.restart()
        server.rest(execution)
        assert results(server, execution)[0][0] == "unknown"
        assert results(server, execution)[1:] == [("ok", "later")]
        now = set(running("fake.py"))
        assert len(now) == 1
        assert not now & before


def test_a_stop_ends_a_call_and_the_servers(place: Path) -> None:
    with serving(place, {"calls": [call("mcp__fake__slow")]}) as server:
        execution = server.start_agent("go", repository(place))
        server.until(lambda: any(kind == "ToolStarted" for kind, _ in server.log(execution)))
        server.call("StopAgentExecution", {"agentExecutionId": execution})
        server.rest(execution)
        server.until(lambda: phases(server, execution) == {"fake": "UNAVAILABLE"})
        server.until(lambda: not running("fake.py"))
        assert [outcome for outcome, _ in results(server, execution)] == ["cancelled"]
