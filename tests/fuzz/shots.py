"""Whole requests: methods in every protocol, raw routes, and headers and queries that nobody sends."""

import base64
import gzip
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from hypothesis import strategies as st
from protobuf import DescMethod

from hostler.conformance.wire import envelope
from tests.fuzz.values import NOTHING, NUMBERS, ODD, PLAIN, Draw, Ids, binary, body, once_in

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Shot:
    """A request; its text replays it."""

    method: str
    path: str
    query: str
    headers: Headers
    body: bytes

    def __str__(self) -> str:
        """Return it as a command for a shell."""
        words = ["curl", "-sS", "-i", "-X", self.method]
        for name, value in self.headers:
            words += ["-H", f"{name}: {value}"]
        words += ['-H "Authorization: Bearer $TOKEN"']
        query = f"?{self.query}" if self.query else ""
        url = f"$URL{quote(self.path, safe='/:.-_{}')}{query}"
        data = base64.b64encode(self.body).decode()
        said = " ".join(word if word.startswith('-H "') else shlex.quote(word) for word in words)
        return f'printf %s {data} | base64 -d | {said} --data-binary @- "{url}"'


KINDS = (
    "application/json",
    "application/proto",
    "application/connect+json",
    "application/connect+proto",
    "application/grpc-web+proto",
    "application/grpc-web+json",
    "application/jsonl",
    "GET",
)
UNARY = ("application/json", "application/json", "application/proto", "application/proto", "application/grpc-web+proto")
STREAMED = ("application/connect+json", "application/connect+proto", "application/json", "application/grpc-web+proto")
"""What methods of a kind are asked in, mostly."""
HEADERS: Sequence[Headers] = (
    (),
    (),
    (),
    (),
    (),
    (),
    (),
    (),
    (),
    (("accept-encoding", "gzip"),),
    (("content-encoding", "gzip"),),
    (("content-encoding", "br"),),
    (("connect-timeout-ms", "0"),),
    (("connect-timeout-ms", "-5"),),
    (("connect-timeout-ms", "99999999999999"),),
    (("connect-protocol-version", "9"),),
    (("x-stainless-retry-count", "1"),),
    (("idempotency-key", "\xe9\xff"),),
    (("x-request-id", "a" * 5000),),
    (("accept", "\xff"),),
    (("range", "bytes=0-1"),),
    (("cookie", "a=b; =; ;;=x"),),
    (("origin", "null"),),
    (("host", "x" * 300),),
    (("forwarded", "for=1;proto=x;host=y"),),
    (("last-event-id", "-1"),),
    (("if-none-match", "*"),),
    (("expect", "100-continue"),),
    (("content-type", "application/json; charset=utf-16"),),
    (("content-type", "text/plain"),),
    (("content-type", ""),),
    (("content-length", "-1"),),
    (("grpc-timeout", "1S"),),
)
NAMES = (
    "token",
    "pageSize",
    "after",
    "limit",
    "follow",
    "format",
    "tree",
    "from",
    "to",
    "before",
    "as",
    "path",
    "q",
    "id",
)


def query(draw: Draw) -> str:
    """Return a query, mostly none."""
    match draw(st.integers(0, 5)):
        case 0:
            return draw(st.sampled_from(("%", "%zz", "=", "&&", "token", "token=%ff", "a" * 3000)))
        case 1 | 2:
            pairs = [
                (draw(st.sampled_from(NAMES)), draw(st.sampled_from((*ODD, *map(str, NUMBERS)))))
                for _ in range(draw(st.integers(1, 2)))
            ]
            return "&".join(f"{name}={quote(said, errors='replace')}" for name, said in pairs)
        case _:
            return ""


def rpc(draw: Draw, path: str, method: DescMethod, ids: Ids) -> Shot:
    """Return a call of a method in one of the protocols."""
    fitting = STREAMED if method.method_kind == "server_streaming" else UNARY
    kind, more = draw(st.sampled_from(KINDS if once_in(draw, 10) else fitting)), draw(st.sampled_from(HEADERS))
    data = binary(draw, method.input, ids) if kind.endswith("proto") else body(draw, method.input, ids)
    if kind == "GET":
        coded = base64.urlsafe_b64encode(data).decode()
        return Shot("GET", path, f"connect=v1&encoding=json&base64=1&message={coded}", more, b"")
    form = draw(st.integers(0, 9))
    if "+" in kind:
        whole = envelope(data, draw(st.sampled_from((0, 0, 0, 0, 1, 2, 128, 255))) if form < 3 else 0)
        odd = {0: whole[:-1], 1: b"\0\xff\xff\xff\xff" + whole[5:], 2: whole + whole, 3: data}
        data = odd.get(form, whole)
    elif form == 0:
        data = gzip.compress(data)
    headers = tuple({"content-type": kind, **dict(more)}.items())
    return Shot("POST", path, query(draw), headers, data)


FIELDS = (
    "path",
    "name",
    "may",
    "hours",
    "host",
    "for",
    "command",
    "userInput",
    "policy",
    "scope",
    "days",
    "role",
    "value",
)


def route(draw: Draw, method: str, path: str, ids: Ids) -> Shot:
    """Return a request of a raw route, with ids of what is there and of what is not in its path."""
    parts: list[str] = []
    for piece in path.split("/"):
        if not piece.startswith("{"):
            parts.append(piece)
        elif once_in(draw, 3):
            parts.append(draw(st.sampled_from((*ODD, "0", "-1", "1" * 30))))
        else:
            parts.append(draw(st.sampled_from(ids)))
    kinds = ("application/json", "application/json", "text/plain", "application/x-www-form-urlencoded")
    headers = {"content-type": draw(st.sampled_from(kinds)), **dict(draw(st.sampled_from(HEADERS)))}
    return Shot(
        method, decoded("/".join(parts)), query(draw), tuple(headers.items()), _raw(draw) if method != "GET" else b""
    )


def _raw(draw: Draw) -> bytes:
    match draw(st.integers(0, 5)):
        case 0:
            return draw(st.sampled_from((b"", b"[" * 3000, b'{"a":' * 3000, b"a=b&c=%ff", b"\xff" * 10)))
        case 1:
            return json.dumps(draw(st.sampled_from(NOTHING))).encode()
        case _:
            names = draw(st.lists(st.sampled_from(FIELDS), max_size=3, unique=True))
            chosen = {name: draw(st.sampled_from((*NOTHING, *ODD, *NUMBERS, *PLAIN))) for name in names}
            return json.dumps(chosen).encode("utf-8", "surrogatepass")


def decoded(path: str) -> str:
    """Return a path as a server has it that decodes what is percent-encoded; halves of characters do not come so."""
    return path.encode(errors="replace").decode()


WORDS = ("api", "gitpod.v1.AgentService", "..", ".", "", "environments", "%2e%2e", "ops", "hostler", "v1", "executions")


def astray(draw: Draw) -> Shot:
    """Return a request of nothing in particular."""
    path = decoded("/" + "/".join(draw(st.lists(st.sampled_from((*WORDS, *ODD)), max_size=5))))
    method = draw(st.sampled_from(("GET", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "HEAD", "PROPFIND", "\x00")))
    return Shot(method, path, query(draw), draw(st.sampled_from(HEADERS)), draw(st.binary(max_size=20)))
