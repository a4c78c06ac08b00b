"""A proxy before a good server that breaks one promise of the contract."""

import http.client
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

STREAMS = ("text/event-stream", "application/jsonl", "application/connect+")
HOP = {"connection", "transfer-encoding", "content-length", "keep-alive"}


@dataclass
class Exchange:
    """A request on its way to the server, and the answer on its way back."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    status: int = 0
    answer_headers: dict[str, str] = field(default_factory=dict[str, str])
    data: bytes = b""


@dataclass(frozen=True)
class Broken:
    """One broken promise: what is done to requests, to whole answers, and to the pieces of streams."""

    request: Callable[[Exchange], None] = lambda _: None
    answer: Callable[[Exchange], None] = lambda _: None
    piece: Callable[[Exchange, bytes], bytes] = lambda _, piece: piece


@contextmanager
def broken(url: str, how: Broken) -> Generator[str]:
    """Serve what a server says, but for one thing; yield the address."""
    target = urlsplit(url).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

        def do_POST(self) -> None:
            self.close_connection = True
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items() if name.lower() not in HOP}
            passed = Exchange(self.command, self.path, headers, body)
            how.request(passed)
            far = http.client.HTTPConnection(target, timeout=120)
            with suppress(OSError):
                self._pass(far, passed)
            far.close()

        do_GET = do_POST

        def _pass(self, far: http.client.HTTPConnection, passed: Exchange) -> None:
            far.request(passed.method, passed.path, passed.body or None, passed.headers)
            answer = far.getresponse()
            passed.status = answer.status
            kept = {name.lower(): value for name, value in answer.getheaders()}
            passed.answer_headers = {name: value for name, value in kept.items() if name not in HOP}
            if whole := not kept.get("content-type", "").startswith(STREAMS):
                passed.data = answer.read()
            how.answer(passed)
            self.send_response(passed.status)
            for name, value in {**passed.answer_headers, "connection": "close"}.items():
                self.send_header(name, value)
            if whole:
                self.send_header("content-length", str(len(passed.data)))
            self.end_headers()
            self.wfile.write(passed.data)
            while not whole and (piece := answer.read1(1 << 16)):
                self.wfile.write(how.piece(passed, piece))
                self.wfile.flush()

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
