"""kill -9 of the real server between a turn's end and the keeping of its work, and environments that are lost."""

import json
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.server import HostlerProcess, Refused

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


def test_keeping_holds_up_neither_the_next_turn_nor_a_stop_of_the_environment(hostler: HostlerProcess, wordcount: Path):
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


def test_an_execution_whose_environment_was_deleted_shows_its_changes_and_goes_on_in_a_new_one(
    hostler: HostlerProcess, wordcount: Path
):
    (wordcount / "mine").write_text("not committed\n")
    line = "echo changed >> README.md; git commit -qam first; echo new > new; chmod +x new; rm mine"
    execution = hostler.start_agent(f"run: {line}", wordcount)
    hostler.until(lambda: kept(hostler, execution))
    live = house(hostler, "GET", f"executions/{execution}/diff")
    assert "x-hostler-kept-turn" not in live.headers
    environment = folder_of(hostler, execution).name
    folder = folder_of(hostler, execution)
    (folder / "files" / "work" / "late").write_text("after the turn\n")
    shutil.chown(folder / "files" / "work" / "late", *(folder / "files" / "work").stat()[4:6])
    delete = {"environmentId": environment, "force": True}
    hostler.call("DeleteEnvironment", delete, "EnvironmentService")
    hostler.until(lambda: not folder.exists())
    shown = house(hostler, "GET", f"executions/{execution}/diff")
    assert shown.headers["x-hostler-kept-turn"] == "1"
    assert b"+after the turn" in shown.body
    assert all(line in shown.body for line in live.body.splitlines() if line.startswith((b"+", b"-")))
    with pytest.raises(Refused, match=f"hostler restore {execution}"):
        hostler.send(execution, "run: true")
    made = house(hostler, "POST", f"executions/{execution}/restore", {})
    hostler.send(execution, "run: git log --format=%s; git status --porcelain; stat -c %a new; cat late")
    hostler.until(lambda: len(kept(hostler, execution)) == 3)
    said = [body for kind, body in hostler.log(execution) if kind == "ToolFinished"][-1]["text"]
    assert said.split("\n")[:2] == ["first", "Uncommitted changes"]
    assert "\n D mine\n?? late\n?? new\n755\nafter the turn" in said
    restored = [body for kind, body in hostler.log(execution) if kind == "WorkRestored"]
    assert [one["environment_id"] for one in restored] == [json.loads(made.body)["environmentId"]]
    notes = [body["notes"] for kind, body in hostler.log(execution) if kind == "EnvironmentReady"][-1]
    assert notes[-1].startswith(f"Made again from the work of execution {execution} as turn 1 left it: 4 files")
    again = house(hostler, "GET", f"executions/{execution}/diff")
    assert contents(again) == contents(shown)


def test_work_of_a_scratch_environment_begins_another_one_and_goes_with_its_execution(hostler: HostlerProcess):
    execution = hostler.start_agent("run: mkdir a; echo deep > a/b")
    hostler.until(lambda: kept(hostler, execution))
    shown = house(hostler, "GET", f"executions/{execution}/diff")
    assert (shown.headers["x-hostler-kept-turn"], b"+deep" in shown.body) == ("1", True)
    made = json.loads(house(hostler, "POST", "environments", {"execution": execution}).body)["environmentId"]
    work = hostler.folder / "environments" / made / "files" / "work"
    hostler.until(lambda: (work / "a" / "b").exists())
    hostler.until(lambda: [path.name for path in work.iterdir()] == ["a"])
    with pytest.raises(Refused, match="still there"):
        house(hostler, "POST", f"executions/{execution}/restore", {})
    assert list((hostler.folder / "kept").glob("*.git"))
    hostler.call("DeleteAgentExecution", {"agentExecutionId": execution})
    hostler.until(lambda: not hostler.log(execution))
    assert not list((hostler.folder / "kept").iterdir())


@dataclass(frozen=True)
class Answer:
    """What Hostler's own API answered."""

    headers: Mapping[str, str]
    body: bytes


def house(server: HostlerProcess, method: str, path: str, body: dict | None = None) -> Answer:
    request = urllib.request.Request(
        f"{server.url}/api/hostler/v1/{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {server.token}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return Answer({key.lower(): value for key, value in answer.headers.items()}, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            raise Refused(error.code, json.loads(error.read())) from None


def contents(answer: Answer) -> list[bytes]:
    """Return a patch without the names of its objects, which may be written short."""
    return [line for line in answer.body.splitlines() if not line.startswith(b"index ")]


def _reads(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
