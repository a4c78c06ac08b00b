"""Strategies for whole requests: methods in every protocol, raw routes, and headers and queries that nobody sends."""

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
from tests.fuzz.values import ANY_JSON, NUMBERS, ODD, Ids, binary, body

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
HEADERS: Sequence[Headers] = (
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
QUERIES = st.one_of(
    st.just(""),
    st.just(""),
    st.lists(
        st.tuples(
            st.sampled_from(NAMES),
            st.one_of(st.sampled_from(ODD), st.sampled_from(NUMBERS).map(str), st.text(max_size=6)),
        ),
        max_size=3,
    ).map(lambda pairs: "&".join(f"{name}={quote(text, errors='replace')}" for name, text in pairs)),
    st.sampled_from(("%", "%zz", "=", "&&", "token", "token=%ff", "a" * 3000)),
)


def rpc(path: str, method: DescMethod, ids: Ids) -> st.SearchStrategy[Shot]:
    """Return calls of one method in every protocol."""
    return st.one_of([in_kind(path, method, ids, kind) for kind in KINDS])


def in_kind(path: str, method: DescMethod, ids: Ids, kind: str) -> st.SearchStrategy[Shot]:
    """Return calls of one method in one protocol."""
    data = binary(method.input, ids) if kind.endswith("proto") else body(method.input, ids)
    if kind == "GET":
        coded = data.map(lambda found: base64.urlsafe_b64encode(found).decode())
        queries = coded.map(lambda found: f"connect=v1&encoding=json&base64=1&message={found}")
        return st.builds(Shot, st.just("GET"), st.just(path), queries, st.sampled_from(HEADERS), st.just(b""))
    if "+" in kind:
        flags = st.sampled_from((0, 0, 0, 0, 1, 2, 128, 255))
        whole = st.builds(envelope, data, flags)
        cut = whole.map(lambda found: found[:-1])
        lied = whole.map(lambda found: b"\0\xff\xff\xff\xff" + found[5:])
        data = st.one_of(whole, whole, whole, whole, cut, lied, st.tuples(whole, whole).map(b"".join), data)
    else:
        data = st.one_of(data, data, data, data, data.map(gzip.compress))
    headers = st.sampled_from(HEADERS).map(lambda more: dict([("content-type", kind), *more])).map(_listed)
    return st.builds(Shot, st.just("POST"), st.just(path), QUERIES, headers, data)


def _listed(headers: dict[str, str]) -> Headers:
    return tuple(headers.items())


def route(method: str, path: str, ids: Ids) -> st.SearchStrategy[Shot]:
    """Return requests of a raw route, with ids of what is there and of what is not in its path."""
    parts: list[st.SearchStrategy[str]] = []
    for piece in path.split("/"):
        if piece.startswith("{"):
            odd = st.sampled_from(ODD).map(lambda text: quote(text, safe="", errors="replace"))
            parts.append(
                st.one_of(st.sampled_from(ids), st.sampled_from(ids), odd, st.sampled_from(("0", "-1", "1" * 30)))
            )
        else:
            parts.append(st.just(piece))
    paths = st.tuples(*parts).map("/".join)
    fields = ("path", "name", "may", "hours", "host", "for", "command", "userInput", "policy", "scope", "days", "role")
    objects = st.dictionaries(st.sampled_from(fields), ANY_JSON, max_size=4)
    data = st.one_of(
        objects.map(lambda found: json.dumps(found).encode("utf-8", "surrogatepass")),
        ANY_JSON.map(lambda found: json.dumps(found).encode("utf-8", "surrogatepass")),
        st.binary(max_size=30),
        st.sampled_from((b"", b"[" * 3000, b'{"a":' * 3000, b"a=b&c=%ff", b"\xff" * 10)),
    )
    kinds = st.sampled_from(("application/json", "application/json", "text/plain", "application/x-www-form-urlencoded"))
    headers = st.tuples(kinds, st.sampled_from(HEADERS)).map(
        lambda pair: tuple({"content-type": pair[0], **dict(pair[1])}.items())
    )
    bodies = st.just(b"") if method in ("GET", "HEAD") else data
    return st.builds(Shot, st.just(method), paths, QUERIES, headers, bodies)


def astray() -> st.SearchStrategy[Shot]:
    """Return requests of nothing in particular."""
    words = st.sampled_from(
        ("api", "gitpod.v1.AgentService", "..", ".", "", "environments", "%2e%2e", "ops", "hostler", "v1")
    )
    paths = st.lists(st.one_of(words, st.sampled_from(ODD), st.text(max_size=5)), max_size=6).map(
        lambda p: "/" + "/".join(p)
    )
    methods = st.sampled_from(("GET", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "HEAD", "PROPFIND", "\x00"))
    headers = st.sampled_from(HEADERS)
    return st.builds(Shot, methods, paths, QUERIES, headers, st.binary(max_size=30))
