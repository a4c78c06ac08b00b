"""Sign-ins, links and shares with a real server, its database and the command line: what lasts, and what ends."""

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from tests.server import HostlerProcess, short_folder

pytestmark = pytest.mark.sandbox


@dataclass
class Browser:
    """Keeps cookies, and follows nothing by itself."""

    server: HostlerProcess
    cookies: dict[str, str] = field(default_factory=dict)

    def ask(self, method: str, url: str, body: Any = None, **headers: str) -> tuple[int, str, str]:
        """Return status, location and body."""
        parts = urlsplit(self.server.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 0, timeout=60)
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent = {"Cookie": cookie, "Origin": self.server.url, **headers}
        connection.request(method, urlsplit(url).path, body if isinstance(body, str) else json.dumps(body), sent)
        answer = connection.getresponse()
        said = answer.read().decode()
        for one in answer.headers.get_all("Set-Cookie") or []:
            name, _, value = one.partition(";")[0].partition("=")
            self.cookies[name] = value
        connection.close()
        return answer.status, answer.getheader("Location", ""), said

    def sign_in(self, token: str) -> None:
        form = urlencode({"token": token, "next": "/"})
        status, _, _ = self.ask("POST", "/sign-in", form, **{"Content-Type": "application/x-www-form-urlencoded"})
        assert status == 303

    def signed_in(self) -> bool:
        return self.ask("GET", "/api/hostler/v1/info")[0] == 200

    def reads(self, execution: str) -> int:
        return self.ask("GET", f"/api/executions/{execution}/history")[0]


def hostler(server: HostlerProcess, *words: str) -> str:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("HOSTLER_")}
    command = [sys.executable, "-m", "hostler", *words, "--data-dir", str(server.folder)]
    done = subprocess.run(command, env=clean, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def server() -> Iterator[HostlerProcess]:
    with short_folder() as folder:
        server = HostlerProcess(folder).start()
        yield server
        server.close()


def test_a_revoked_token_takes_its_browsers_with_it(server: HostlerProcess) -> None:
    made = json.loads(hostler(server, "token", "create", "laptop", "--json"))
    laptop, owner = Browser(server), Browser(server)
    laptop.sign_in(made["token"])
    owner.sign_in(server.token)
    hostler(server, "token", "revoke", made["id"])
    assert not laptop.signed_in()
    assert owner.signed_in()


def test_sign_ins_links_and_shares_outlast_the_server(server: HostlerProcess) -> None:
    execution = server.call("StartAgent")["agentExecutionId"]
    link, share = hostler(server, "open", execution, "--print"), hostler(server, "share", execution, "--send")
    owner, reader, visitor = Browser(server), Browser(server), Browser(server)
    owner.sign_in(server.token)
    visitor.ask("GET", share)
    server.restart()
    assert owner.signed_in()
    assert visitor.reads(execution) == 200
    assert reader.ask("GET", link)[:2] == (303, f"/executions/{execution}")
    assert reader.signed_in()
    assert Browser(server).ask("GET", link)[0] == 410
    files = [*server.folder.glob("hostler.db*"), server.folder / "server.log"]
    kept = {path: path.read_bytes() for path in files}
    assert len(kept) > 1
    codes = [*visitor.cookies.values(), *owner.cookies.values(), link.rpartition("/")[2], share.rpartition("/")[2]]
    found = [(path, code) for path, data in kept.items() for code in codes if code.encode() in data]
    assert not found


def test_shares_end_by_hand_and_with_their_execution(server: HostlerProcess) -> None:
    execution = server.call("StartAgent")["agentExecutionId"]
    first, second = (hostler(server, "share", execution, "--name", name) for name in ("first", "second"))
    one, other = Browser(server), Browser(server)
    assert one.ask("GET", first)[:2] == (303, f"/executions/{execution}")
    assert other.ask("GET", second)[:2] == (303, f"/executions/{execution}")
    listed = json.loads(hostler(server, "share", execution, "--list", "--json"))
    assert [share["name"] for share in listed] == ["second", "first"]
    hostler(server, "share", execution, "--revoke", listed[1]["id"])
    assert (one.reads(execution), other.reads(execution)) == (404, 200)
    server.call("DeleteAgentExecution", {"agentExecutionId": execution})
    assert other.reads(execution) == 404
    assert other.ask("GET", second)[0] == 410
