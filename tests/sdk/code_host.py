"""A code host for clients: repositories over http on loopback, and github.com behind a proxy that the server uses.

The programs that come with the official client name a repository on github.com. A server behind a company's proxy
trusts that company's certificates; here both are the test's own, so the programs run unchanged and nothing leaves
this machine.
"""

import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

from tests.environments.git_server import Backend, git, serving

GITHUB = "github.com"
TEMPLATE = "gitpod-io/template-golang-cli"
"""The repository that the official client's own programs work on."""


@dataclass(frozen=True)
class CodeHost:
    """Where repositories are, and what a server must be told to reach them."""

    root: Path
    url: str
    env: Mapping[str, str]

    def add(self, name: str, files: Mapping[str, str]) -> str:
        """Make a repository with one commit on main and one more on the branch `topic`; return its URL."""
        folder = self.root / name
        folder.mkdir(parents=True)
        git(folder, "init", "-q")
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "-m", "first")
        git(folder, "checkout", "-q", "-b", "topic")
        (folder / "topic.txt").write_text("on the branch\n")
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "-m", "second")
        git(folder, "checkout", "-q", "main")
        return f"{self.url}/{name}"


@contextmanager
def code_host(folder: Path) -> Iterator[CodeHost]:
    """Serve the repositories below `folder`/repositories, also as github.com's to those who use the proxy."""
    root = folder / "repositories"
    root.mkdir()
    tls, certificate = _certificate(folder)
    with serving(root, smart=True) as port, _secure(root, tls) as github, _proxy(github) as proxy:
        here = f"127.0.0.1:{port}"
        env = {
            "HTTPS_PROXY": f"http://127.0.0.1:{proxy}",
            "NO_PROXY": "127.0.0.1,localhost",
            "SSL_CERT_FILE": str(certificate),
            "HOSTLER_PRIVATE_HOSTS": here,
        }
        yield CodeHost(root, f"http://{here}", env)


def _certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    openssl = shutil.which("openssl")
    assert openssl, "needs openssl to make a certificate"
    subject = ["-subj", f"/CN={GITHUB}", "-addext", f"subjectAltName=DNS:{GITHUB}", "-days", "2", "-nodes"]
    made = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", *subject]
    subprocess.run([*made, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    return tls, certificate


@contextmanager
def _secure(root: Path, tls: ssl.SSLContext) -> Iterator[int]:
    """Serve the repositories over https."""

    class Handler(Backend):
        def setup(self) -> None:
            self.request = tls.wrap_socket(self.request, server_side=True)
            super().setup()

        def finish(self) -> None:
            super().finish()
            self.request.close()

    Handler.root = root
    with _running(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as port:
        yield port


@contextmanager
def _proxy(github: int) -> Iterator[int]:
    """Serve a proxy that knows one host only."""

    class Handler(BaseHTTPRequestHandler):
        known: ClassVar[Mapping[str, int]] = {f"{GITHUB}:443": github}

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

        def do_CONNECT(self) -> None:
            if self.path not in self.known:
                self.send_error(502, "this proxy knows github.com only")
                return
            self.send_response(200)
            self.end_headers()
            self.close_connection = True
            with socket.create_connection(("127.0.0.1", self.known[self.path])) as far:
                back = threading.Thread(target=_pipe, args=(far, self.connection))
                back.start()
                _pipe(self.connection, far)
                back.join()

    with _running(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as port:
        yield port


def _pipe(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def _running(server: ThreadingHTTPServer) -> Iterator[int]:
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
