"""Waits through a kill -9 of the real server, and dev containers that are rebuilt in a real sandbox."""

import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_env_live import command
from tests.docs.pages import ROOT, blocks
from tests.server import HostlerProcess, repository_at

pytestmark = [pytest.mark.crash, pytest.mark.sandbox]
Serve = Callable[[Sequence[dict[str, Any]]], HostlerProcess]


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"calls": [{"name": name, "arguments": arguments}]}


@pytest.fixture
def serve(place: Path) -> Iterator[Serve]:
    """Start a server whose agent follows these steps."""
    servers: list[HostlerProcess] = []

    def start(steps: Sequence[dict[str, Any]]) -> HostlerProcess:
        (place / "script.json").write_text(json.dumps({"rules": [{"steps": list(steps)}]}))
        folder = place / "data"
        folder.mkdir(mode=0o711)
        servers.append(HostlerProcess(folder, {"HOSTLER_MODEL": f"scripted:{place}/script.json"}).start())
        return servers[0]

    yield start
    for server in servers:
        server.close()


def of(server: HostlerProcess, execution: str, kind: str) -> list[dict[str, Any]]:
    return [body for name, body in server.log(execution) if name == kind]


def turn_ended(server: HostlerProcess, execution: str, turn: int) -> bool:
    return any(body["turn"] == turn for body in of(server, execution, "TurnEnded"))


def test_a_timer_that_is_due_while_the_server_is_dead_fires_once_at_boot(serve: Serve) -> None:
    server = serve([call("wait", duration="2s", note="look"), {"text": "I look."}])
    execution = server.start_agent("watch it")
    server.until(lambda: turn_ended(server, execution, 1))
    interests = server.get(execution)["status"]["waitingInfo"]["interests"]
    due = datetime.fromisoformat(interests[1]["timer"]["firesAt"])
    server.kill()
    server.until(lambda: datetime.now(UTC) > due)
    server.start()
    server.until(lambda: turn_ended(server, execution, 2))
    server.restart()
    assert [fired["late"] > 0 for fired in of(server, execution, "InterestFired")] == [True]
    assert len(of(server, execution, "TurnStarted")) == 2
    assert "timer 2s (look)" in of(server, execution, "InputQueued")[-1]["expansion"]
    info = server.rest(execution)["status"]["waitingInfo"]
    assert [sorted(one) for one in info["interests"]] == [["id", "userMessage"]]


def test_a_timer_set_before_a_kill_fires_after_it_at_its_time(serve: Serve) -> None:
    server = serve([call("wait", duration="8s"), {"text": "I look."}])
    execution = server.start_agent("watch it")
    server.until(lambda: turn_ended(server, execution, 1))
    shown = hostler(server, "show", execution)
    assert "waits, and goes on by itself" in shown
    assert "timer 8s" in shown
    server.restart()
    server.until(lambda: turn_ended(server, execution, 2))
    assert len(of(server, execution, "InterestFired")) == 1


def test_a_timer_that_is_due_in_maintenance_outlasts_a_kill_and_fires_once_after_it(serve: Serve) -> None:
    server = serve([call("wait", duration="2s", note="look"), {"text": "I look."}])
    execution = server.start_agent("watch it")
    server.until(lambda: turn_ended(server, execution, 1))
    hostler(server, "maintenance", "on")
    due = datetime.fromisoformat(server.get(execution)["status"]["waitingInfo"]["interests"][1]["timer"]["firesAt"])
    server.until(lambda: datetime.now(UTC) > due + timedelta(seconds=3))
    server.kill()
    server.start()
    server.until(lambda: datetime.now(UTC) > due + timedelta(seconds=10))
    assert len(of(server, execution, "TurnStarted")) == 1
    hostler(server, "maintenance", "off")
    server.until(lambda: turn_ended(server, execution, 2))
    assert [fired["late"] > 5 for fired in of(server, execution, "InterestFired")] == [True]
    assert len(of(server, execution, "TurnStarted")) == 2


def test_a_caller_wakes_an_agent_over_the_command_line(serve: Serve) -> None:
    server = serve([call("wait", duration="9h", note="CI"), {"text": "I look."}])
    execution = server.start_agent("watch it")
    server.until(lambda: turn_ended(server, execution, 1))
    assert hostler(server, "wake", execution).startswith("woken: timer 9h (CI)")
    server.until(lambda: turn_ended(server, execution, 2))
    assert [fired["outside"] for fired in of(server, execution, "InterestFired")] == [True]


def test_a_rebuild_runs_the_commands_again_once_also_through_a_kill(serve: Serve, place: Path) -> None:
    files = place / "files"
    (files / ".devcontainer").mkdir(parents=True)
    line = "echo run >> made; if [ -e again ]; then until [ -e go ]; do sleep 0.05; done; fi"
    spec = {"postCreateCommand": line}
    (files / ".devcontainer" / "devcontainer.json").write_text(json.dumps(spec))
    repository = repository_at(place / "repository", files)
    server = serve(
        [call("bash", command="touch again"), call("rebuild_devcontainer"), call("bash", command="cat made")]
    )
    execution = server.start_agent("rebuild it", repository)
    server.until(lambda: turn_ended(server, execution, 1))
    environment = server.get(execution)["status"]["usedEnvironments"][0]["environmentId"]
    folder = server.folder / "environments" / environment / "files" / "work"
    server.until(lambda: (folder / "made").read_text() == "run\nrun\n")
    server.restart()
    (folder / "go").touch()
    server.until(lambda: turn_ended(server, execution, 2))
    assert (folder / "made").read_text() == "run\nrun\n"
    said = of(server, execution, "InputQueued")[-1]
    assert said["block"]["devcontainerRebuild"]["phase"] == "running"
    assert len(of(server, execution, "InterestFired")) == 1


def test_a_rebuild_tells_what_failed_also_of_a_file_that_the_agent_wrote(serve: Serve) -> None:
    text = json.dumps({"postCreateCommand": "echo no such tool >&2; exit 3"})
    steps = [call("write", path=".devcontainer.json", content=text), call("rebuild_devcontainer"), {"text": "I see."}]
    server = serve(steps)
    execution = server.start_agent("rebuild it")
    server.until(lambda: len(of(server, execution, "ModelReplied")) == 3)
    said = of(server, execution, "InputQueued")[-1]
    assert said["block"]["devcontainerRebuild"]["phase"] == "failed"
    assert "failed with exit code 3: no such tool" in said["expansion"]


def test_the_example_of_the_page_waits_until_it_is_woken(serve: Serve) -> None:
    (script,) = (one.text for one in blocks(ROOT / "docs" / "how-to" / "waiting.md") if one.kind == "json")
    server = serve(json.loads(script)["rules"][0]["steps"])
    execution = server.start_agent("Watch the build")
    server.until(lambda: turn_ended(server, execution, 1))
    assert "waits for timer 9h (the build)" in hostler(server, "ps")
    assert hostler(server, "wake", execution[:13]).startswith("woken: timer 9h (the build)")
    server.until(lambda: turn_ended(server, execution, 2))


def hostler(server: HostlerProcess, *words: str) -> str:
    argv, env = command(server, *words)
    return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=120, check=True).stdout
