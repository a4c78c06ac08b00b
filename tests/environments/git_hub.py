"""A code host on loopback: TLS, basic authentication, git's smart protocol, and some bad manners."""

import base64
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path

from tests.environments.git_server import Backend

USER, SECRET = "x-access-token", "pat-9f8e7d6c5b4a-never-inside"
BASIC = base64.b64encode(f"{USER}:{SECRET}".encode()).decode()

Seen = tuple[str, dict[str, str]]
"""The path of a request, and its header, names in small letters."""


def certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate for 127.0.0.1 that signs itself; return it and its key."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    asked = "-x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=hub -addext subjectAltName=IP:127.0.0.1"
    words = ["openssl", "req", *asked.split(" ")]
    subprocess.run([*words, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    return cert, key


class Hub(Backend):
    """Answers those who know the secret; remembers each request's path and header."""

    seen: list[Seen]
    elsewhere = ""

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        self.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        if self.path.startswith("/open/"):
            self.path = self.path.removeprefix("/open")
        elif self.path.startswith("/moved/"):
            self._say(301, {"Location": self.path.removeprefix("/moved")})
            return
        elif self.path.startswith("/away/"):
            self._say(302, {"Location": self.elsewhere + self.path})
            return
        elif self.path.startswith("/echo/"):
            self._say(200, {"Content-Type": "text/plain"}, str(self.headers))
            return
        elif self.path.startswith("/forbidden/"):
            self._say(403, {"Content-Type": "text/plain"}, f"no {self.headers['Authorization']}")
            return
        elif self.headers.get("Authorization") != f"Basic {BASIC}":
            self._say(401, {"WWW-Authenticate": 'Basic realm="hub"', "X-Was": str(self.headers["Authorization"])})
            return
        super().do_POST()

    def _say(self, status: int, fields: dict[str, str], body: str = "") -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())


@contextmanager
def hub(root: Path, cert: Path, key: Path, elsewhere: str = "") -> Iterator[tuple[int, list[Seen]]]:
    """Serve the repositories below a folder; yield the port, and what was asked for."""
    seen: list[Seen] = []
    handler = type("Handler", (Hub,), {"root": root, "seen": seen, "elsewhere": elsewhere})
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_port, seen
        finally:
            server.shutdown()
            thread.join()
