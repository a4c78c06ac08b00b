"""One server for all clients, with the second that a turn takes to settle, because clients rely on it."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hostler.config import CODEX
from tests import sdks
from tests.agents.codex.provider import Provider, provider
from tests.conftest import ROOT
from tests.sdk.clients import Client
from tests.sdk.code_host import CodeHost, code_host
from tests.sdk.codex_words import answered
from tests.server import HostlerProcess, repository_at, short_folder

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything in this folder."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.sdk)


@pytest.fixture(scope="package")
def house() -> Iterator[Path]:
    """A folder for the server and for repositories."""
    with short_folder() as folder:
        yield folder


@pytest.fixture(scope="package")
def hosting(house: Path) -> Iterator[CodeHost]:
    """Where the clients' repositories are."""
    with code_host(house) as host:
        host.add("tool.git", {"README.md": "# A tool\n", "src/tool.txt": "one\ntwo\nthree\n"})
        yield host


@pytest.fixture(scope="package")
def tool(hosting: CodeHost) -> str:
    """The URL of a repository on the code host, with the branches main and topic."""
    return f"{hosting.url}/tool.git"


@pytest.fixture(scope="package")
def codex_model() -> Iterator[Provider]:
    """The provider that Codex is led to; the built-in agent has the scripted model."""
    with provider(answered) as model:
        yield model


@pytest.fixture(scope="package")
def server(house: Path, hosting: CodeHost, codex_model: Provider) -> Iterator[HostlerProcess]:
    """The server that all clients share; each test looks at executions of its own only."""
    folder = house / "data"
    folder.mkdir(mode=0o711)
    codex = {"id": CODEX, "name": "codex", "driver": "codex", "model": "openai-responses:gpt-5.5"}
    agents = {"HOSTLER_AGENTS": json.dumps([{}, codex])}
    process = HostlerProcess(
        folder, env={**hosting.env, **codex_model.endpoint.environ(), **agents}, settle=1.0
    ).start()
    yield process
    process.close()


@pytest.fixture(scope="package")
def project(house: Path) -> str:
    """The URL of the example project, a repository in which one test fails."""
    return f"file://{repository_at(house / 'wordcount', ROOT / 'examples' / 'wordcount')}"


@pytest.fixture(params=(sdks.GITPOD_0_5, sdks.GITPOD_0_11), ids=str)
def old(request: pytest.FixtureRequest, server: HostlerProcess) -> Client:
    """Each release of the generation that speaks plain JSON."""
    return Client(request.param, server)


@pytest.fixture(params=(sdks.GITPOD_1_2, sdks.ONA_0_1), ids=str)
def new(request: pytest.FixtureRequest, server: HostlerProcess) -> Client:
    """Each release of the generation that speaks Connect with protobuf."""
    return Client(request.param, server)


@pytest.fixture(params=(sdks.GITPOD_1_0, sdks.GITPOD_1_1, sdks.GITPOD_1_2, sdks.ONA_0_1), ids=str)
def workspaces(request: pytest.FixtureRequest, server: HostlerProcess) -> Client:
    """Each release that has methods for environments and for Codex."""
    return Client(request.param, server)


@dataclass(frozen=True)
class Gate:
    """A scripted model that says something, then waits; `annotations` choose it at StartAgent."""

    annotations: dict[str, str]
    reached: Path
    until: Path

    def open(self) -> None:
        """Let the model go on."""
        self.until.touch()


@pytest.fixture
def gate(tmp_path: Path) -> Callable[..., Gate]:
    """Makes scripted models that hold their first reply after its first words until they are let go."""

    def make(*texts: str, steps: list[dict[str, Any]] | None = None) -> Gate:
        reached, until = tmp_path / "reached", tmp_path / "until"
        hold = {"kind": "hold", "after": 1, "reached": str(reached), "until": str(until)}
        spoken = steps or [{"text": text} for text in texts or ("I hold, and then I go on to the end.",)]
        rules = [
            {"match": "hold", "steps": [{**spoken[0], "faults": [hold]}, *spoken[1:]]},
            {"steps": [{"text": "Yes."}]},
        ]
        script = tmp_path / "script.json"
        script.write_text(json.dumps({"rules": rules}))
        return Gate({"hostler/model": f"scripted:{script}"}, reached, until)

    return make
