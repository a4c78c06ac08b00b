"""A private repository through the real server: refused, then opened by a credential that nothing inside can read."""

import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.environments.git_hub import BASIC, SECRET, USER, Seen, certificate, hub
from tests.environments.git_server import git
from tests.server import HostlerProcess, Refused

pytestmark = pytest.mark.sandbox

R, C, P = "RunnerService", "RunnerConfigurationService", "ProjectService"
PERIOD = {"startTime": "2020-01-01T00:00:00Z", "endTime": "2100-01-01T00:00:00Z"}


@dataclass(frozen=True)
class Private:
    """A server that reaches a code host with one private repository."""

    server: HostlerProcess
    repository: Path
    host: str
    seen: list[Seen]

    @property
    def url(self) -> str:
        return f"https://{self.host}/shop.git"

    @property
    def runner(self) -> str:
        return self.server.call("ListRunners", service=R)["runners"][0]["runnerId"]

    def authenticated(self) -> bool:
        asked = {"runnerId": self.runner, "host": self.host}
        return self.server.call("CheckAuthenticationForHost", asked, R).get("authenticated", False)

    def keep(self, token: str = f"{USER}:{SECRET}") -> str:
        body = {"runnerId": self.runner, "host": self.host, "token": token}
        return self.server.call("CreateHostAuthenticationToken", body, C)["token"]["id"]

    def kinds(self, execution: str) -> list[str]:
        return [kind for kind, _ in self.server.log(execution)]

    def waiting(self, execution: str) -> dict[str, Any]:
        """Return an execution once it waits for a credential."""
        self.server.until(lambda: "HostAuthenticationRequired" in self.kinds(execution))
        return self.server.get(execution)

    def said(self, execution: str) -> str:
        """Return what the commands of an execution said."""
        return "\n".join(str(body) for kind, body in self.server.log(execution) if kind == "ToolFinished")


@pytest.fixture
def private(place: Path) -> Iterator[Private]:
    cert, key = certificate(place)
    first, served = place / "first", place / "served"
    first.mkdir()
    served.mkdir()
    git(first, "init", "-q")
    (first / "one.txt").write_text("one\n")
    git(first, "add", ".")
    git(first, "commit", "-qm", "one")
    git(place, "clone", "-q", "--bare", str(first), str(served / "shop.git"))
    git(served / "shop.git", "config", "http.receivepack", "true")
    (place / "data").mkdir(mode=0o711)
    with hub(served, cert, key) as (port, seen):
        host = f"127.0.0.1:{port}"
        env = {"SSL_CERT_FILE": str(cert), "HOSTLER_PRIVATE_HOSTS": host}
        server = HostlerProcess(place / "data", env=env).start()
        yield Private(server, served / "shop.git", host, seen)
        server.close()


def test_a_private_repository_asks_for_a_credential_and_says_how_to_give_one(private: Private) -> None:
    assert private.authenticated()
    first = private.server.start_agent("run: true", private.url)
    shown = private.waiting(first)
    assert shown["status"]["phase"] == "PHASE_PENDING"
    assert (
        f"{private.host} asks for a credential: hostler secret set {private.host}"
        in (shown["status"]["warningMessage"])
    )
    assert not private.authenticated()
    private.keep("wrong:password-1")
    assert private.authenticated()
    private.server.until(lambda: private.kinds(first).count("HostAuthenticationRequired") == 2)
    assert f"{private.host} refused the credential" in private.waiting(first)["status"]["warningMessage"]
    assert not private.authenticated()


def test_an_agent_clones_and_pushes_a_projects_private_repository(private: Private) -> None:
    server, token = private.server, private.keep()
    source = {"specs": [{"contextUrl": {"url": private.url}}]}
    body = {
        "name": "shop",
        "initializer": source,
        "setup": {"commands": ["git log -1 --format=prepared-%s > .git/setup"]},
    }
    made = server.call("CreateProject", body, P)["project"]
    parsed = server.call("ParseContextURL", {"contextUrl": f"{private.url}#main"}, R)
    assert parsed["projectIds"] == [made["id"]]
    task = (
        "run: git commit -q --allow-empty -m two && git push -q origin HEAD:side; cat .git/setup; cat /proc/*/environ"
    )
    execution = server.start_agent(task, codeContext={"projectId": made["id"]})
    assert server.rest(execution)["status"]["phase"] == "PHASE_WAITING_FOR_INPUT"
    assert git(private.repository, "log", "-1", "--format=%s", "side") == "two"
    assert "prepared-one" in private.said(execution)
    listed = server.call("ListAgentExecutions", {"filter": {"projectIds": [made["id"]]}})["agentExecutions"]
    assert [one["id"] for one in listed] == [execution]
    server.restart()
    server.send(execution, "run: git push -q origin HEAD:again && git fetch -q origin side")
    assert server.rest(execution)["status"]["phase"] == "PHASE_WAITING_FOR_INPUT"
    assert git(private.repository, "log", "-1", "--format=%s", "again") == "two"
    top = server.call("GetTopProjects", {"dateRange": PERIOD}, "UsageService")["projects"]
    assert [one["projectName"] for one in top] == ["shop"]
    shown = server.call("GetProject", {"projectId": made["id"]}, P)["project"]
    assert shown["usedBy"]["totalSubjects"] == 1
    # The environment, the database, the logs: everything that the server wrote.
    files = [file for file in server.folder.rglob("*") if file.is_file()]
    marks = [mark.encode() for mark in (SECRET, BASIC)]
    assert any(file.name == "hostler.db" for file in files)
    assert [file for file in files if any(mark in _data(file) for mark in marks)] == []
    assert (server.folder / "secret-key").stat().st_mode & 0o777 == 0o600
    server.call("DeleteHostAuthenticationToken", {"id": token}, C)
    with pytest.raises(Refused):
        server.call("GetHostAuthenticationToken", {"id": token}, C)
    server.send(execution, "run: git push origin HEAD:never")
    server.rest(execution)
    assert "never" not in git(private.repository, "branch")


def _data(file: Path) -> bytes:
    """Return what a file holds; nothing of one that has just gone."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return b""


def test_a_credential_is_its_owners_alone(private: Private) -> None:
    private.keep()
    bot = called(private.server, "hostler/v1/tokens", {"name": "bot", "service_account": "bot"})["token"]
    context = {"codeContext": {"contextUrl": {"url": private.url}}}
    execution = called(private.server, "gitpod.v1.AgentService/StartAgent", context, bot)["agentExecutionId"]
    private.server.send(execution, "run: true")
    assert "asks for a credential" in private.waiting(execution)["status"]["warningMessage"]
    assert [fields for _, fields in private.seen if "authorization" in fields] == []
    asked = {"runnerId": private.runner, "host": private.host}
    check = "gitpod.v1.RunnerService/CheckAuthenticationForHost"
    assert "authenticated" not in called(private.server, check, asked, bot)
    assert private.authenticated()
    listing = "gitpod.v1.RunnerConfigurationService/ListHostAuthenticationTokens"
    assert "tokens" not in called(private.server, listing, {}, bot)


def called(server: HostlerProcess, path: str, body: dict[str, Any], token: str = "") -> dict[str, Any]:
    """Call the API with a token, the owner's if there is none."""
    headers = {"Authorization": f"Bearer {token or server.token}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{server.url}/api/{path}", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


def test_an_environment_starts_from_a_project(private: Private) -> None:
    private.keep()
    source = {"specs": [{"contextUrl": {"url": private.url}}]}
    body = {"name": "shop", "initializer": source, "setup": {"commands": ["echo ready > /tmp/setup"]}}
    made = private.server.call("CreateProject", body, P)["project"]
    asked = {"projectId": made["id"]}
    found = private.server.call("CreateEnvironmentFromProject", asked, "EnvironmentService")["environment"]
    named = {"environmentId": found["id"]}

    def up() -> bool:
        status = private.server.call("GetEnvironment", named, "EnvironmentService")["environment"]["status"]
        assert not status.get("failureMessage"), status
        return status["phase"] == "ENVIRONMENT_PHASE_RUNNING"

    assert private.server.until(up)
    shown = private.server.call("GetEnvironment", named, "EnvironmentService")["environment"]
    assert shown["metadata"]["projectId"] == made["id"]
