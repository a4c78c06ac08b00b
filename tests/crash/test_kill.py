"""kill -9 of the real server: while a command runs, while a model call streams, between commits."""

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.server import HostlerProcess

pytestmark = [pytest.mark.crash, pytest.mark.sandbox]

MEND = "The tests fail. Find the bug, mend it and run the tests."
AGAIN = ("TurnAdopted", "EnvironmentReady", "ModelCallCut")


def workspace(server: HostlerProcess, execution: str) -> Path:
    """The execution's workspace as this machine sees it."""
    environment = server.get(execution)["status"]["usedEnvironments"][0]["environmentId"]
    return server.folder / "environments" / environment / "files" / "work"


def results(server: HostlerProcess, execution: str) -> list[dict]:
    return [body for kind, body in server.log(execution) if kind == "ToolFinished"]


def essence(server: HostlerProcess, execution: str) -> Counter[str]:
    return Counter(kind for kind, _ in server.log(execution) if kind not in AGAIN)


def test_a_command_goes_on_while_the_server_is_dead_and_its_result_arrives_once(
    hostler: HostlerProcess, wordcount: Path
):
    line = "echo one >> runs; until [ -e go ]; do sleep 0.02; done; echo finished"
    execution = hostler.start_agent(f"run: {line}", wordcount)
    hostler.until(lambda: (workspace(hostler, execution) / "runs").exists())
    folder = workspace(hostler, execution)
    hostler.kill()
    (folder / "go").touch()
    hostler.start()
    last = hostler.rest(execution)
    assert last["status"]["phase"] == "PHASE_WAITING_FOR_INPUT"
    assert (folder / "runs").read_text() == "one\n"
    assert [(r["outcome"], r["text"].strip()) for r in results(hostler, execution)] == [("ok", "finished")]


def test_a_command_that_still_runs_is_rejoined(hostler: HostlerProcess, wordcount: Path):
    line = "echo one >> runs; until [ -e go ]; do sleep 0.02; done; echo finished"
    execution = hostler.start_agent(f"run: {line}", wordcount)
    hostler.until(lambda: (workspace(hostler, execution) / "runs").exists())
    folder = workspace(hostler, execution)
    hostler.restart()
    hostler.until(lambda: "TurnAdopted" in essence_of(hostler, execution))
    assert hostler.phase(execution) == "RUNNING"
    (folder / "go").touch()
    hostler.rest(execution)
    assert (folder / "runs").read_text() == "one\n"
    assert [(r["outcome"], r["text"].strip()) for r in results(hostler, execution)] == [("ok", "finished")]


def essence_of(server: HostlerProcess, execution: str) -> set[str]:
    return {kind for kind, _ in server.log(execution)}


def test_a_model_call_that_streamed_is_made_again_and_the_run_ends_as_if_nothing_had_happened(
    place: Path, wordcount: Path
):
    script = {
        "rules": [
            {
                "steps": [
                    {
                        "text": "A long answer in many pieces that takes its time.",
                        "calls": [{"name": "bash", "arguments": {"command": "echo hello"}}],
                        "faults": [{"kind": "hold", "after": 2, "reached": f"{place}/reached", "until": f"{place}/go"}],
                    },
                    {"text": "Done."},
                ]
            }
        ]
    }
    (place / "script.json").write_text(json.dumps(script))
    folder = place / "data"
    folder.mkdir(mode=0o711)
    server = HostlerProcess(folder, env={"HOSTLER_MODEL": f"scripted:{place}/script.json"}).start()
    try:
        execution = server.start_agent("go", wordcount)
        server.until(lambda: (place / "reached").exists())
        server.kill()
        (place / "go").touch()
        server.start()
        last = server.rest(execution)
        assert last["status"]["iterations"] == "2"
        replies = [body for kind, body in server.log(execution) if kind == "ModelReplied"]
        assert [reply["call_id"] for reply in replies] == ["c1", "c2"]
        assert [r["outcome"] for r in results(server, execution)] == ["ok"]
    finally:
        server.stop()


def test_a_story_killed_again_and_again_ends_as_if_nothing_had_happened(hostler: HostlerProcess, wordcount: Path):
    undisturbed = hostler.start_agent(MEND, wordcount)
    expected = hostler.rest(undisturbed)
    execution = hostler.start_agent(MEND, wordcount)
    for _ in range(6):
        before = essence(hostler, execution).total()
        hostler.until(lambda n=before: essence(hostler, execution).total() > n or _done(hostler, execution))
        hostler.restart()
    last = hostler.rest(execution)
    for one in (undisturbed, execution):
        hostler.until(lambda one=one: "WorkKept" in essence(hostler, one))
    assert last["status"]["phase"] == "PHASE_WAITING_FOR_INPUT"
    assert last["status"]["outputs"] == expected["status"]["outputs"]
    assert last["status"]["iterations"] == expected["status"]["iterations"]
    assert essence(hostler, execution) == essence(hostler, undisturbed)


def _done(server: HostlerProcess, execution: str) -> bool:
    return any(kind == "TurnEnded" for kind, _ in server.log(execution))


def test_sigterm_drains_within_five_seconds_and_leaves_the_turn_to_be_rejoined(
    hostler: HostlerProcess, wordcount: Path
):
    line = "until [ -e go ]; do sleep 0.02; done; echo finished"
    execution = hostler.start_agent(f"run: {line}", wordcount)
    hostler.until(lambda: any(kind == "ToolStarted" for kind, _ in hostler.log(execution)))
    folder = workspace(hostler, execution)
    assert hostler.stop(seconds=5.0) == 0
    hostler.start()
    (folder / "go").touch()
    hostler.rest(execution)
    assert [(r["outcome"], r["text"].strip()) for r in results(hostler, execution)] == [("ok", "finished")]


def test_a_stop_ends_every_process_and_a_delete_leaves_nothing(hostler: HostlerProcess, wordcount: Path):
    line = "(setsid sleep 1000 &) ; echo up > up; sleep 1000"
    execution = hostler.start_agent(f"run: {line}", wordcount)
    hostler.until(lambda: (workspace(hostler, execution) / "up").exists())
    folder = workspace(hostler, execution)
    hostler.call("StopAgentExecution", {"agentExecutionId": execution})
    hostler.until(lambda: any(kind == "GroupGone" for kind, _ in hostler.log(execution)))
    assert hostler.get(execution)["status"]["phase"] == "PHASE_STOPPED"
    assert not [p for p in Path("/proc").glob("[0-9]*/cmdline") if _reads(p) == "sleep\x001000\x00"]
    hostler.call("DeleteAgentExecution", {"agentExecutionId": execution})
    hostler.until(lambda: not folder.exists() and not hostler.log(execution))


def _reads(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
