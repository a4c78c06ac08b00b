"""The wire between server and supervisor: two lengths, a JSON header, raw bytes; the same code at both ends."""

from __future__ import annotations

import json
import struct
from typing import Any

LENGTHS = struct.Struct(">II")
HEADER_LIMIT = 4 << 20
BODY_LIMIT = 64 << 20

Header = dict[str, Any]
Frame = tuple[Header, bytes]


class BadFrame(Exception):
    """The other end does not speak this protocol, or sends more than is allowed."""


def pack(header: Header, body: bytes = b"") -> bytes:
    """Return one frame as bytes."""
    text = json.dumps(header, separators=(",", ":")).encode()
    return LENGTHS.pack(len(text), len(body)) + text + body


def lengths(
    prefix: bytes | bytearray, header_limit: int = HEADER_LIMIT, body_limit: int = BODY_LIMIT
) -> tuple[int, int]:
    """Return the sizes of header and body; raises BadFrame when either is over its limit."""
    header, body = LENGTHS.unpack(prefix)
    if header > header_limit or body > body_limit:
        raise BadFrame("a frame is too large")
    return header, body


def parse(text: bytes | bytearray) -> Header:
    """Return the header; raises BadFrame when it is not a JSON object."""
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadFrame("a header is not JSON") from error
    if not isinstance(header, dict):
        raise BadFrame("a header is not an object")
    return header  # pyright: ignore[reportUnknownVariableType]


def take(waiting: bytearray) -> Frame | None:
    """Take one frame from what has come; None when that is not all of it yet. Raises BadFrame."""
    if len(waiting) < LENGTHS.size:
        return None
    header, body = lengths(waiting[: LENGTHS.size])
    begin, end = LENGTHS.size + header, LENGTHS.size + header + body
    if len(waiting) < end:
        return None
    frame = parse(waiting[LENGTHS.size : begin]), bytes(waiting[begin:end])
    del waiting[:end]
    return frame
