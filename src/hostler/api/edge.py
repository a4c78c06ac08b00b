"""The way to the services: what the Connect server lacks, for every service at once.

An unknown service or method is `unimplemented` in Connect's form; plain JSON is served on streaming methods; the page
of the query is read; streams are never compressed; each method has its own limit of the body.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote

from connectrpc.code import Code
from connectrpc.errors import ConnectError
from starlette.types import Message, Receive, Scope, Send

from hostler.api import jsonlines
from hostler.api.call import current
from hostler.api.errors import body_of, hints, status_of
from hostler.api.first_release import Blocks, is_first
from hostler.api.jsonlines import App
from hostler.core.ambient import Ambient

MIB = 1 << 20
BODY = 8 * MIB
LARGE_BODY = 64 * MIB
LARGE = frozenset({"SendToAgentExecution", "WriteFile"})
"""Methods whose requests carry images or files."""
OPS_PATH = re.compile(r"/environments/([0-9a-fA-F-]{36})/ops(/supervisor\.v1\.[A-Za-z]+/[A-Za-z]+)")
NOWHERE = "00000000-0000-0000-0000-000000000000"
SERVED = re.compile(r"application/(proto|json|connect\+(proto|json)|grpc-web(\+(proto|json))?)")
JSON_LINES = frozenset({"application/json", "application/jsonl", "application/x-ndjson"})
"""What clients call a plain JSON request of a streaming method; each generation has its own word."""
GRPC_WEB = "application/grpc-web"
PLAIN = " !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~"
"""What is not percent-encoded in the message of gRPC."""


@dataclass(frozen=True, slots=True)
class Service:
    """One service: its path, its methods (name -> whether it streams), and its two servers by the size of bodies."""

    path: str
    methods: Mapping[str, bool]
    app: App
    large: App


class Edge:
    """Finds the service that a request is for."""

    def __init__(self, services: Sequence[Service], ops: Service, ambient: Ambient) -> None:
        self._services = {service.path: service for service in services}
        self._ops = ops
        self._ambient = ambient

    @property
    def methods(self) -> Sequence[str]:
        """Return the path below /api of every method, for an environment whose id is all zeros."""
        ops = (f"/environments/{NOWHERE}/ops{self._ops.path}/{name}" for name in self._ops.methods)
        rest = (f"{path}/{name}" for path, service in self._services.items() for name in service.methods)
        return [*rest, *ops]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request below /api."""
        path = scope["path"].removeprefix(scope["root_path"])
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if inside := OPS_PATH.fullmatch(path):
            current().environment, path = inside[1].lower(), inside[2]
            service = self._ops if path.startswith(f"{self._ops.path}/") else None
        else:
            service = self._services.get(path.rpartition("/")[0])
        method = path.rpartition("/")[2]
        if service is None or method not in service.methods:
            await refuse(send, ConnectError(Code.UNIMPLEMENTED, f"{path.strip('/')} is not served"), kind)
            return
        streams = service.methods[method]
        plain = streams and kind in JSON_LINES
        if scope["method"] == "POST" and not plain and not SERVED.fullmatch(kind):
            await self._unsupported(send, kind)
            return
        self._read_page(scope)
        app = service.large if method in LARGE else service.app
        first = is_first(headers)
        left_out = COMPRESSING | {b"accept-encoding"} if first else COMPRESSING
        inner = {**scope, "path": path, "root_path": "", "headers": _readable(scope["headers"], left_out)}
        if plain and scope["method"] == "POST":
            await jsonlines.answer(app, inner, receive, send, BODY, self._ambient)
        elif streams and scope["method"] == "POST":
            early = Early(receive, Blocks(send) if first and kind == "application/connect+proto" else send, kind)
            await app(inner, early.receive, early.send)
        else:
            await app(inner, receive, send)

    def _read_page(self, scope: Scope) -> None:
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
        page = current().page
        page.token = query["token"][-1] if "token" in query else None
        page.size = next((query[name][-1] for name in ("pageSize", "page_size") if name in query), None)

    async def _unsupported(self, send: Send, kind: str) -> None:
        said = f"content type {kind or '(none)'} is not served; send application/json or application/proto"
        error = ConnectError(Code.UNKNOWN, said)
        await reply(send, 415, body_of(error), {"accept-post": "application/json, application/proto"})


class Early:
    """Sends the headers of a stream as soon as its handler runs, not with its first message, which may be hours away.

    The server asks for more after the body only while a handler runs: by then the caller is known, and every error
    travels inside the stream.
    """

    def __init__(self, receive: Receive, send: Send, kind: str) -> None:
        self._receive = receive
        self._send = send
        self._kind = kind
        self._read = False
        self._started = False

    async def receive(self) -> Message:
        """Give the body, then start the answer and wait for the caller to leave."""
        if self._read and not self._started:
            self._started = True
            headers = [(b"content-type", self._kind.encode()), (b"connect-content-encoding", b"identity")]
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})
            await self._send({"type": "http.response.body", "body": b"", "more_body": True})
        message = await self._receive()
        self._read = self._read or not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """Pass on what the server sends, its start only once."""
        if message["type"] == "http.response.start":
            if self._started:
                return
            self._started = True
        await self._send(message)


COMPRESSING = frozenset({b"connect-accept-encoding", b"grpc-accept-encoding"})
"""Headers that would make the server compress the messages of a stream: a published client cannot read them."""


def _readable(headers: Sequence[tuple[bytes, bytes]], left_out: frozenset[bytes]) -> list[tuple[bytes, bytes]]:
    """Leave out what would compress answers, and write what is not UTF-8 so that the server can read it."""
    return [(name, value.decode(errors="replace").encode()) for name, value in headers if name not in left_out]


async def refuse(send: Send, error: ConnectError, kind: str = "") -> None:
    """Answer with an error in the form that the caller's protocol wants."""
    current().code = error.code.value
    if kind.startswith(GRPC_WEB):
        status = {
            "grpc-status": str(list(Code).index(error.code) + 1),
            "grpc-message": quote(error.message, safe=PLAIN),
        }
        await reply(send, 200, b"", {**status, "content-type": GRPC_WEB})
        return
    await reply(send, status_of(error), body_of(error), hints(error))


async def reply(send: Send, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    """Send a whole answer; JSON unless the headers say otherwise."""
    all_headers: dict[str, Any] = {"content-type": "application/json", **headers}
    raw = [(name.encode(), value.encode()) for name, value in all_headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body, "more_body": False})
