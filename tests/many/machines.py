"""Several machines on one machine: each a network namespace with an address of its own, all on one bridge.

The database listens on the bridge. A server is started in the network of its machine (and in nothing else of it).
"""

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest

from tests.server import READY_SECONDS, WIPED, Refused

T = TypeVar("T")
PORT = 8080
LEASE = 4.0
"""Seconds; a quarter more and the others take a machine as away."""


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@dataclass
class Network:
    """A bridge and the machines on it."""

    bridge: str
    subnet: str
    names: list[str] = field(default_factory=list)

    @property
    def gateway(self) -> str:
        """Where the bridge itself is, and the test."""
        return f"{self.subnet}.1"

    def machine(self) -> tuple[str, str]:
        """Add a machine; return the name of its network and its address."""
        number = len(self.names) + 2
        name, near, far = f"{self.bridge}m{number}", f"{self.bridge}v{number}", f"{self.bridge}w{number}"
        address = f"{self.subnet}.{number}"
        _ip("netns", "add", name)
        self.names.append(name)
        _ip("link", "add", near, "type", "veth", "peer", "name", far, "netns", name)
        _ip("link", "set", near, "master", self.bridge, "up")
        _ip("-n", name, "addr", "add", f"{address}/24", "dev", far)
        _ip("-n", name, "link", "set", far, "up")
        _ip("-n", name, "link", "set", "lo", "up")
        return name, address


@contextmanager
def network() -> Iterator[Network]:
    """Make a bridge, and remove it with all its machines; skips where that is not permitted, except in CI."""
    mark = os.getpid() % 60000
    made = Network(f"hs{mark:x}", f"10.{77 + mark // 256 % 100}.{mark % 256}")
    try:
        _ip("link", "add", made.bridge, "type", "bridge")
        _ip("addr", "add", f"{made.gateway}/24", "dev", made.bridge)
        _ip("link", "set", made.bridge, "up")
        name, _ = made.machine()
        _ip("netns", "del", name)
        made.names.clear()
    except (OSError, subprocess.CalledProcessError) as problem:
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            _ip("link", "del", made.bridge)
        said = getattr(problem, "stderr", "") or str(problem)
        if os.environ.get("CI"):
            raise
        pytest.skip(f"network namespaces cannot be made here: {said.strip()}")
    try:
        yield made
    finally:
        for number, name in enumerate(made.names, start=2):
            _ip("link", "del", f"{made.bridge}v{number}")  # What still runs in a network would keep it.
            _ip("netns", "del", name)
        _ip("link", "del", made.bridge)


@dataclass
class Machine:
    """One machine: its network, its data folder, and the server on it."""

    name: str
    network: str
    address: str
    folder: Path
    database: str
    env: Mapping[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://{self.address}:{PORT}"

    @property
    def runner(self) -> str:
        return (self.folder / "runner").read_text().strip()

    @property
    def token(self) -> str:
        return (self.folder / "token").read_text().strip()

    def start(self) -> "Machine":
        """Start its server; return when it answers."""
        self.begin()
        self.wait_ready()
        return self

    def begin(self) -> None:
        """Start its server without waiting for it."""
        clean = {key: value for key, value in os.environ.items() if not key.startswith(WIPED)}
        own = {
            "HOSTLER_SERVER__NAME": self.name,
            "HOSTLER_SERVER__LEASE_SECONDS": str(LEASE),
            "HOSTLER_SETTLE_SECONDS": "0",
            **self.env,
        }
        serve = [sys.executable, "-m", "hostler", "serve", "--host", self.address, "--port", str(PORT)]
        with open(self.folder / "server.log", "a") as log:
            self.process = subprocess.Popen(
                [
                    "nsenter",
                    f"--net=/run/netns/{self.network}",
                    *serve,
                    "--data-dir",
                    str(self.folder),
                    "--database-url",
                    self.database,
                ],
                env={**clean, **own},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
            )

    def wait_ready(self) -> None:
        """Return when the server says that it answers."""
        assert self.process
        assert self.process.stdout
        while select.select([self.process.stdout], [], [], READY_SECONDS)[0] and (
            line := self.process.stdout.readline()
        ):
            if line.startswith(b"Hostler is ready at "):
                return
        raise AssertionError(f"{self.name} did not start: {self.said()}")

    def kill(self) -> None:
        """SIGKILL: no clean-up of any kind."""
        assert self.process
        assert self.process.stdout
        self.process.kill()
        self.process.wait(60)
        self.process.stdout.close()

    def pause(self) -> None:
        """SIGSTOP."""
        assert self.process
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        assert self.process
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """SIGTERM, and whatever else it takes."""
        if self.process is None or self.process.stdout is None or self.process.stdout.closed:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(30)
        self.process.stdout.close()

    def said(self) -> str:
        """Return the end of the server's own log."""
        return (self.folder / "server.log").read_text()[-4000:]

    def request(
        self, method: str, path: str, body: Any = None, timeout: float = 60, more: Mapping[str, str] | None = None
    ) -> bytes:
        """Send a request as an administrator; a refusal raises `Refused`."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json", **(more or {})}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            with error:
                raise Refused(error.code, json.loads(error.read() or b"{}")) from None

    def call(self, method: str, body: Any = None, service: str = "AgentService", timeout: float = 60) -> Any:
        """Call an RPC with JSON."""
        return json.loads(self.request("POST", f"/api/gitpod.v1.{service}/{method}", body or {}, timeout))

    def once(self, method: str, body: Any, key: str) -> Any:
        """Call an RPC of the agents under a key, so that asking again finds the first answer."""
        more = {"Idempotency-Key": key}
        return json.loads(self.request("POST", f"/api/gitpod.v1.AgentService/{method}", body, more=more))

    def start_agent(self, task: str = "", **fields: Any) -> str:
        """Start the built-in agent; return the execution's id."""
        execution = self.call("StartAgent", fields)["agentExecutionId"]
        if task:
            self.send(execution, task)
        return execution

    def send(self, execution: str, text: str) -> None:
        inputs = [{"text": {"content": text}}]
        self.call("SendToAgentExecution", {"agentExecutionId": execution, "userInput": {"inputs": inputs}})

    def stop_agent(self, execution: str) -> None:
        self.call("StopAgentExecution", {"agentExecutionId": execution})

    def get(self, execution: str) -> Any:
        return self.call("GetAgentExecution", {"agentExecutionId": execution})["agentExecution"]

    def phase(self, execution: str) -> str:
        return self.get(execution)["status"]["phase"].removeprefix("PHASE_")

    def activity(self, execution: str) -> str:
        return self.get(execution)["status"].get("currentActivity", "")

    def environment_of(self, execution: str) -> str:
        return self.get(execution)["status"]["usedEnvironments"][0]["environmentId"]

    def workspace(self, environment: str) -> Path:
        """The workspace of an environment that this machine holds, as the machine sees it."""
        return self.folder / "environments" / environment / "files" / "work"

    def rest(self, execution: str, seconds: float = 120.0) -> Any:
        """Return the execution once it is idle or stopped."""
        self.until(lambda: self.phase(execution) in ("WAITING_FOR_INPUT", "STOPPED"), seconds)
        return self.get(execution)

    def insist(self, asks: Callable[[], T], seconds: float = 60.0) -> T:
        """Ask again for as long as the answer is that it cannot be taken now, as every client does."""
        end = time.monotonic() + seconds
        while True:
            try:
                return asks()
            except (Refused, OSError) as problem:
                if (isinstance(problem, Refused) and problem.code != "unavailable") or time.monotonic() > end:
                    raise
            threading.Event().wait(0.2)

    def until(self, holds: Callable[[], T], seconds: float = 40.0) -> T:
        """Return the first true answer of `holds`."""
        end = time.monotonic() + seconds
        while not (answer := holds()):
            assert time.monotonic() < end, f"nothing came of it in {seconds} s; {self.name} said: {self.said()}"
            threading.Event().wait(0.05)
        return answer


@dataclass
class Place:
    """Machines that share a database."""

    network: Network
    folder: Path
    database: str
    env: Mapping[str, str]
    machines: list[Machine] = field(default_factory=list)

    def add(self, **env: str) -> Machine:
        """Return one more machine, not started."""
        name, address = self.network.machine()
        number = len(self.machines)
        folder = self.folder / f"m{number}"
        folder.mkdir(mode=0o711)
        machine = Machine(f"machine-{number}", name, address, folder, self.database, {**self.env, **env})
        self.machines.append(machine)
        return machine

    def log(self, execution: str) -> list[tuple[str, dict[str, Any]]]:
        """Return the log as (kind, body), read from the database itself; it has no gap."""
        with psycopg.connect(self.database) as connection:
            rows = connection.execute(
                "SELECT seq, kind, body FROM event WHERE execution_id = %s ORDER BY seq", (execution,)
            ).fetchall()
        assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
        return [(row[1], json.loads(row[2])) for row in rows]

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Ask the database."""
        with psycopg.connect(self.database) as connection:
            return connection.execute(sql, values).fetchall()

    def runner_of(self, execution: str) -> str:
        """Return which runner an execution belongs to."""
        return str(self.rows("SELECT runner FROM execution WHERE id = %s", execution)[0][0])

    def close(self) -> None:
        """Stop all servers and remove what they held."""
        for machine in self.machines:
            machine.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
