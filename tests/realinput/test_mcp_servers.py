"""MCP servers that people use, from PyPI and from npm, inside an environment; one of them killed in mid-call."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hostler.environments.local import find_python
from tests.conftest import ROOT
from tests.server import HostlerProcess, repository_at, short_folder

pytestmark = pytest.mark.sandbox
CACHE = Path(os.environ.get("HOSTLER_LIBRARY_CACHE") or ROOT / ".cache" / "library") / "mcp"
REQUIREMENTS = Path(__file__).parent / "mcp-requirements.txt"
EVERYTHING = "@modelcontextprotocol/server-everything@2026.8.31"
LONG = {"duration": 600, "steps": 600}


def python_server() -> Path:
    """Return a folder with the server of PyPI for the Python that environments have, installed once."""
    python = find_python()
    assert python is not None
    version = subprocess.run([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True)
    folder = CACHE / f"python-{version.stdout.decode().strip()}"
    if not (folder / "mcp_server_time").exists():
        only = ("--only-binary=:all:", "--python-version", version.stdout.decode().strip(), "--implementation", "cp")
        words = ("--quiet", "--target", folder, *only, "--requirement", REQUIREMENTS)
        subprocess.run([sys.executable, "-m", "pip", "install", *words], check=True, capture_output=True)
    return folder


def node_server() -> Path | None:
    """Return a folder with the server of npm, installed once; None where there is no npm."""
    npm = shutil.which("npm")
    folder = CACHE / "node"
    if npm is None:
        return None
    if not (folder / "node_modules" / ".bin" / "mcp-server-everything").exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([npm, "install", "--silent", "--prefix", folder, EVERYTHING], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def repository(place: Path) -> Path:
    """A repository that brings its servers along and names them."""
    files = place / "files"
    (files / ".ona").mkdir(parents=True)
    shutil.copytree(python_server(), files / "python", ignore=shutil.ignore_patterns("__pycache__"))
    code = "import sys; sys.path.insert(0, 'python'); from mcp_server_time import main; main()"
    servers: dict[str, Any] = {"time": {"command": "python3", "args": ["-c", code, "--local-timezone", "UTC"]}}
    if (node := node_server()) is not None:
        shutil.copytree(node / "node_modules", files / "node_modules", symlinks=True)
        main = "node_modules/@modelcontextprotocol/server-everything/dist/index.js"
        servers["everything"] = {"command": "node", "args": [main, "stdio"], "timeout": 700}
    (files / ".ona" / "mcp-config.json").write_text(json.dumps({"mcpServers": servers}))
    return repository_at(place / "project", files)


@pytest.fixture
def server(place: Path, request: pytest.FixtureRequest) -> Iterator[HostlerProcess]:
    (place / "script.json").write_text(json.dumps({"rules": [{"steps": [*request.param, {"text": "Done."}]}]}))
    folder = place / f"data-{request.node.callspec.id}"
    folder.mkdir(mode=0o711)
    process = HostlerProcess(folder, {"HOSTLER_MODEL": f"scripted:{place}/script.json"}).start()
    try:
        yield process
    finally:
        process.close()


def steps(*calls: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"calls": [{"name": name, "arguments": arguments}]} for name, arguments in calls]


def results(server: HostlerProcess, execution: str) -> list[tuple[str, str]]:
    return [(body["outcome"], body["text"]) for kind, body in server.log(execution) if kind == "ToolFinished"]


TIMES = {"source_timezone": "Europe/Berlin", "time": "12:00", "target_timezone": "Asia/Tokyo"}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("server", [steps(("mcp__time__convert_time", TIMES))], indirect=True, ids=["time"])
def test_a_server_from_pypi_answers(server: HostlerProcess, repository: Path) -> None:
    execution = server.start_agent("What time is it in Tokyo?", repository)
    server.rest(execution)
    ((outcome, text),) = results(server, execution)
    assert (outcome, "Asia/Tokyo" in text) == ("ok", True), text


ASKED = steps(
    ("mcp__everything__echo", {"message": "hello"}),
    ("mcp__everything__trigger-long-running-operation", LONG),
    ("mcp__everything__get-sum", {"a": 2, "b": 3}),
)


@pytest.mark.timeout(300)
@pytest.mark.skipif(shutil.which("npm") is None, reason="no npm on this machine")
@pytest.mark.parametrize("server", [ASKED], indirect=True, ids=["everything"])
def test_a_server_from_npm_is_killed_in_mid_call_and_comes_back(server: HostlerProcess, repository: Path) -> None:
    execution = server.start_agent("Do it", repository)
    server.until(lambda: sum(kind == "ToolStarted" for kind, _ in server.log(execution)) == 2)
    for process in _running("server-everything/dist/index.js"):
        os.kill(process, signal.SIGKILL)
    server.rest(execution)
    (first, second, third) = results(server, execution)
    assert first == ("ok", "Echo: hello")
    assert second[0] == "failed"
    assert "comes back by itself" in second[1]
    assert third[0] in ("ok", "failed")


def _running(mark: str) -> list[int]:
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if mark.encode() in words and words.startswith(b"node\0"):
            found.append(int(entry.name))
    return found
