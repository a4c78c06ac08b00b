"""The API over plain HTTP: Connect's JSON form for RPCs, and ordinary requests for what lies beside them."""

import base64
import http.client
import json
import os
import socket
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from hostler.cli.places import Server, find
from hostler.cli.problems import Problem, Unreachable

AGENTS = "gitpod.v1.AgentService"
ENVIRONMENTS = "gitpod.v1.EnvironmentService"
EVENTS = "gitpod.v1.EventService"
OPS = "supervisor.v1.EnvironmentOpsService"
TIMEOUT = 60.0
"""Seconds that an answer may take."""
PAGE = 100
PIECE = 1 << 16
"""Bytes that are read at a time at most."""

Json = dict[str, Any]


class Client:
    """Speaks to one server; a request is one connection."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def find_again(self) -> None:
        """Look into the data folder again: a server that was started anew may have another address."""
        if self.server.folder:
            self.server = find(self.server.folder)

    def call(self, service: str, method: str, body: Mapping[str, Any] | None = None, **options: Any) -> Json:
        """Call a unary RPC; the server's refusal is a Problem with its code and message."""
        return _object(self.request("POST", f"/api/{service}/{method}", body or {}, **options))

    def agents(self, method: str, body: Mapping[str, Any] | None = None) -> Json:
        """Call AgentService."""
        return self.call(AGENTS, method, body)

    def pages(self, service: str, method: str, field: str, body: Mapping[str, Any] | None = None) -> Iterator[Json]:
        """Yield the entries of a list RPC, page after page."""
        token = ""
        while True:
            page = self.call(service, method, {**(body or {}), "pagination": {"pageSize": PAGE, "token": token}})
            yield from page.get(field, [])
            token = page.get("pagination", {}).get("nextToken", "")
            if not token:
                return

    def execution(self, execution: str) -> Json:
        """Return an execution as the API shows it."""
        return self.agents("GetAgentExecution", {"agentExecutionId": execution})["agentExecution"]

    def json(self, method: str, url: str, body: Mapping[str, Any] | None = None, **options: Any) -> Json:
        """Make a request beside the RPCs and return its JSON answer."""
        return _object(self.request(method, url, body, **options))

    def request(
        self,
        method: str,
        url: str,
        body: Mapping[str, Any] | bytes | None = None,
        *,
        token: str | None = None,
        timeout: float = TIMEOUT,
    ) -> bytes:
        """Make a request (`url` absolute, or a path of the server; a mapping is sent as JSON); return the answer."""
        with self.open(method, url, body, token=token, timeout=timeout) as reply:
            return reply.read()

    @contextmanager
    def open(
        self,
        method: str,
        url: str,
        body: Mapping[str, Any] | bytes | None = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = TIMEOUT,
    ) -> Generator["Reply"]:
        """Open an answer for reading; a refusal is a Problem, a connection that fails is Unreachable."""
        parts = urlsplit(url if "://" in url else self.server.url + url)
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Authorization": f"Bearer {self.server.token if token is None else token}"}
        sent |= {"Content-Type": "application/json"} if data is not None else {}
        where = f"{parts.scheme}://{parts.netloc}"
        path = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
        with speaking(where):
            connection, prefix = connected(parts, timeout)
        try:
            with speaking(where):
                connection.request(method, f"{prefix}{path}", data, {**sent, **(headers or {})})
                line = connection.sock
                reply = Reply(connection.getresponse(), where, line)
            if reply.status >= 300:
                raise refusal(reply.status, reply.read())
            yield reply
        finally:
            connection.close()


def connected(parts: SplitResult, timeout: float) -> tuple[http.client.HTTPConnection, str]:
    """Return a connection for a URL, through a proxy if one is named, and what goes before the path on it."""
    secure = parts.scheme == "https"
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    proxy = proxy_of(parts)
    if proxy is None:
        return kind(parts.netloc.rpartition("@")[2], timeout=timeout), ""
    name, port = proxy.hostname or "", proxy.port or 80
    if not secure:
        return http.client.HTTPConnection(name, port, timeout=timeout), f"http://{parts.netloc}"
    tunnel = http.client.HTTPSConnection(name, port, timeout=timeout)
    headers: dict[str, str] = {}
    if proxy.username:
        pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    tunnel.set_tunnel(parts.hostname or "", parts.port or 443, headers)
    return tunnel, ""


def proxy_of(parts: SplitResult) -> SplitResult | None:
    """Return the proxy that HTTPS_PROXY or HTTP_PROXY names, unless NO_PROXY or this machine's own address says no."""
    name = f"{parts.scheme}_proxy"
    value = os.environ.get(name) or (os.environ.get(name.upper(), "") if parts.scheme == "https" else "")
    host = parts.hostname or ""
    if not value or host in ("localhost", "::1") or host.startswith("127."):
        return None
    from urllib.request import proxy_bypass

    return None if proxy_bypass(parts.netloc) else urlsplit(value if "://" in value else f"http://{value}")


class Reply:
    """An answer whose body is read whole or line by line."""

    def __init__(self, response: http.client.HTTPResponse, where: str, line: socket.socket | None = None) -> None:
        self._response = response
        self._where = where
        self._line = line
        self.status = response.status

    def header(self, name: str) -> str:
        """Return a header, or nothing."""
        return self._response.getheader(name, "")

    def abort(self) -> None:
        """Break the connection off, from another thread: whoever reads finds its end."""
        if self._line is not None:
            with suppress(OSError):
                self._line.shutdown(socket.SHUT_RDWR)

    def read(self) -> bytes:
        """Return the whole body; raises Unreachable when the connection breaks."""
        with speaking(self._where):
            return self._response.read()

    def pieces(self) -> Iterator[bytes]:
        """Yield the body as it comes; a body that ends too early is Unreachable."""
        while True:
            with speaking(self._where):
                if not (piece := self._response.read1(PIECE)) and self._response.length:
                    raise http.client.IncompleteRead(b"", self._response.length)
            if not piece:
                return
            yield piece

    def lines(self) -> Iterator[bytes]:
        """Yield the body's lines as they come, without their ends; a broken connection is Unreachable."""
        while True:
            with speaking(self._where):
                line = self._response.readline()
            if not line.endswith(b"\n"):
                return
            yield line.rstrip(b"\r\n")


@contextmanager
def speaking(where: str) -> Generator[None]:
    """Turn what can go wrong with a connection into Unreachable."""
    try:
        yield
    except ConnectionRefusedError:
        raise Unreachable(f"no server answers at {where}: start one with `hostler serve`") from None
    except TimeoutError:
        raise Unreachable(f"the server at {where} does not answer") from None
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"the connection to {where} failed: {error or type(error).__name__}") from None


def refusal(status: int, body: bytes) -> Problem:
    """Return the Problem of an answer that says no: the Connect error if it is one, else the HTTP status."""
    try:
        error = json.loads(body)
        code, message = str(error["code"]), str(error.get("message", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        said = body.decode(errors="replace").strip().partition("\n")[0][:200]
        reason = http.client.responses.get(status, "")
        return Problem(f"the server answered {status} {reason}{': ' + said if said else ''}", code=_code(status))
    if code == "unauthenticated":
        message = f"{message or 'the token is not accepted'} (see HOSTLER_TOKEN, or DIR/token)"
    return Problem(message or code.replace("_", " "), code=code)


def _code(status: int) -> str:
    """Return the code of an answer that is not ours; a proxy says 502 or 504 while the server behind it restarts."""
    if status in (502, 503, 504):
        return "unavailable"
    return {401: "unauthenticated", 403: "permission_denied", 404: "not_found"}.get(status, "unknown")


def _object(data: bytes) -> Json:
    try:
        body: Any = json.loads(data or b"{}")
        return {**body}
    except (ValueError, TypeError):
        raise Problem("the server's answer is not a JSON object: is HOSTLER_URL a Hostler server?") from None
