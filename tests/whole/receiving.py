"""Somebody who is posted to: keeps what comes, and answers as he is told."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Posted:
    """One request: its path, headers in small letters, body."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """What was posted, in order; `status` gives the answer to each."""

    port: int = 0
    posted: list[Posted] = field(default_factory=list[Posted])
    status: Callable[[Posted], int] = lambda _: 200
    came: threading.Condition = field(default_factory=threading.Condition)

    def until(self, holds: Callable[[list[Posted]], bool], seconds: float = 60.0) -> list[Posted]:
        """Return what was posted once it holds."""
        with self.came:
            assert self.came.wait_for(lambda: holds(self.posted), seconds), [one.body for one in self.posted]
            return list(self.posted)


@contextmanager
def receiving(port: int = 0) -> Iterator[Receiver]:
    """Receive on a port of this machine."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            headers = {name.lower(): value for name, value in self.headers.items()}
            posted = Posted(self.path, headers, body)
            status = receiver.status(posted)
            with receiver.came:
                receiver.posted.append(posted)
                receiver.came.notify_all()
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        receiver.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield receiver
        server.shutdown()
        thread.join()
