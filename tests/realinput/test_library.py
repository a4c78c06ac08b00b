"""The agent mends a library that people use, started in each of the ways that people have."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests import sdks
from tests.realinput import library
from tests.sdk.clients import Client
from tests.server import HostlerProcess, short_folder

pytestmark = pytest.mark.sdk
HERE = Path(__file__).parent
SCRIPT = HERE / "mend.json"
MODEL = f"scripted:{SCRIPT}"
TASK = "One of the tests fails. Find out why and mend the code."
FOUR = {"input": "input", "cached_input": "cachedInput", "cache_creation": "cachedCreation", "output": "output"}

Way = Callable[[HostlerProcess, Path], str]


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[HostlerProcess]:
    folder = place / "data"
    folder.mkdir(mode=0o711)
    process = HostlerProcess(folder, settle=1.0).start()
    yield process
    process.close()


@pytest.fixture(scope="module")
def repository(place: Path) -> Path:
    return library.broken(place)


def command_line(server: HostlerProcess, repository: Path) -> str:
    """Run `hostler run` as a person does; return the execution's id."""
    done = hostler(server, "run", TASK, "--repo", repository, "--model", MODEL)
    assert (done.returncode, "all 817 tests pass now" in done.stdout) == (0, True), done.stdout + done.stderr
    return done.stdout.split()[0]


def curl(server: HostlerProcess, repository: Path) -> str:
    """Start, send and wait for the end of the stream with curl alone; return the execution's id."""

    def call(method: str, **body: Any) -> dict[str, Any]:
        return json.loads(curled(f"/api/gitpod.v1.AgentService/{method}", "--json", json.dumps(body)))

    def curled(path: str, *options: str) -> str:
        url = path if "://" in path else server.url + path
        command = ["curl", "-sSN", "--fail-with-body", "-H", f"Authorization: Bearer {server.token}", *options, url]
        return subprocess.run(command, capture_output=True, text=True, timeout=100, check=True).stdout

    context = {"contextUrl": {"url": f"file://{repository}"}}
    started = call("StartAgent", codeContext=context, annotations={"hostler/model": MODEL})
    execution = started["agentExecutionId"]
    call("SendToAgentExecution", agentExecutionId=execution, userInput={"inputs": [{"text": {"content": TASK}}]})
    status = call("GetAgentExecution", agentExecutionId=execution)["agentExecution"]["status"]
    assert "event: end\n" in curled(status["conversationUrls"]["live"])
    return execution


def json_client(server: HostlerProcess, repository: Path) -> str:
    """Use the last client of the older generation; return the execution's id."""
    seen = Client(sdks.GITPOD_0_11, server).run(
        """
        run = start(arguments[0], arguments[1], annotations={"hostler/model": arguments[2]})
        tell(run=run, phases=watch(run, "PHASE_WAITING_FOR_INPUT", "PHASE_STOPPED"))
        """,
        f"file://{repository}",
        TASK,
        MODEL,
    )
    assert seen["phases"][-1] == "PHASE_WAITING_FOR_INPUT"
    return seen["run"]


def connect_client(server: HostlerProcess, repository: Path) -> str:
    """Use the newest client; return the execution's id."""
    seen = Client(sdks.GITPOD_1_2, server).run(
        """
        session = start(arguments[0], arguments[1], annotations={"hostler/model": arguments[2]})
        session.wait_running()
        text = "".join(session.message_stream())
        session.watch_result()
        tell(run=session.id(), text=text)
        """,
        f"file://{repository}",
        TASK,
        MODEL,
    )
    assert "all 817 tests pass now" in seen["text"]
    return seen["run"]


@pytest.mark.parametrize("way", [command_line, curl, json_client, connect_client], ids=lambda way: way.__name__)
def test_the_agent_mends_the_library(way: Way, server: HostlerProcess, repository: Path) -> None:
    execution = way(server, repository)
    one = server.get(execution)
    assert one["status"]["phase"] == "PHASE_WAITING_FOR_INPUT"
    assert one["status"]["outputs"] == {
        "tests": {"intValue": str(library.TESTS)},
        "mended": {"stringValue": library.FILE},
    }
    assert runs_of_the_tests(server, execution) == [(1, "failed"), (0, "ok")]
    assert changed(server, execution) == ([library.FILE], ["-" + library.MISTAKE, "+" + library.UPSTREAM])
    used(one["status"])
    if way is command_line:  # whatever the agent says: run once more, from outside
        environment = one["status"]["usedEnvironments"][0]["environmentId"]
        again = hostler(server, "env", "exec", environment, "--", "python3", "-m", "unittest", "-q")
        assert (again.returncode, f"Ran {library.TESTS} tests" in again.stderr) == (0, True), again.stderr


def hostler(server: HostlerProcess, *words: object) -> subprocess.CompletedProcess[str]:
    """Run the command line against the server."""
    env = {**os.environ, "HOSTLER_URL": server.url, "HOSTLER_TOKEN": server.token}
    command = [sys.executable, "-m", "hostler", *map(str, words)]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=110, check=False)


def runs_of_the_tests(server: HostlerProcess, execution: str) -> list[tuple[int, str]]:
    """Return exit code and outcome of each run of the library's tests, as the execution's log has them."""
    with closing(sqlite3.connect(f"file:{server.folder}/hostler.db?mode=ro", uri=True)) as database:
        finished = "SELECT body FROM event WHERE execution_id = ? AND kind = 'ToolFinished' ORDER BY seq"
        results = [json.loads(body) for (body,) in database.execute(finished, (execution,))]
    return [(one["exit_code"], one["outcome"]) for one in results if f"Ran {library.TESTS} tests" in one["text"]]


def changed(server: HostlerProcess, execution: str) -> tuple[list[str], list[str]]:
    """Return the files that the execution changed, and the lines that went and came."""
    lines = hostler(server, "diff", execution).stdout.splitlines(keepends=True)
    files = [line.removeprefix("+++ b/").strip() for line in lines if line.startswith("+++ ")]
    return files, [line for line in lines if line[0] in "+-" and line[:3] not in ("+++", "---")]


def used(status: dict[str, Any]) -> None:
    """Check that the counters are the sums of what each call used, and that they share nothing."""
    steps = json.loads(SCRIPT.read_text())["rules"][0]["steps"]
    assert int(status["iterations"]) == len(steps)
    for ours, theirs in FOUR.items():
        assert int(status[f"{theirs}TokensUsed"]) == sum(step["usage"][ours] for step in steps)
    last = steps[-1]["usage"]
    assert int(status["contextWindowLength"]) == last["input"] + last["cached_input"] + last["cache_creation"]
