"""kill -9 of the real server between a turn's end and the keeping of its work, and environments that are lost."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.server import HostlerProcess

pytestmark = [pytest.mark.crash, pytest.mark.sandbox]

HELD = (
    "echo '* filter=held' > .git/info/attributes; echo changed >> README.md; "
    "git config filter.held.clean 'touch /home/agent/held; until [ -e /home/agent/go ]; do sleep 0.02; done; cat'"
)
"""Makes every `git add` inside wait until a file is there."""


def home(server: HostlerProcess, execution: str) -> Path:
    return folder_of(server, execution) / "files" / "home"


def folder_of(server: HostlerProcess, execution: str) -> Path:
    environment = server.get(execution)["status"]["usedEnvironments"][0]["environmentId"]
    return server.folder / "environments" / environment


def kept(server: HostlerProcess, execution: str) -> list[dict]:
    return [body for kind, body in server.log(execution) if kind in ("WorkKept", "WorkNotKept")]


def held(server: HostlerProcess, repository: Path) -> str:
    """Start an execution whose turn has ended while its work waits to be kept."""
    execution = server.start_agent(f"run: {HELD}", repository)
    server.rest(execution)
    server.until(lambda: (home(server, execution) / "held").exists())
    return execution


def test_a_kill_between_the_end_of_a_turn_and_its_keeping_loses_nothing(hostler: HostlerProcess, wordcount: Path):
    execution = held(hostler, wordcount)
    inside = home(hostler, execution)
    assert kept(hostler, execution) == []
    hostler.kill()
    (inside / "go").touch()
    hostler.start()
    hostler.until(lambda: kept(hostler, execution))
    assert [one.get("files") for one in kept(hostler, execution)] == [1]
    hostler.restart()
    hostler.send(execution, "run: true")
    hostler.until(lambda: len(kept(hostler, execution)) == 2)
    first, second = kept(hostler, execution)
    assert (first["commit"], second["turn"], second["bytes"]) == (second["commit"], 2, 0)


def test_keeping_holds_up_neither_the_next_turn_nor_a_stop_of_the_environment(
    hostler: HostlerProcess, wordcount: Path
):
    execution = held(hostler, wordcount)
    hostler.send(execution, "run: echo next")
    hostler.until(lambda: sum(kind == "TurnEnded" for kind, _ in hostler.log(execution)) == 2)
    assert kept(hostler, execution) == []
    environment = hostler.get(execution)["status"]["usedEnvironments"][0]["environmentId"]
    hostler.call("StopEnvironment", {"environmentId": environment}, "EnvironmentService")
    (home(hostler, execution) / "go").touch()
    hostler.until(lambda: kept(hostler, execution))
    assert [(one["turn"], one.get("files")) for one in kept(hostler, execution)] == [(2, 1)]
    shown = hostler.call("GetEnvironment", {"environmentId": environment}, "EnvironmentService")
    assert shown["environment"]["status"]["phase"] == "ENVIRONMENT_PHASE_STOPPED"


def test_work_of_an_environment_that_is_lost_before_it_was_kept_is_said_to_be_lost(
    hostler: HostlerProcess, wordcount: Path
):
    execution = held(hostler, wordcount)
    folder = folder_of(hostler, execution)
    hostler.kill()
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        if str(folder) in _reads(process):
            subprocess.run(["kill", "-9", process.parent.name], check=False)
    shutil.rmtree(folder)
    hostler.start()
    hostler.until(lambda: kept(hostler, execution))
    assert "not on this machine any more" in kept(hostler, execution)[0]["reason"]
    assert hostler.phase(execution) == "WAITING_FOR_INPUT"


def _reads(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
