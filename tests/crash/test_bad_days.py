"""Bad days of the real server: nothing lost, nothing finished done twice, nothing stuck in RUNNING, each told clearly.

Kills while something streams, runs or is being kept are in the other files here; those of the provider's wire in
`tests/whole/test_providers.py` too; paused processes in `tests/many`.
"""

import json
import os
import re
import resource
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.crash.test_kill import results, workspace
from tests.server import HostlerProcess, Refused, repository_at

pytestmark = [pytest.mark.crash, pytest.mark.sandbox]
WAIT = "echo one >> runs; until [ -e go ]; do sleep 0.02; done; echo finished"
MANY = 20


@contextmanager
def scripted(place: Path, *steps: dict[str, Any], settings: str = "") -> Iterator[HostlerProcess]:
    """A server whose model says these steps."""
    (place / "script.json").write_text(json.dumps({"rules": [{"steps": list(steps)}]}))
    folder = place / "data"
    folder.mkdir(mode=0o711)
    (folder / "hostler.toml").write_text(settings)
    server = HostlerProcess(folder, env={"HOSTLER_MODEL": f"scripted:{place}/script.json"}).start()
    try:
        yield server
    finally:
        server.close()


def kinds(server: HostlerProcess, execution: str) -> list[str]:
    return [kind for kind, _ in server.log(execution)]


def made(server: HostlerProcess) -> list[str]:
    """Return the environments that have a folder."""
    found = (one.name for one in (server.folder / "environments").iterdir())
    return [name for name in found if "supervisor" not in name]


def calls_of(*calls: tuple[str, Any]) -> dict[str, Any]:
    return {"calls": [{"name": name, "arguments": arguments} for name, arguments in calls]}


# --- the supervisor, the sandbox ---------------------------------------------------------------------------------


def test_a_supervisor_that_is_killed_leaves_its_command_unknown_and_the_turn_goes_on(
    hostler: HostlerProcess, wordcount: Path
):
    execution = hostler.start_agent(f"run: {WAIT}", wordcount)
    hostler.until(lambda: (workspace(hostler, execution) / "runs").exists())
    launched = json.loads((workspace(hostler, execution).parents[1] / "launch.json").read_text())
    os.kill(launched["pid"], signal.SIGKILL)
    last = hostler.rest(execution)
    assert last["status"]["phase"] == "PHASE_WAITING_FOR_INPUT"
    assert [one["outcome"] for one in results(hostler, execution)] == ["unknown"]
    assert (workspace(hostler, execution) / "runs").read_text() == "one\n"
    hostler.send(execution, "run: cat runs")
    hostler.rest(execution)
    assert [one["outcome"] for one in results(hostler, execution)] == ["unknown", "ok"]


def test_a_sandbox_that_cannot_start_is_said_and_the_next_input_brings_it_up(hostler: HostlerProcess, wordcount: Path):
    hostler.rest(hostler.start_agent("run: echo up", wordcount))
    [code] = (hostler.folder / "environments").glob("supervisor-*")
    away = code.with_name(f".{code.name}-away")
    code.rename(away)
    code.mkdir()
    execution = hostler.start_agent("run: echo up", wordcount)
    status = hostler.rest(execution)["status"]
    assert (status["phase"], status["failureReason"]) == (
        "PHASE_STOPPED",
        "AGENT_EXECUTION_FAILURE_REASON_ENVIRONMENT",
    )
    assert status["failureMessage"]
    code.rmdir()
    away.rename(code)
    hostler.send(execution, "run: echo again")
    assert hostler.rest(execution)["status"]["phase"] == "PHASE_WAITING_FOR_INPUT"
    assert [one["outcome"] for one in results(hostler, execution)] == ["ok", "ok"]


def test_a_kill_while_an_environment_is_made_makes_one_and_the_first_input_runs_once(
    hostler: HostlerProcess, wordcount: Path
):
    ids = [hostler.start_agent("run: echo one >> runs", wordcount) for _ in range(5)]
    hostler.restart()
    for execution in ids:
        assert hostler.rest(execution)["status"]["phase"] == "PHASE_WAITING_FOR_INPUT"
        assert (workspace(hostler, execution) / "runs").read_text() == "one\n"
    assert len(made(hostler)) == len(ids)


def test_a_delete_while_an_environment_is_made_leaves_nothing(hostler: HostlerProcess, wordcount: Path):
    ids = [hostler.start_agent("run: echo up", wordcount) for _ in range(5)]
    for execution in ids:
        hostler.call("DeleteAgentExecution", {"agentExecutionId": execution})
        with pytest.raises(Refused) as refused:
            hostler.get(execution)
        assert refused.value.status == 404
    hostler.until(lambda: not any(hostler.log(one) for one in ids) and not made(hostler))
    assert hostler.call("ListEnvironments", service="EnvironmentService").get("environments", []) == []


# --- the disk, the database --------------------------------------------------------------------------------------


def test_a_full_disk_refuses_clearly_and_what_was_taken_goes_on_when_there_is_room(
    hostler: HostlerProcess, wordcount: Path
):
    execution = hostler.start_agent(f"run: {WAIT}", wordcount)
    hostler.until(lambda: (workspace(hostler, execution) / "runs").exists())
    before = kinds(hostler, execution)
    assert hostler.process
    full, free = 1 << 10, resource.prlimit(hostler.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(hostler.process.pid, resource.RLIMIT_FSIZE, (full, free[1]))
    with pytest.raises(Refused) as refused:
        hostler.send(execution, "run: echo later")
    assert refused.value.status == 503
    assert refused.value.code == "unavailable"
    assert "database" in refused.value.message
    (workspace_of(hostler, execution) / "go").touch()
    resource.prlimit(hostler.process.pid, resource.RLIMIT_FSIZE, free)
    hostler.rest(execution)
    assert kinds(hostler, execution)[: len(before)] == before
    assert [one["outcome"] for one in results(hostler, execution)] == ["ok"]
    hostler.send(execution, "run: echo later")
    hostler.rest(execution)
    assert [one["outcome"] for one in results(hostler, execution)] == ["ok", "ok"]


def workspace_of(server: HostlerProcess, execution: str) -> Path:
    """The only workspace, found without the server."""
    [folder] = (server.folder / "environments").glob("*/files/work")
    return folder


def test_a_database_that_somebody_else_locks_refuses_clearly_and_loses_nothing(
    hostler: HostlerProcess, wordcount: Path
):
    execution = hostler.start_agent(f"run: {WAIT}", wordcount)
    hostler.until(lambda: (workspace(hostler, execution) / "runs").exists())
    other = sqlite3.connect(hostler.folder / "hostler.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        (workspace(hostler, execution) / "go").touch()
        with pytest.raises(Refused) as refused:
            hostler.send(execution, "run: echo later")
        assert (refused.value.status, refused.value.code) == (503, "unavailable")
        assert "locked" in refused.value.message
        assert hostler.phase(execution) == "RUNNING"
    finally:
        other.execute("ROLLBACK")
        other.close()
    hostler.rest(execution)
    assert [(one["outcome"], one["text"].strip()) for one in results(hostler, execution)] == [("ok", "finished")]


# --- repositories ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "said"),
    [("https://nowhere.invalid/owner/name", "nowhere.invalid"), ("http://127.0.0.1:9/owner/name", "127.0.0.1")],
)
def test_a_repository_that_cannot_be_had_stops_the_execution_with_the_reason(
    hostler: HostlerProcess, url: str, said: str
):
    execution = hostler.start_agent("run: echo up", url)
    status = hostler.rest(execution)["status"]
    assert status["phase"] == "PHASE_STOPPED"
    assert status["failureReason"] == "AGENT_EXECUTION_FAILURE_REASON_ENVIRONMENT"
    assert said in status["failureMessage"]
    assert "InputTaken" not in kinds(hostler, execution)


def test_a_repository_that_is_too_large_for_its_class_stops_the_execution_and_fills_no_disk(
    place: Path, wordcount: Path
):
    files = place / "files"
    files.mkdir()
    for number in range(4):
        (files / f"{number}.bin").write_bytes(os.urandom(8 << 20))
    huge = repository_at(place / "huge", files)
    small = '[[classes]]\nid = "00000000-0000-0000-0000-000000007299"\nname = "Tiny"\ndisk_gib = 0.02\n'
    with scripted(place, {"text": "Done."}, settings=f'default_class = "Tiny"\n{small}') as server:
        execution = server.start_agent("Look at it", huge)
        status = server.rest(execution)["status"]
        assert status["phase"] == "PHASE_STOPPED"
        # Whoever notices first says so: the sandbox, or the watch over the disk.
        assert re.search(r"fit into the environment's disk|took \d+ MiB of disk", status["failureMessage"])
        small_one = server.start_agent("Look at it", wordcount)
        assert server.rest(small_one)["status"]["phase"] == "PHASE_WAITING_FOR_INPUT"


# --- sizes -------------------------------------------------------------------------------------------------------


def test_an_input_of_four_mebibytes_is_taken_whole_and_survives_a_kill(place: Path):
    text = "ä" * (2 << 20)
    with scripted(place, {"text": "Read."}) as server:
        execution = server.start_agent(text)
        server.rest(execution)
        server.restart()
        [queued] = [body for kind, body in server.log(execution) if kind == "InputQueued"]
        assert queued["block"]["inputs"][0]["text"]["content"] == text
        assert len(server.get(execution)["metadata"]["name"]) <= 100


def test_an_execution_of_ten_thousand_events_goes_on_is_read_and_survives_a_kill(place: Path):
    todo = ("todo", {"todos": [{"content": "Look", "status": "pending"}]})
    busy = calls_of(*[todo] * MANY)
    with scripted(place, *[busy] * 1000, settings="[[agents]]\nlimits = { max_iterations = 0 }\n") as server:
        execution = server.start_agent("Work")
        server.until(lambda: len(server.log(execution)) > 10_000, 100)
        server.restart()
        before = len(server.log(execution))
        server.until(lambda: len(server.log(execution)) > before + 200)
        assert server.phase(execution) == "RUNNING"
        server.call("StopAgentExecution", {"agentExecutionId": execution})
        server.until(lambda: server.phase(execution) == "STOPPED")
        replies = [body for kind, body in server.log(execution) if kind == "ModelReplied"]
        asked = {f"{one['call_id']}.{number}" for one in replies for number in range(MANY)}
        answered = [body["call_id"] for kind, body in server.log(execution) if kind == "ToolFinished"]
        assert len(answered) == len(set(answered))
        assert set(answered) == asked


# --- the model ---------------------------------------------------------------------------------------------------


def test_a_model_that_calls_what_is_not_there_and_says_no_json_is_told_so_and_goes_on(place: Path):
    wrong = calls_of(
        ("launch_rocket", {}), ("bash", '{"command": "echo'), ("bash", {"cmd": "echo"}), ("bash", {"command": "echo"})
    )
    with scripted(place, wrong, {"text": "Done."}) as server:
        execution = server.start_agent("Work")
        assert server.rest(execution)["status"]["phase"] == "PHASE_WAITING_FOR_INPUT"
        found = {one["call_id"]: one for one in results(server, execution)}
        outcomes = [one["outcome"] for _, one in sorted(found.items())]
        assert len(found) == 4
        assert sorted(outcomes) == ["failed", "failed", "failed", "ok"]
        texts = " ".join(one["text"] for one in found.values())
        assert "There is no tool 'launch_rocket'" in texts
        assert "JSON" in texts
        assert "command" in texts


def test_twenty_calls_at_once_run_once_each_over_a_kill(place: Path):
    each = [("bash", {"command": f"echo {n} >> runs; until [ -e go ]; do sleep 0.05; done"}) for n in range(MANY)]
    with scripted(place, calls_of(*each), {"text": "Done."}) as server:
        execution = server.start_agent("Work")
        server.until(lambda: kinds(server, execution).count("ToolStarted") == MANY)
        runs = workspace(server, execution) / "runs"
        server.until(lambda: runs.exists() and len(runs.read_text().splitlines()) == MANY)
        server.kill()
        (runs.parent / "go").touch()
        server.start()
        server.rest(execution)
        assert sorted(map(int, runs.read_text().split())) == list(range(MANY))
        assert [one["outcome"] for one in results(server, execution)] == ["ok"] * MANY


# --- stops -------------------------------------------------------------------------------------------------------


def test_a_stop_that_is_sent_again_later_does_not_stop_the_turn_after_it(hostler: HostlerProcess, wordcount: Path):
    execution = hostler.start_agent(f"run: {WAIT}", wordcount)
    hostler.until(lambda: (workspace(hostler, execution) / "runs").exists())
    stop = {"agentExecutionId": execution}
    hostler.call("StopAgentExecution", stop, headers={"x-stainless-retry-count": "0"})
    hostler.until(lambda: hostler.phase(execution) == "STOPPED")
    hostler.send(execution, "Hello")
    hostler.rest(execution)
    hostler.send(execution, f"run: {WAIT.replace('echo one', 'echo two')}")
    hostler.until(lambda: (workspace(hostler, execution) / "runs").read_text() == "one\ntwo\n")
    hostler.call("StopAgentExecution", stop, headers={"x-stainless-retry-count": "1"})
    assert hostler.phase(execution) == "RUNNING"
    (workspace(hostler, execution) / "go").touch()
    hostler.rest(execution)
    assert [one["outcome"] for one in results(hostler, execution)] == ["cancelled", "ok"]
    requested = [body["turn"] for kind, body in hostler.log(execution) if kind == "StopRequested"]
    assert requested == [1]
