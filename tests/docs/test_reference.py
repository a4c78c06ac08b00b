"""docs/reference.md is run from top to bottom against a real server, and names every method that is served."""

import http.client
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from hostler.api.house import House
from hostler.api.ops_stream import Streams
from hostler.api.saying import Saying
from hostler.api.shares import Shares
from hostler.api.signing_in import SigningIn
from hostler.contract.gitpod.v1 import (
    agent_pb,
    environment_pb,
    event_pb,
    identity_pb,
    project_pb,
    runner_configuration_pb,
    runner_pb,
    service_account_pb,
    usage_pb,
    user_pb,
)
from hostler.contract.gitpod.v1.agent_execution_requests_pb import SendToAgentExecutionRequest
from hostler.contract.supervisor.v1 import environment_ops_pb
from tests.docs.pages import ROOT, Block, blocks, headings
from tests.server import HostlerProcess

PAGE = ROOT / "docs" / "reference.md"
FILES = (
    agent_pb,
    environment_pb,
    event_pb,
    identity_pb,
    project_pb,
    runner_configuration_pb,
    runner_pb,
    service_account_pb,
    usage_pb,
    user_pb,
    environment_ops_pb,
)
TIMED_OUT = 28
"""How curl exits when --max-time has passed."""
SHIM = '#!/bin/sh\nexec {curl} -sS -w "%{{stderr}}\\nstatus %{{http_code}}" "$@"\n'


@dataclass
class Reader:
    """Somebody who copies the page's commands into a shell, one after the other."""

    folder: Path
    port: str
    variables: dict[str, str]
    setup: list[str] = field(default_factory=list)

    def run(self, block: Block) -> tuple[int, str]:
        """Run a block; return the HTTP status and the body of the answer."""
        script = "\n".join(["set -eu", *self.setup, block.text.replace("127.0.0.1:8080", f"127.0.0.1:{self.port}")])
        done = subprocess.run(
            ["sh", "-c", script], env=self.variables, cwd=self.folder, capture_output=True, text=True, timeout=60
        )
        assert done.returncode in (0, TIMED_OUT if "--max-time" in block.text else 0), f"{block}: {done.stderr}"
        status = re.search(r"status (\d+)$", done.stderr)
        assert status, f"{block}: no status"
        return int(status[1]), done.stdout

    def remember(self, block: Block) -> None:
        """Take over what a block sets for those below."""
        self.setup.append(block.text.replace("127.0.0.1:8080", f"127.0.0.1:{self.port}"))


def lacks(shown: Any, answer: Any, path: str = "") -> list[str]:
    """Return what a page shows and an answer has not, or has as another value; "..." and 0 stand for any."""
    match shown:
        case dict():
            if not isinstance(answer, dict):
                return [f"{path}: {answer!r}"]
            return [
                fault
                for key, value in cast("dict[str, Any]", shown).items()
                for fault in (lacks(value, answer[key], f"{path}.{key}") if key in answer else [f"{path}.{key}"])
            ]
        case [one]:
            found = cast("list[Any]", answer) if isinstance(answer, list) else []
            return [] if any(not lacks(one, other) for other in found) else [f"{path}[]: {answer!r}"]
        case "..." if isinstance(answer, str):
            return []
        case 0 if type(shown) is int and isinstance(answer, int | float):
            return []
        case _:
            return [] if shown == answer else [f"{path}: {answer!r}"]


def picked(answer: Any, path: str) -> str:
    """Return the value at a path such as `agents.0.id`."""
    for step in path.split("."):
        answer = answer[int(step)] if step.isdigit() else answer[step]
    return str(answer)


@pytest.mark.sandbox
def test_every_call_answers_what_the_page_shows(hostler: HostlerProcess, wordcount: Path, place: Path) -> None:
    curl = shutil.which("curl")
    assert curl, "curl is needed: apt-get install curl"
    tools = place / "bin"
    tools.mkdir()
    (tools / "curl").write_text(SHIM.format(curl=curl))
    (tools / "curl").chmod(0o755)
    home = place / "home" / ".local" / "share"
    home.mkdir(parents=True)
    (home / "hostler").symlink_to(hostler.folder)
    variables = {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "HOME": str(place / "home"),
        "REPOSITORY": f"file://{wordcount}",
    }
    reader = Reader(place, hostler.url.rpartition(":")[2], variables)
    page = list(blocks(PAGE))
    ran = 0
    for number, block in enumerate(page):
        if block.kind != "sh":
            continue
        if block.note("setup") is not None:
            reader.remember(block)
            continue
        status, body = reader.run(block)
        if until := block.note("until"):
            path, _, wanted = until.partition("=")
            for _ in range(200):
                if picked(json.loads(body), path) == wanted:
                    break
                status, body = reader.run(block)
        assert status == int(block.note("status") or 200), f"{block.heading}: {status} {body}"
        for name, path in (value.split("=") for key, value in block.notes if key == "keep"):
            reader.variables[name] = picked(json.loads(body), path)
        check_shown(block, page[number + 1 : number + 2], body)
        ran += 1
    assert ran > 40


def check_shown(block: Block, following: list[Block], body: str) -> None:
    """Compare an answer with the block below the call, if there is one."""
    shown = following[0] if following and following[0].heading == block.heading else None
    match shown.kind if shown else "":
        case "json":
            assert shown
            answer = body.splitlines()[0] if "--max-time" in block.text else body
            faults = lacks(json.loads(shown.text), json.loads(answer))
            assert not faults, f"{block.heading}: the page shows what the answer lacks: {faults}"
        case "text":
            assert shown
            lost = [
                line for line in shown.text.splitlines() if not line.startswith('data: {"tag"') and line not in body
            ]
            assert not lost, f"{block.heading}: {lost} is not in {body}"
        case _:
            pass


def test_other_inputs_on_the_page_are_requests_of_the_contract() -> None:
    (block,) = (one for one in blocks(PAGE) if one.note("request"))
    for line in block.text.splitlines():
        assert SendToAgentExecutionRequest.from_json(line).input is not None


@pytest.mark.sandbox
def test_the_page_names_exactly_the_methods_that_are_served(hostler: HostlerProcess) -> None:
    host, _, port = hostler.url.removeprefix("http://").partition(":")
    served: set[str] = set()
    for service in (service for module in FILES for service in module.desc().services):
        below = f"environments/{'0' * 8}-0000-0000-0000-{'0' * 12}/ops/" if "Ops" in service.type_name else ""
        for method in service.methods:
            connection = http.client.HTTPConnection(host, int(port))
            connection.request(
                "POST", f"/api/{below}{service.type_name}/{method.name}", b"", {"Content-Type": "text/plain"}
            )
            answer = connection.getresponse()
            answer.read()
            connection.close()
            assert answer.status in (415, 501), f"{method.name}: {answer.status}"
            if answer.status == 415:  # known, but not with this type of content
                served.add(method.name)
    shown = {one for one in headings(PAGE) if re.fullmatch(r"[A-Z]\w+[a-z][A-Z]\w+|Exec|Find|Watch", one)}
    assert shown == served


def test_the_page_names_every_path_beside_the_contract() -> None:
    nothing = cast("Any", None)
    served = (House, Streams, Saying, Shares, SigningIn)
    routes = [route for kind in served for route in kind(nothing, nothing).routes()]
    paths = {
        f"{method} {route.path.removeprefix('/api/hostler/v1')}" for route in routes for method in route.methods or ()
    }
    paths = {path for path in paths if not path.startswith("HEAD ")}
    health = {"GET /healthz", "GET /readyz", "GET /metrics"}
    shown = {one for one in headings(PAGE) if re.match(r"(GET|POST|DELETE|PUT|PATCH) /", one)}
    assert shown == paths | health
