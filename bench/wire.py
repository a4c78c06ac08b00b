"""Asking a server as lightly as can be, so that what is measured is the server."""

import json
import re
import socket
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
AGENTS = "/api/gitpod.v1.AgentService"
ENVIRONMENTS = "/api/gitpod.v1.EnvironmentService"
LAST_CHUNK = b"\r\n0\r\n\r\n"


def whole(data: bytes) -> bytes | None:
    """Return the body of an answer; None while a part is missing. Raises RuntimeError for a refusal."""
    head, end, rest = data.partition(b"\r\n\r\n")
    if not end:
        return None
    found = LENGTH.search(head)
    if found:
        body = rest if len(rest) >= int(found[1]) else None
    else:
        body = _joined(rest) if rest.endswith(LAST_CHUNK) else None
    if body is not None and not head.startswith(b"HTTP/1.1 200 "):
        raise RuntimeError(f"the server refused: {body!r}")
    return body


def _joined(rest: bytes) -> bytes:
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        body, rest = body + rest[:length], rest[length + 2 :]
    return body


def ops(environment: str) -> str:
    """Return the path of what can be done in an environment."""
    return f"/api/environments/{environment}/ops/supervisor.v1.EnvironmentOpsService"


class Wire:
    """One kept connection."""

    def __init__(self, url: str, token: str) -> None:
        self._host = urlsplit(url).netloc
        self._token = token
        name, _, port = self._host.rpartition(":")
        self.port = int(port)
        self._socket = socket.create_connection((name, self.port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def request(self, method: str, body: Mapping[str, Any] | bytes, path: str = AGENTS) -> bytes:
        """Return the bytes of a call: proto for bytes, else JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        kind = "proto" if isinstance(body, bytes) else "json"
        head = (
            f"POST {path}/{method} HTTP/1.1\r\nHost: {self._host}\r\n"
            f"Authorization: Bearer {self._token}\r\nContent-Type: application/{kind}\r\n"
            f"Content-Length: {len(content)}\r\n\r\n"
        )
        return head.encode() + content

    def ask(self, method: str, body: Mapping[str, Any], path: str = AGENTS) -> tuple[dict[str, Any], float]:
        """Call; return the answer and how many milliseconds it took."""
        content, took = self.raw(self.request(method, body, path))
        return json.loads(content), took

    def raw(self, request: bytes) -> tuple[bytes, float]:
        """Send a call's bytes; return those of the answer and how many milliseconds it took."""
        data, since = b"", time.perf_counter()
        self._socket.sendall(request)
        while (content := whole(data)) is None:
            more = self._socket.recv(1 << 16)
            if not more:
                raise RuntimeError("the server closed the connection")
            data += more
        return content, (time.perf_counter() - since) * 1000

    def close(self) -> None:
        self._socket.close()
