"""A refused host, allowed while environments run: by a real server, its proxy, and real sandboxes."""

import json
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.server import HostlerProcess, Refused

pytestmark = pytest.mark.sandbox
FETCH = "import urllib.request; print(urllib.request.urlopen('http://{}/').read().decode())"


@contextmanager
def web() -> Iterator[str]:
    """A proxy that the server itself must use, and that answers every site by its name: nothing leaves the machine."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(client: socket.socket) -> None:
        with client, client.makefile("rb") as lines:
            host = lines.readline().split()[1].decode()
            while lines.readline().strip():
                pass
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while lines.readline().strip():
                pass
            said = f"this is {host}".encode()
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(said)}\r\nConnection: close\r\n\r\n"
            client.sendall(head.encode() + said)

    def listen() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(client,), daemon=True).start()

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


class World:
    """A server and what is asked of it here."""

    def __init__(self, server: HostlerProcess) -> None:
        self.server = server

    def ask(self, path: str, body: dict[str, Any] | None = None, method: str = "", token: str = "") -> dict[str, Any]:
        """Call any address with JSON."""
        request = urllib.request.Request(
            f"{self.server.url}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {token or self.server.token}", "Content-Type": "application/json"},
            method=method or ("GET" if body is None else "POST"),
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                raise Refused(error.code, json.loads(error.read())) from None

    def environment(self) -> str:
        """Make an environment and wait until it runs."""
        made = self.server.call("CreateEnvironment", {"spec": {"desiredPhase": f"{PHASE}RUNNING"}}, SERVICE)
        self.comes_to(made["environment"]["id"], "RUNNING")
        return str(made["environment"]["id"])

    def comes_to(self, environment: str, phase: str) -> None:
        """Wait for a phase."""

        def there() -> bool:
            found = self.server.call("GetEnvironment", {"environmentId": environment}, SERVICE)["environment"]
            return str(found["status"]["phase"]) == f"{PHASE}{phase}"

        self.server.until(there)

    def stop(self, environment: str) -> None:
        """Stop an environment as soon as nobody works in it."""

        def stopped() -> bool:
            try:
                self.server.call("StopEnvironment", {"environmentId": environment}, SERVICE)
            except Refused as refused:
                if "works in the environment" not in refused.message:
                    raise
                return False
            return True

        self.server.until(stopped)
        self.comes_to(environment, "STOPPED")

    def agent_in(self, environment: str) -> str:
        """Start an execution that uses an environment and has nothing to do."""
        context = {"codeContext": {"environmentId": environment}}
        execution = str(self.server.call("StartAgent", context)["agentExecutionId"])
        self.server.until(lambda: self.noted(execution, "EnvironmentReady"))
        return execution

    def noted(self, execution: str, kind: str) -> list[dict[str, Any]]:
        """Return the events of a kind."""
        return [body for one, body in self.server.log(execution) if one == kind]

    def fetch(self, environment: str, host: str = "example.org") -> str:
        """Return what a program inside gets from a host, or the last line of its complaint."""
        body = {"command": f'/usr/bin/python3 -c "{FETCH.format(host)}"'}
        done = self.ask(f"/api/environments/{environment}/ops/supervisor.v1.EnvironmentOpsService/Exec", body)
        return str(done.get("stdout") or done.get("stderr", "")).strip().splitlines()[-1]

    def hosts(self, path: str, body: dict[str, Any] | None = None, method: str = "") -> list[tuple[str, str]]:
        """Call one of the addresses for hosts; return what was allowed beyond the settings."""
        found = self.ask(f"/api/hostler/v1/{path}", body, method)
        return [(one["host"], one["why"]) for one in found["hosts"] if one["why"] in ("once", "class")]


SERVICE = "EnvironmentService"
PHASE = "ENVIRONMENT_PHASE_"
REFUSED = "urllib.error.HTTPError: HTTP Error 403: Forbidden"
REACHED = "this is example.org:80"


@pytest.fixture
def world(place: Path) -> Iterator[World]:
    folder = place / "data"
    folder.mkdir(mode=0o711)
    with web() as proxy:
        server = HostlerProcess(folder, {"HTTPS_PROXY": proxy, "HTTP_PROXY": proxy, "NO_PROXY": "127.0.0.1"}).start()
        try:
            yield World(server)
        finally:
            server.close()


def test_a_host_allowed_once_is_reached_until_the_environment_stops_and_not_elsewhere(world: World) -> None:
    here, there = world.environment(), world.environment()
    execution = world.agent_in(here)
    hosts = f"environments/{here}/hosts"
    assert world.fetch(here) == REFUSED
    world.server.until(lambda: world.noted(execution, "EgressRefused"))

    assert world.hosts(hosts, {"host": "Example.org", "for": "once"}) == [("example.org", "once")]
    assert world.fetch(here) == REACHED
    assert world.fetch(there) == REFUSED
    assert world.noted(execution, "HostAllowed") == [{"host": "example.org", "scope": "once", "by": "owner"}]
    assert world.ask(f"/api/hostler/v1/executions/{execution}")["hostler"]["refusedHosts"] == []

    world.server.restart()
    assert world.fetch(here) == REACHED
    world.stop(here)
    world.server.call("StartEnvironment", {"environmentId": here}, SERVICE)
    world.comes_to(here, "RUNNING")
    assert world.hosts(hosts) == []
    assert world.fetch(here) == REFUSED
    world.server.until(lambda: len(world.noted(execution, "EgressRefused")) == 2)


def test_a_host_allowed_for_a_class_is_reached_from_all_its_environments_at_once_and_for_good(world: World) -> None:
    here, there = world.environment(), world.environment()
    execution = world.agent_in(there)
    assert world.fetch(there) == REFUSED
    world.server.until(lambda: world.noted(execution, "EgressRefused"))

    assert world.hosts(f"environments/{here}/hosts", {"host": "*.org", "for": "class"}) == [("*.org", "class")]
    assert world.fetch(there) == REACHED
    assert world.noted(execution, "HostAllowed") == [{"host": "*.org", "scope": "class", "by": "owner"}]

    world.server.restart()
    assert world.fetch(here) == REACHED
    assert world.fetch(world.environment()) == REACHED
    assert world.hosts("environment-classes/Regular/hosts/*.org", method="DELETE") == []
    assert world.fetch(there) == REFUSED


def test_what_may_not_be_allowed_is_refused_with_the_reason(world: World) -> None:
    environment = world.environment()
    path = f"/api/hostler/v1/environments/{environment}/hosts"
    for host in ("127.0.0.1", "10.1.2.3:80", "169.254.169.254", "localhost", "db.internal", "printer.local"):
        with pytest.raises(Refused, match="can not be allowed") as refused:
            world.ask(path, {"host": host})
        assert refused.value.code == "failed_precondition"
    for body in ({}, {"host": ""}, {"host": "a b"}, {"host": "https://a.org"}, {"host": "a.org:99999"}, {"host": 1}):
        with pytest.raises(Refused, match="host") as refused:
            world.ask(path, body)
        assert refused.value.code == "invalid_argument"
    with pytest.raises(Refused, match="once or class"):
        world.ask(path, {"host": "a.org", "for": "ever"})
    with pytest.raises(Refused, match="no such environment class"):
        world.ask("/api/hostler/v1/environment-classes/Huge/hosts", {"host": "a.org"})
    with pytest.raises(Refused, match="there is no such environment"):
        world.ask("/api/hostler/v1/environments/none/hosts", {"host": "a.org"})
    with pytest.raises(Refused, match="not allowed for this environment alone"):
        world.ask(f"{path}/a.org", method="DELETE")
    reader = world.ask("/api/hostler/v1/tokens", {"name": "reader", "scope": "read"})["token"]
    with pytest.raises(Refused) as refused:
        world.ask(path, {"host": "a.org"}, token=reader)
    assert refused.value.status == 403
    execution = world.agent_in(environment)
    talk = world.server.call("CreateAgentExecutionConversationToken", {"agentExecutionId": execution})["token"]
    inside = world.server.call("CreateEnvironmentAccessToken", {"environmentId": environment}, SERVICE)["accessToken"]
    for token in (talk, inside, "nonsense"):
        with pytest.raises(Refused) as refused:
            world.ask(path, {"host": "a.org"}, token=token)
        assert refused.value.status in (401, 403)
    assert world.hosts(f"environments/{environment}/hosts") == []
    world.stop(environment)
    with pytest.raises(Refused, match="the environment is stopped; start it first"):
        world.ask(path, {"host": "a.org"})
