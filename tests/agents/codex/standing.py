"""The real Codex on a real server, for tests: one execution, and what can be seen of it."""

import json
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hostler.testing.answers import Answer
from tests.agents.codex.provider import Provider, provider
from tests.server import HostlerProcess, repository_at

CODEX = "00000000-0000-0000-0000-000000007800"
MODEL = "openai-responses:gpt-5.5"
WAITS = "echo one >> runs; until [ -e go ]; do sleep 0.02; done; echo finished"


class Run:
    """One execution of Codex on a server and a provider of its own."""

    def __init__(self, server: HostlerProcess, model: Provider) -> None:
        self.server = server
        self.model = model
        self.id = ""

    def start(self, task: str = "", **fields: Any) -> None:
        self.id = self.server.start_agent(task, self.repository, agentId=CODEX, **fields)

    @property
    def repository(self) -> Path:
        return self.server.folder.parent / "project"

    def send(self, **what: Any) -> None:
        self.server.call("SendToAgentExecution", {"agentExecutionId": self.id, **what})

    def control(self, **what: Any) -> None:
        self.send(controlInput=what)

    @property
    def status(self) -> dict[str, Any]:
        return self.server.get(self.id)["status"]

    @property
    def folder(self) -> Path:
        """The workspace as this machine sees it."""
        environment = self.status["usedEnvironments"][0]["environmentId"]
        return self.server.folder / "environments" / environment / "files" / "work"

    def log(self, kind: str) -> list[dict[str, Any]]:
        return [body for each, body in self.server.log(self.id) if each == kind]

    def until(self, holds: Callable[[], Any], seconds: float = 60.0) -> Any:
        return self.server.until(holds, seconds)

    def until_logged(self, kind: str, number: int = 1) -> list[dict[str, Any]]:
        return self.until(lambda: found if len(found := self.log(kind)) >= number else None)

    def until_command(self) -> None:
        """Return when the command runs, and the log knows it."""
        self.until(lambda: self.status.get("usedEnvironments") and (self.folder / "runs").exists())
        self.until_logged("ActionStarted")

    def rest(self) -> dict[str, Any]:
        return self.server.rest(self.id, 90.0)["status"]

    def blocks(self) -> list[dict[str, Any]]:
        """The whole conversation, read to its end."""
        url = f"{self.status['conversationUrls']['live']}?format=json&after=0"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {self._token()}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        frames = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
        return [frame["body"] for frame in frames if frame.get("tag") == 1]

    def _token(self) -> str:
        return self.server.call("CreateAgentExecutionConversationToken", {"agentExecutionId": self.id})["token"]

    def texts(self) -> list[str]:
        return [body["text"] for body in self.log("AgentSaid") if not body["thinking"]]

    def actions(self) -> list[tuple[str, str]]:
        return [(body["item"], body["outcome"]) for body in self.log("ActionFinished")]


Steps = Callable[[Any], Answer]
Begin = Callable[[Steps], Run]


@contextmanager
def running(place: Path, answers: Steps) -> Iterator[Run]:
    """A server of one test's own, which it may kill."""
    files = place / "files"
    files.mkdir()
    (files / "a.txt").write_text("old\n")
    repository_at(place / "project", files)
    folder = place / "data"
    folder.mkdir(mode=0o711)
    with provider(answers) as model:
        server = HostlerProcess(folder, {**model.endpoint.environ(), "HOSTLER_MODEL": MODEL}).start()
        try:
            yield Run(server, model)
        finally:
            server.close()


def codex_process(run: Run) -> int:
    (pid,) = codex_processes(run)
    return pid


def codex_processes(run: Run) -> list[int]:
    """The pids of the execution's app-server."""
    found: list[int] = []
    mark = f"HOSTLER_EXECUTION={run.id}".encode()
    for entry in Path("/proc").iterdir():
        try:
            if b"app-server" in (entry / "cmdline").read_bytes() and mark in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            pass
    return found
