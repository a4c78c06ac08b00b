"""Requests as they are on the wire: JSON, protobuf, Connect's envelopes and gRPC-Web, written and read by hand."""

import json
import struct
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from httpx2 import Client, Response

AGENTS = "gitpod.v1.AgentService"
EVENTS = "gitpod.v1.EventService"
ENVIRONMENTS = "gitpod.v1.EnvironmentService"
IDENTITY = "gitpod.v1.IdentityService"
END, TRAILERS, COMPRESSED = 0b10, 0x80, 0b01
"""Flags of envelopes."""
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Json:
        """Return the body as a JSON object; empty when it is none."""
        try:
            found: object = json.loads(self.body or b"{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}  # pyright: ignore[reportUnknownVariableType]

    @property
    def code(self) -> str:
        """Return the error's code, or ok."""
        return "ok" if self.status == 200 else str(self.json.get("code", "none"))

    @property
    def kind(self) -> str:
        """Return the content type without its parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip()

    def __str__(self) -> str:
        """Return what a report shows of it."""
        return f"HTTP {self.status} {self.kind or 'without a content type'}: {self.body[:300].decode(errors='replace')}"


class Wire:
    """One server and one token."""

    def __init__(self, url: str, token: str, timeout: float = 60.0) -> None:
        self.url = url.rstrip("/").removesuffix("/api")
        self.token = token
        self.timeout = timeout

    @cached_property
    def http(self) -> Client:
        """Return the connections, made at the first use."""
        return Client(timeout=self.timeout, follow_redirects=False)

    def close(self) -> None:
        """Close the connections."""
        self.http.close()

    def headers(self, more: Mapping[str, str] | None = None, token: str | None = None) -> dict[str, str]:
        """Return the headers of a JSON request; an empty token sends none."""
        bearer = self.token if token is None else token
        auth = {"authorization": f"Bearer {bearer}"} if bearer else {}
        return {"content-type": "application/json", "accept-encoding": "identity", **auth, **(more or {})}

    def post(
        self,
        method: str,
        body: object = None,
        more: Mapping[str, str] | None = None,
        *,
        token: str | None = None,
        query: str = "",
    ) -> Answer:
        """Call a method of AgentService, or of the service that is named, with JSON or with bytes as they are."""
        data = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
        return self.ask("POST", f"{self.address(method)}{query}", data, self.headers(more, token))

    def address(self, method: str) -> str:
        """Return the URL of a method."""
        if method.startswith("http"):
            return method
        return f"{self.url}/api/{method if '/' in method else f'{AGENTS}/{method}'}"

    def ask(self, verb: str, url: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        """Send any request."""
        with self.http.stream(verb, url, content=body, headers=headers) as got:
            raw = b"".join(got.iter_raw())
            return Answer(got.status_code, dict(got.headers), raw)

    @contextmanager
    def stream(self, url: str, body: bytes, headers: Mapping[str, str], verb: str = "POST") -> Generator[Response]:
        """Send a request whose answer is read as it comes."""
        with self.http.stream(verb, url, content=body, headers=headers) as got:
            yield got


def envelope(message: bytes, flags: int = 0) -> bytes:
    """Return a message with its flags and length before it."""
    return struct.pack(">BI", flags, len(message)) + message


def envelopes(data: bytes) -> list[tuple[int, bytes]]:
    """Return (flags, message) of every whole envelope."""
    found: list[tuple[int, bytes]] = []
    while len(data) >= 5:
        flags, size = struct.unpack(">BI", data[:5])
        if len(data) < 5 + size:
            break
        found.append((flags, data[5 : 5 + size]))
        data = data[5 + size :]
    return found


def field(number: int, value: int | str | bytes) -> bytes:
    """Return one field of a protobuf message."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value: int) -> bytes:
    """Return a number as protobuf writes it."""
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*data, value])


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield (number, value) of every field of a protobuf message; ValueError when it is none."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        match key & 7:
            case 0:
                value, at = _varint(data, at)
                yield key >> 3, value
            case 1 | 2 | 5 as kind:
                size, at = _varint(data, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
                if at + size > len(data):
                    raise ValueError("a field is cut off")
                yield key >> 3, data[at : at + size]
                at += size
            case other:
                raise ValueError(f"there is no wire type {other}")


def first(data: bytes, number: int) -> int | bytes | None:
    """Return the first field of this number."""
    return next((value for one, value in fields(data) if one == number), None)


def text(data: bytes, number: int) -> str:
    """Return a field as text; empty when it is missing."""
    value = first(data, number)
    return value.decode() if isinstance(value, bytes) else ""


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("a number is cut off")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
