"""Real servers that are killed with SIGKILL in the middle of something, and what the next one finds."""

import json
import os
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from tests.server import HostlerProcess, Refused, repository_at, short_folder

LINE = "echo one >> runs; until [ -e go ]; do sleep 0.02; done; echo finished"
WAYS: dict[str, Callable[[HostlerProcess, Path], str]] = {}
"""When the kill comes -> what makes it come and tells what was found."""


def way(when: str) -> Callable[[Callable[[HostlerProcess, Path], str]], Callable[[HostlerProcess, Path], str]]:
    """Note a way."""

    def noted(go: Callable[[HostlerProcess, Path], str]) -> Callable[[HostlerProcess, Path], str]:
        WAYS[when] = go
        return go

    return noted


def workspace(server: HostlerProcess, execution: str) -> Path:
    """The execution's workspace as this machine sees it."""
    environment = server.get(execution)["status"]["usedEnvironments"][0]["environmentId"]
    return server.folder / "environments" / environment / "files" / "work"


def told(server: HostlerProcess, execution: str) -> str:
    """Return where the execution stands at rest, and what became of its commands."""
    phase = server.rest(execution)["status"]["phase"].removeprefix("PHASE_")
    outcomes = [body["outcome"] for kind, body in server.log(execution) if kind == "ToolFinished"]
    runs = workspace(server, execution) / "runs"
    lines = len(runs.read_text().splitlines()) if runs.exists() else 0
    return f"phase {phase}; results: {', '.join(outcomes) or 'none'}; the command ran {lines} time(s)"


def at_work(server: HostlerProcess, repository: Path) -> tuple[str, Path]:
    """Return an execution whose command runs, and its workspace."""
    execution = server.start_agent(f"run: {LINE}", repository)
    server.until(lambda: bool(server.get(execution)["status"].get("usedEnvironments")))
    server.until(lambda: (workspace(server, execution) / "runs").exists())
    return execution, workspace(server, execution)


@way("a command runs")
def command(server: HostlerProcess, repository: Path) -> str:
    """The command ends while no server lives."""
    execution, folder = at_work(server, repository)
    server.kill()
    (folder / "go").touch()
    server.start()
    return told(server, execution)


@way("a command runs, and goes on running")
def rejoined(server: HostlerProcess, repository: Path) -> str:
    """The command still runs when the next server begins."""
    execution, folder = at_work(server, repository)
    server.restart()
    server.until(lambda: "TurnAdopted" in [kind for kind, _ in server.log(execution)])
    (folder / "go").touch()
    return told(server, execution)


@way("an environment is made")
def making(server: HostlerProcess, repository: Path) -> str:
    """The first input waits for it."""
    execution = server.start_agent("run: echo one >> runs", repository)
    server.restart()
    return told(server, execution)


@way("a turn is being stopped")
def stopping(server: HostlerProcess, repository: Path) -> str:
    """The stop was acknowledged a moment before."""
    execution, _ = at_work(server, repository)
    server.call("StopAgentExecution", {"agentExecutionId": execution})
    server.restart()
    server.until(lambda: "GroupGone" in [kind for kind, _ in server.log(execution)])
    return told(server, execution)


@way("an execution is being deleted")
def deleting(server: HostlerProcess, repository: Path) -> str:
    """The deletion was acknowledged a moment before."""
    execution, folder = at_work(server, repository)
    server.call("DeleteAgentExecution", {"agentExecutionId": execution})
    server.restart()
    server.until(lambda: not folder.exists() and not server.log(execution))
    try:
        server.get(execution)
    except Refused as refused:
        return f"{refused.code}; its log and its workspace are gone"
    return "still there"


@way("(kill -9 of the supervisor) a command runs")
def supervisor(server: HostlerProcess, repository: Path) -> str:
    """The server lives on."""
    execution, folder = at_work(server, repository)
    os.kill(json.loads((folder.parents[1] / "launch.json").read_text())["pid"], signal.SIGKILL)
    return told(server, execution)


def streaming(place: Path) -> str:
    """A model call streams, and its reply is half there."""
    steps = (
        {
            "text": "A long answer in many pieces that takes its time.",
            "calls": [{"name": "bash", "arguments": {"command": "echo one >> runs"}}],
            "faults": [{"kind": "hold", "after": 2, "reached": f"{place}/reached", "until": f"{place}/go"}],
        },
        {"text": "Done."},
    )
    (place / "script.json").write_text(json.dumps({"rules": [{"steps": steps}]}))
    repository = repository_at(place / "repository", Path(__file__).resolve().parents[2] / "examples" / "wordcount")
    with served(place, {"HOSTLER_MODEL": f"scripted:{place}/script.json"}) as server:
        execution = server.start_agent("go", repository)
        server.until(lambda: (place / "reached").exists())
        server.kill()
        (place / "go").touch()
        server.start()
        found = told(server, execution)
        replies = sum(kind == "ModelReplied" for kind, _ in server.log(execution))
        cut = sum(kind == "ModelCallCut" for kind, _ in server.log(execution))
        return f"{found}; {replies} replies in the log, and {cut} that was cut off"


@contextmanager
def served(place: Path, env: dict[str, str]) -> Generator[HostlerProcess]:
    """A real server over an empty folder, removed with all that it made."""
    folder = place / "data"
    folder.mkdir(mode=0o711)
    server = HostlerProcess(folder, env=env).start()
    try:
        yield server
    finally:
        server.close()


def sample() -> str:
    """Return the second part of the page."""
    rows: list[tuple[str, str]] = []
    with short_folder() as place:
        rows.append(("a model call streams", streaming(place)))
    with short_folder() as place:
        repository = repository_at(place / "repository", Path(__file__).resolve().parents[2] / "examples" / "wordcount")
        with served(place, {}) as server:
            rows += [(when, go(server, repository)) for when, go in WAYS.items()]
    table = "\n".join(f"| {when} | {found} |" for when, found in rows)
    return (
        "## Real processes\n\n`hostler serve` with a real sandbox is killed with SIGKILL while that goes on, and "
        "started again. `tests/crash` holds these and more as tests.\n\n"
        f"| killed while | found after the restart |\n|---|---|\n{table}"
    )
