"""Behind nginx with TLS, as packaging/nginx.conf has it: live streams, terminals, watches and large uploads pass."""

import http.client
import json
import shutil
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from websockets.sync.client import connect

from tests.server import HostlerProcess, short_folder

pytestmark = [pytest.mark.sandbox]
ROOT = Path(__file__).parents[2]
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin:/bin")
SECONDS = 60.0


@dataclass
class Proxied:
    """A server that is reached through nginx only."""

    server: HostlerProcess
    port: int
    trust: ssl.SSLContext

    @contextmanager
    def open(self, method: str, path: str, body: bytes = b"", **headers: str) -> Generator[http.client.HTTPResponse]:
        connection = http.client.HTTPSConnection("localhost", self.port, context=self.trust, timeout=SECONDS)
        bearer = {"Authorization": f"Bearer {self.server.token}"}
        with closing(connection):
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body or None, {**bearer, **named})
            with connection.getresponse() as answer:
                yield answer

    def call(self, method: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        path = f"/api/gitpod.v1.AgentService/{method}"
        with self.open("POST", path, json.dumps(body).encode(), Content_Type="application/json") as answer:
            return answer.status, json.loads(answer.read())


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate that signs itself; return it and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "hostler.crt", folder / "hostler.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, *plain))
    return paths


def settings(folder: Path, port: int, upstream: int) -> Path:
    """Write nginx's settings around the file that people are given, which is changed in its places alone."""
    crt, key = certificate(folder)
    text = (ROOT / "packaging" / "nginx.conf").read_text()
    for before, after in (
        ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        ("server_name hostler.example;", "server_name localhost;"),
        ("/etc/nginx/hostler.crt", str(crt)),
        ("/etc/nginx/hostler.key", str(key)),
        ("127.0.0.1:8080", f"127.0.0.1:{upstream}"),
    ):
        assert text.count(before) == 1
        text = text.replace(before, after)
    (folder / "hostler.conf").write_text(text)
    places = "".join(
        f"    {name}_temp_path {folder}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = folder / "nginx.conf"
    main.write_text(
        f"daemon off;\nuser root;\npid {folder}/pid;\nerror_log {folder}/error.log;\nevents {{}}\n"
        f"http {{\n{places}    include {folder}/hostler.conf;\n}}\n"
    )
    return main


@pytest.fixture(scope="module")
def proxied() -> Iterator[Proxied]:
    if NGINX is None:
        pytest.skip("nginx is not installed (apt-get install nginx-light)")
    with short_folder() as folder:
        data = folder / "data"
        data.mkdir(mode=0o711)
        port, upstream = free_port(), free_port()
        env = {"HOSTLER_SERVER__PUBLIC_URL": f"https://localhost:{port}"}
        server = HostlerProcess(data, env=env, port=upstream).start()
        main = settings(folder, port, upstream)
        with subprocess.Popen([NGINX, "-e", folder / "error.log", "-c", main], stderr=subprocess.DEVNULL) as nginx:
            try:
                server.until(lambda: accepts(port) or nginx.poll() is not None)
                assert nginx.poll() is None, (folder / "error.log").read_text()
                yield Proxied(server, port, ssl.create_default_context(cafile=str(folder / "hostler.crt")))
            finally:
                nginx.terminate()
                nginx.wait(SECONDS)
                server.close()


def accepts(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def test_a_live_stream_is_passed_on_as_it_comes(proxied: Proxied):
    execution = proxied.server.start_agent("run: until [ -e go ]; do sleep 0.02; done")
    with proxied.open("GET", f"/api/executions/{execution}/live?follow=1") as stream:
        assert stream.getheader("Content-Type", "").startswith("text/event-stream")
        # It has begun while the command runs, so nothing waits for the end of the answer.
        while not stream.readline().startswith(b"data: "):
            pass
        assert proxied.server.phase(execution) in ("PENDING", "RUNNING")
        (used,) = proxied.server.until(lambda: proxied.server.get(execution)["status"].get("usedEnvironments"))
        folder = proxied.server.folder / "environments" / used["environmentId"] / "files" / "work"
        proxied.server.until(folder.exists)
        (folder / "go").touch()
        proxied.server.rest(execution)


def test_a_watch_is_passed_on_as_it_comes(proxied: Proxied):
    execution = proxied.server.start_agent("")
    only = [{"resourceType": "RESOURCE_TYPE_AGENT_EXECUTION", "resourceIds": [execution]}]
    data = json.dumps({"organization": True, "resourceTypeFilters": only}).encode()
    body = struct.pack(">BI", 0, len(data)) + data
    path = "/api/gitpod.v1.EventService/WatchEvents"
    with proxied.open("POST", path, body, Content_Type="application/connect+json") as stream:
        assert stream.status == 200
        changing = threading.Thread(
            target=lambda: proxied.call(
                "UpdateAgentExecution", {"agentExecutionId": execution, "metadata": {"annotations": {"a": "b"}}}
            )
        )
        changing.start()
        _, length = struct.unpack(">BI", stream.read(5))
        assert json.loads(stream.read(length))["resourceId"] == execution
        changing.join()


def test_a_terminal_is_passed_on(proxied: Proxied):
    execution = proxied.server.start_agent("run: true")
    (used,) = proxied.server.rest(execution)["status"]["usedEnvironments"]
    url = f"wss://localhost:{proxied.port}/environments/{used['environmentId']}/terminals/proxied-1/socket?open=1"
    bearer = {"Authorization": f"Bearer {proxied.server.token}"}
    with connect(url, ssl=proxied.trust, additional_headers=bearer, open_timeout=SECONDS) as terminal:
        terminal.send(b"echo $((6 * 7))-through\n")
        shown = b""
        while b"42-through" not in shown:
            got = terminal.recv(timeout=SECONDS)
            shown += got if isinstance(got, bytes) else b""


def test_a_large_input_is_passed_on_and_one_that_is_too_large_is_refused_by_hostler(proxied: Proxied):
    execution = proxied.server.start_agent("")
    sent = {"agentExecutionId": execution}
    text = {"userInput": {"inputs": [{"text": {"content": "x" * (3 << 20)}}]}}
    assert proxied.call("SendToAgentExecution", {**sent, **text})[0] == 200
    text = {"userInput": {"inputs": [{"text": {"content": "x" * (65 << 20)}}]}}
    status, refused = proxied.call("SendToAgentExecution", {**sent, **text})
    assert (status, refused["code"]) == (429, "resource_exhausted")


def test_addresses_are_those_of_the_proxy_and_forms_are_taken_from_there_only(proxied: Proxied):
    execution = proxied.server.start_agent("")
    shown = proxied.call("GetAgentExecution", {"agentExecutionId": execution})[1]["agentExecution"]
    origin = f"https://localhost:{proxied.port}"
    assert shown["status"]["conversationUrls"]["live"].startswith(f"{origin}/api/")
    form = f"token={proxied.server.token}".encode()
    kind = {"Content_Type": "application/x-www-form-urlencoded"}
    with proxied.open("POST", "/sign-in", form, Origin=origin, **kind) as answer:
        assert answer.status == 303
        assert "Secure" in answer.getheader("Set-Cookie", "")
    with proxied.open("POST", "/sign-in", form, Origin="https://elsewhere.example", **kind) as answer:
        assert answer.status == 403
