"""A code host of tests on loopback: TLS, git's smart protocol with basic authentication, and the API of its book."""

import json
import os
import ssl
import subprocess
import threading
from base64 import b64encode
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from hostler.testing.forge import ForgeBook

USER = "x-access-token"


class _Handler(BaseHTTPRequestHandler):
    """Answers git and the API; `open` serves repositories to everybody, and takes pushes from those with the token."""

    book: ForgeBook
    root: Path
    private: bool
    seen: ClassVar[list[str]]
    lock: ClassVar[threading.Lock]

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer a reader."""
        self._answer()

    def do_POST(self) -> None:
        """Answer a writer."""
        self._answer()

    def _answer(self) -> None:
        body = self._body()
        if self.path.startswith(self.book.root):
            self._api(body)
        else:
            self._git(body)

    def _api(self, body: bytes) -> None:
        said = json.loads(body) if body else None
        with self.lock:
            status, answer = self.book.answer(self.command, self.path, self.headers.get("Authorization", ""), said)
            lost = self.command == "POST" and self.book.lost_answers > 0
            self.book.lost_answers -= lost
        if lost:
            self.close_connection = True
            self.connection.shutdown(2)
            return
        self._say(status, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _git(self, body: bytes) -> None:
        path, _, query = self.path.partition("?")
        writes = "receive-pack" in self.path
        basic = b64encode(f"{USER}:{self.book.secret}".encode()).decode()
        if (self.private or writes) and self.headers.get("Authorization") != f"Basic {basic}":
            self._say(401, b"", {"WWW-Authenticate": 'Basic realm="hub"'})
            return
        if writes and self.command == "POST":
            self.seen.append(path)
        variables = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_COUNT": "2",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "GIT_CONFIG_KEY_1": "http.receivepack",
            "GIT_CONFIG_VALUE_1": "true",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        done = subprocess.run(("git", "http-backend"), input=body, env=variables, capture_output=True, check=False)
        head, _, answer = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
        self._say(int(fields.pop("Status", "200").split()[0]), answer, fields)

    def _say(self, status: int, body: bytes, fields: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = bytearray()
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        return bytes(body)


@contextmanager
def forge_server(root: Path, book: ForgeBook, cert: Path, key: Path, *, private: bool = False) -> Generator[list[str]]:
    """Serve the bare repositories below a folder, and the book's API; its host becomes the server's address.

    Yields the paths of the pushes that were taken. `private` repositories are shown to those with the token only.
    """
    pushes: list[str] = []
    fields: dict[str, Any] = {"book": book, "root": root, "private": private, "seen": pushes, "lock": threading.Lock()}
    handler = type("Handler", (_Handler,), fields)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        book.host = f"127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield pushes
        finally:
            server.shutdown()
            thread.join()
