"""A real Hostler server process for tests: started, killed without a word, started again."""

import asyncio
import contextlib
import json
import os
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from hostler.environments.local import local_provider

READY_SECONDS = 120.0
"""Upper bounds here are for machines that are busy with much else; whoever is quick never waits for them."""
T = TypeVar("T")
MADE_UP = "made-up"
"""A file in a data folder whose database holds logs that no engine wrote."""
WIPED = ("HOSTLER_", "ANTHROPIC_", "OPENAI_")


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder that sandboxes of other users can pass through, with a short path for sockets."""
    folder = Path(tempfile.mkdtemp(prefix="hst"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        for root in {
            found.parent for found in folder.glob("**/environments/*/") if found.parent.name == "environments"
        }:
            asyncio.run(_end_environments(root))
        shutil.rmtree(folder, ignore_errors=True)


async def _end_environments(root: Path) -> None:
    """End every environment below a folder: supervisors outlive servers, and nobody comes back for these."""
    provider = local_provider(root)
    async for handle in provider.list():
        await provider.delete(handle)


@dataclass
class HostlerProcess:
    """One server over one data folder; `env` is added to an environment without any Hostler or provider variable.

    `port` 0 is another free one at every start.
    """

    folder: Path
    env: Mapping[str, str] = field(default_factory=dict)
    settle: float = 0.0
    port: int = 0
    checked: bool = True
    """What must hold of every execution is looked at before it stops."""
    process: subprocess.Popen[bytes] | None = None
    url: str = ""

    def start(self) -> "HostlerProcess":
        clean = {key: value for key, value in os.environ.items() if not key.startswith(WIPED)}
        port = str(self.port)
        command = [sys.executable, "-m", "hostler", "serve", "--port", port, "--data-dir", str(self.folder)]
        with open(self.folder / "server.log", "a") as log:
            self.process = subprocess.Popen(
                command,
                env={**clean, "HOSTLER_SETTLE_SECONDS": str(self.settle), **self.env},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
            )
        self.url = self._ready(self.process)
        return self

    def _ready(self, process: subprocess.Popen[bytes]) -> str:
        assert process.stdout
        while select.select([process.stdout], [], [], READY_SECONDS)[0] and (line := process.stdout.readline()):
            if line.startswith(b"Hostler is ready at "):
                return line.decode().split()[-1]
        self.kill()
        raise AssertionError(f"the server did not start: {(self.folder / 'server.log').read_text()}")

    @property
    def token(self) -> str:
        return (self.folder / "token").read_text().strip()

    def kill(self) -> None:
        """SIGKILL: no clean-up of any kind."""
        assert self.process
        self.process.kill()
        self._reap()

    def hold_invariants(self) -> None:
        """Fail when log or answers of an execution are not as they must be; a server that does not answer is let be."""
        own = f"{self.url}/api/hostler/v1/executions"
        before, wrong = "", list[Any]()
        with suppress(OSError, FileNotFoundError):
            while True:
                page = self._own(f"{own}?limit=100{f'&before={before}' if before else ''}")
                for one in page["executions"]:
                    before = one["id"]
                    with suppress(urllib.error.HTTPError):  # it was deleted meanwhile
                        wrong += self._own(f"{own}/{before}/check")["findings"]
                if not page["more"]:
                    break
        assert not wrong, wrong

    def _own(self, url: str) -> dict[str, Any]:
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    def stop(self, seconds: float = 60.0) -> int:
        """Hold what must hold of every execution, then SIGTERM; return the exit code."""
        assert self.process
        if self.process.poll() is None and self.checked and not (self.folder / MADE_UP).exists():
            try:
                self.hold_invariants()
            except AssertionError:
                self.kill()
                raise
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(seconds)
        self._reap()
        return code

    def close(self) -> None:
        """Remove all executions and environments, whose supervisors would outlive the server, and stop the server."""
        while found := self.call("ListAgentExecutions", {"pagination": {"pageSize": 100}}).get("agentExecutions"):
            for one in found:
                self._removed("AgentService", "DeleteAgentExecution", "agentExecutionId", one["id"])
        everything = {"filter": {"archivalStatus": "ARCHIVAL_STATUS_ALL"}}
        while found := self.call("ListEnvironments", everything, "EnvironmentService").get("environments"):
            for one in found:
                self._removed("EnvironmentService", "DeleteEnvironment", "environmentId", one["id"])
        self.stop()

    def _removed(self, service: str, method: str, field: str, id_: str) -> None:
        with suppress(Refused):  # it is on its way out already
            self.call(method, {field: id_}, service)

    def _reap(self) -> None:
        assert self.process
        self.process.wait(60)
        assert self.process.stdout
        self.process.stdout.close()

    def restart(self) -> None:
        self.kill()
        self.start()

    def call(
        self,
        method: str,
        body: Mapping[str, Any] | None = None,
        service: str = "AgentService",
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Call an RPC with JSON, as curl would; a refusal raises `Refused`."""
        request = urllib.request.Request(
            f"{self.url}/api/gitpod.v1.{service}/{method}",
            data=json.dumps(body or {}).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json", **(headers or {})},
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                raise Refused(error.code, json.loads(error.read() or b"{}")) from None

    def start_agent(self, task: str, repository: Path | str = "", **fields: Any) -> str:
        """Start the built-in agent on a task; return the execution's id."""
        url = f"file://{repository}" if isinstance(repository, Path) else repository
        context = {"codeContext": {"contextUrl": {"url": url}}} if url else {}
        execution = self.call("StartAgent", {**context, **fields})["agentExecutionId"]
        if task:
            self.send(execution, task)
        return execution

    def send(self, execution: str, text: str) -> None:
        inputs = [{"text": {"content": text}}]
        self.call("SendToAgentExecution", {"agentExecutionId": execution, "userInput": {"inputs": inputs}})

    def get(self, execution: str) -> dict[str, Any]:
        return self.call("GetAgentExecution", {"agentExecutionId": execution})["agentExecution"]

    def log(self, execution: str) -> list[tuple[str, dict[str, Any]]]:
        """Return the log as (kind, body), read from the database itself, also while no server runs."""
        with contextlib.closing(sqlite3.connect(f"file:{self.folder / 'hostler.db'}?mode=ro", uri=True)) as database:
            rows = database.execute(
                "SELECT seq, kind, body FROM event WHERE execution_id = ? ORDER BY seq", (execution,)
            ).fetchall()
        assert [seq for seq, _, _ in rows] == list(range(1, len(rows) + 1))
        return [(kind, json.loads(body)) for _, kind, body in rows]

    def until(self, holds: Callable[[], T], seconds: float = 120.0) -> T:
        """Return the first true answer of `holds`, asked again whenever the log may have grown."""
        end = time.monotonic() + seconds
        while not (answer := holds()):
            assert time.monotonic() < end, f"nothing came of it in {seconds} s; the server said: {self.said()}"
            threading.Event().wait(0.02)
        return answer

    def rest(self, execution: str, seconds: float = 180.0) -> dict[str, Any]:
        """Return the execution once it is idle or stopped."""
        self.until(lambda: self.phase(execution) in ("WAITING_FOR_INPUT", "STOPPED"), seconds)
        return self.get(execution)

    def said(self) -> str:
        """Return the end of the server's own log."""
        return (self.folder / "server.log").read_text()[-4000:]

    def phase(self, execution: str) -> str:
        return self.get(execution)["status"]["phase"].removeprefix("PHASE_")


class Refused(Exception):
    """The server refused a request."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        super().__init__(f"{status} {body}")
        self.status = status
        self.code = str(body.get("code", ""))
        self.message = str(body.get("message", ""))


def repository_at(folder: Path, files: Path) -> Path:
    """Make a Git repository with one commit from a folder of files; return its path."""
    shutil.copytree(files, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")
    for words in (("init", "-q", "-b", "main"), ("add", "-A"), (*identity, "commit", "-q", "-m", "first")):
        subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)
    return folder
